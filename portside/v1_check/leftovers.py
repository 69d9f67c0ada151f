"""Files and folders that nobody knows, and links that lead nowhere or out of the volume."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping

from backends.storage.temporary_files import is_temporary
from portside.v1_check.findings import Finding, Kind


def unknown_entries(where: str, entries: Mapping[str, os.DirEntry[str]], known: Collection[str]) -> Iterator[Finding]:
    """Yields those of a folder's entries that are not among the known ones.

    Args:
        where: the folder, below the root.
        entries: what is in it.
        known: the names that belong there.
    """
    for name in entries:
        if name not in known:
            yield unknown(f"{where}/{name}", name)


def unknown(where: str, name: str) -> Finding:
    """Returns what is said of a file or folder that nobody knows."""
    if is_temporary(name):
        return Finding(Kind.TEMPORARY, where, "is a temporary file of a write that did not end")
    return Finding(Kind.UNKNOWN, where, "is not a file or folder of a registry")
