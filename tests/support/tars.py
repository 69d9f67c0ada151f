"""Tar archives for lists of files, made by Python's own tarfile, and what docker-registry 0.9.1 says of them.

The lists are written down from V1API section 3.4, without Portside's code.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping, Sequence
from typing import Any

TIME = 1_400_000_000
LETTERS = {
    tarfile.REGTYPE: "f",
    tarfile.LNKTYPE: "l",
    tarfile.SYMTYPE: "s",
    tarfile.CHRTYPE: "c",
    tarfile.BLKTYPE: "b",
    tarfile.DIRTYPE: "d",
    tarfile.FIFOTYPE: "i",
    tarfile.CONTTYPE: "t",
}


def member(name: str, content: bytes = b"", **more: Any) -> tuple[tarfile.TarInfo, bytes]:
    """A member of an archive, a regular file unless `type` is given."""
    info = tarfile.TarInfo(name)
    info.size, info.mtime = len(content), TIME
    for key, value in more.items():
        setattr(info, key, value)
    return info, content


def make_tar(
    members: Sequence[tuple[tarfile.TarInfo, bytes]],
    *,
    form: int = tarfile.USTAR_FORMAT,
    pax_headers: Mapping[str, str] | None = None,
) -> bytes:
    """An archive."""
    into = io.BytesIO()
    with tarfile.open(fileobj=into, mode="w", format=form, pax_headers=pax_headers) as archive:
        for info, content in members:
            archive.addfile(info, io.BytesIO(content))
    return into.getvalue()


def tar_of(*names: str, content: bytes = b"x") -> bytes:
    """An archive of files that all have the same content; those whose name ends in `/` are folders."""
    return make_tar(
        [
            member(name, type=tarfile.DIRTYPE, mode=0o755) if name.endswith("/") else member(name, content)
            for name in names
        ]
    )


def row(name: str, *, letter: str = "f", deleted: bool = False, size: int = 1, mode: int = 0o644) -> list[Any]:
    """A row as the original lists it."""
    return [name, letter, deleted, size, TIME, mode, 0, 0]


def changes_of(chain: Sequence[Sequence[Sequence[Any]]]) -> dict[str, dict[str, list[Any]]]:
    """The diff of the first of some lists, nearest first: the original's algorithm, plain and slow."""
    left = {each[0]: list(each[1:]) for each in chain[0]}
    found: dict[str, dict[str, list[Any]]] = {"deleted": {}, "changed": {}, "created": {}}
    for below in chain[1:]:
        there = {each[0]: list(each[1:]) for each in below}
        for name, details in list(left.items()):
            if details[1]:
                found["deleted"][name] = details
            elif name in there:
                found["created" if there[name][1] else "changed"][name] = details
            else:
                continue
            del left[name]
    found["created"].update(left)
    return found
