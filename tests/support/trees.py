"""Folders as values: what lies where, to compare before and after."""

from __future__ import annotations

import os
from pathlib import Path

OWN = ("docker/registry/portside/tmp", "docker/registry/portside/locks", "docker/registry/portside/unsynced")
"""What every process that writes makes for itself: it may come, and stands for nothing."""


def read_tree(root: Path) -> dict[str, bytes | None]:
    """Every path below a folder: the content of a file, None for a folder."""
    return {
        str(path.relative_to(root)): path.read_bytes() if path.is_file() else None
        for path in sorted(root.rglob("*"))
        if not _is_own(str(path.relative_to(root)))
    }


def _is_own(path: str) -> bool:
    return any(own.startswith(path) for own in OWN) or path.startswith(f"{OWN[-1]}/")


def read_files(root: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {path: content for path, content in read_tree(root).items() if content is not None}


def write_tree(root: Path, files: dict[str, bytes | str]) -> None:
    """Writes files, with the folders above them."""
    for path, content in files.items():
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content if isinstance(content, bytes) else content.encode())


def read_stats(root: Path) -> dict[str, os.stat_result]:
    """What the file system says of every path below a folder."""
    return {str(path.relative_to(root)): path.stat() for path in root.rglob("*")}
