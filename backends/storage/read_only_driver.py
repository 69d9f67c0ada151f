"""A driver that reads another one and changes nothing there, for commands that only look at a volume."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

from typing_extensions import override

from backends.storage.driver import StorageReadOnly, Tee, Writer
from backends.storage.forwarding_driver import ForwardingDriver


class ReadOnlyDriver(ForwardingDriver):
    """A `StorageDriver` that refuses whatever would change something, its capabilities to do so too."""

    @override
    async def write(self, path: str, content: bytes, *, durable: bool = True) -> None:
        _refuse(path)

    @override
    async def writer(self, path: str, *, append: bool = False, durable: bool = True, tee: Tee | None = None) -> Writer:
        _refuse(path)

    @override
    async def move(self, source: str, target: str) -> None:
        _refuse(target)

    @override
    async def delete(self, path: str, *, durable: bool = True) -> None:
        _refuse(path)

    @override
    async def ensure_durable(self, *paths: str) -> None:
        """Does nothing: what is only read need not survive a power cut."""

    # capabilities

    async def link(self, source: str, target: str) -> bool:  # noqa: ARG002 - as `LinksFiles` has it
        _refuse(target)

    async def append(self, path: str, line: bytes) -> int:  # noqa: ARG002 - as `AppendsLines` has it
        _refuse(path)

    async def repair(self, source: str, target: str) -> int | None:  # noqa: ARG002 - as above
        _refuse(target)

    async def sweep_temporary(self, *, older_than: float, dry_run: bool) -> Sequence[tuple[str, int]]:  # noqa: ARG002
        _refuse("temporary files")

    async def remove_empty(self, path: str) -> bool:
        _refuse(path)

    @override
    async def write_several(self, files: Sequence[tuple[str, bytes]], *, durable: bool = True) -> None:
        _refuse(files[0][0])

    @override
    async def clear(self, folder: str, names: Sequence[str]) -> None:
        _refuse(folder)


def _refuse(path: str) -> NoReturn:
    raise StorageReadOnly(f"{path} is not changed: this only reads")
