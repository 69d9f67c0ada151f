"""What a command that works on a volume by itself, beside running servers, requires of it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from backends.storage.factory import StorageSettings
from portside.problems import Problem


def require_volume(storage: StorageSettings, folders: Sequence[str], *, command: str) -> None:
    """Refuses what is no volume, and to leave files there that the registry could not change.

    Args:
        storage: of the settings.
        folders: one of these it has, as `layout` names them.
        command: the words that run it.

    Raises:
        Problem: says which.
    """
    if storage.driver != "filesystem":
        raise Problem("storage inmemory lives in the server's process; there is no volume to work on")
    root = Path(storage.root)
    found = [path for folder in folders if (path := root / folder.lstrip("/")).is_dir()]
    if not found:
        raise Problem(f"{root.absolute()} has no repositories: name the data folder with --data, or the settings file")
    owner = found[0].stat().st_uid
    if os.geteuid() == 0 != owner:
        raise Problem(
            f"{found[0]} belongs to uid {owner}, which could not change what root makes there;"
            f" run it as that user: setpriv --reuid={owner} --clear-groups {command} …"
        )
