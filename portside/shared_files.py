"""The folder of which a registry in another process hands files over to the proxy: opened below it, and only read."""

from __future__ import annotations

from pathlib import Path

from backends.model.errors import ErrorCode, RegistryError
from backends.storage.driver import StorageError
from backends.storage.files import FileReader
from backends.storage.filesystem import FilesystemDriver
from portside.problems import Problem


class SharedFiles:
    """A folder.

    Args:
        path: of it.
        key: of the setting that names it.

    Raises:
        Problem: it is not there, or cannot be entered.
    """

    def __init__(self, path: str, *, key: str) -> None:
        self._key = key
        folder = Path(path)
        require_folder(folder, key=key)  # the driver would make it
        try:
            self._driver = FilesystemDriver(folder)
        except StorageError as error:
            raise Problem(f"{key}: {error}; let the proxy's user read it") from None

    async def open(self, path: str) -> FileReader:
        """Opens a regular file.

        Raises:
            RegistryError: UNAVAILABLE, 502: there is none that can be read.
        """
        try:
            return await self._driver.open(path)
        except StorageError as error:
            detail = (
                f"the registry hands a file over that the proxy cannot open ({error}); {self._key} must name the"
                " registry's own data folder, and the proxy's user must be able to read it"
            )
            raise RegistryError(ErrorCode.UNAVAILABLE, detail, status=502) from None

    async def close(self) -> None:
        """Ends its threads."""
        await self._driver.close()


def require_folder(folder: Path, *, key: str) -> None:
    """Requires that the folder is there which a setting names.

    Raises:
        Problem: it is not.
    """
    if not folder.is_dir():
        raise Problem(f"{key}: {folder} is not a folder that the proxy sees; mount the registry's data there")
