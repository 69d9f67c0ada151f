"""What an image's layer holds and changes, as docker-registry 0.9.1 lists it: rows of `GET files` and `GET diff`. PURE.

A row is `[name, type, deleted, size, mtime, mode, uid, gid]`. Lists are ASCII JSON as Python 2 wrote it. A byte of a
name that is no UTF-8 becomes a lone surrogate, of which there is one for each such byte, so that different names stay
different; docker-registry answered 500.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from backends.model.tar_headers import TarHeader

Row = Sequence[Any]

_LETTERS = {
    b"0": "f", b"\0": "f", b"1": "l", b"2": "s", b"3": "c", b"4": "b", b"5": "d", b"6": "i", b"7": "t", b"S": "S",
}  # fmt: skip
_UNKNOWN = "u"
_WHITEOUT = "/.wh."
_ROW = 8
_DETAILS = 7

_encode = json.JSONEncoder().encode


def row_of(member: TarHeader) -> Row | None:
    """Returns the row of an archive's member; None for the marks of a union file system.

    Whiteouts are known in the top folder only, and only where names begin with `./`: so it is in docker-registry, and
    what reads the lists makes do with it.
    """
    name = member.name.decode("utf-8", "surrogateescape")
    if name == ".":
        name = "/"
    if name.startswith("./"):
        name = f"/{name[2:]}"
    is_deleted = name.startswith(_WHITEOUT)
    if is_deleted:
        name = f"/{name[len(_WHITEOUT) :]}"
        if name.startswith(_WHITEOUT):
            return None
    letter = _LETTERS.get(member.kind, _UNKNOWN)
    return (name, letter, is_deleted, member.size, member.modified, member.mode, member.uid, member.gid)


def encode_row(row: Row) -> bytes:
    """Returns a row as JSON."""
    return _encode(row).encode("ascii")


def encode_change(row: Row) -> bytes:
    """Returns a row as it stands in a diff: `"name": [type, …]`."""
    return f"{_encode(row[0])}: {_encode(row[1:])}".encode("ascii")


def is_row(value: object) -> bool:
    """Whether a value read from JSON is a row."""
    return isinstance(value, list) and len(value) == _ROW and isinstance(value[0], str) and are_details(value[1:])


def are_details(value: object) -> bool:
    """Whether a value read from JSON is a row without its name."""
    if not isinstance(value, list) or len(value) != _DETAILS:
        return False
    letter, is_deleted, *numbers = value
    return isinstance(letter, str) and isinstance(is_deleted, bool) and all(map(_is_number, numbers))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
