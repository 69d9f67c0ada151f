"""The headers of a tar archive: a block each, and the records by which other formats say more. PURE.

Read as docker-registry 0.9.1's Python 2.7 reads them, so that what is said of an archive is the same, but for what that
could not read: numbers below zero in base 256, and names after the fields of GNU tar's old format. Texts are
bytes: no archive says how its names are encoded, and values of PAX records that are no UTF-8 (extended attributes) are
common.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

BLOCK = 512
LONG_NAME, LONG_LINK = b"L", b"K"
SPARSE = b"S"
PAX, PAX_SOLARIS, PAX_GLOBAL = b"x", b"X", b"g"
PAX_KEYS = frozenset({b"path", b"size", b"mtime", b"uid", b"gid"})
"""Of PAX records, those that say what is read here."""
DIRECTORY = b"5"
OLD_FILE = b"\0"

_WITHOUT_CONTENT = frozenset({b"1", b"2", b"3", b"4", DIRECTORY, b"6"})
_GNU_TYPES = frozenset({LONG_NAME, LONG_LINK, SPARSE})
_GNU_MAGIC = b"ustar  \0"
_ZEROS = bytes(BLOCK)
_BLANK_CHECKSUM = 8 * 0x20
"""The field counts as blanks in its own sum."""
_OCTAL = re.compile(rb"[+-]?[0-7]+")
_WHOLE = re.compile(rb"\s*([+-]?[0-9]{1,40})\s*")
_DECIMAL = re.compile(rb"\s*[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?\s*")
_RECORD = re.compile(rb"([0-9]{1,20}) ([^=]+)=")
_USED = frozenset({b"path", b"size", b"mtime", b"uid", b"gid"})


class BadHeader(ValueError):  # noqa: N818 - a finding, not a fault
    """A block is no header of a tar archive."""


@dataclass(frozen=True, slots=True)
class TarHeader:
    """One member of an archive, as its headers describe it.

    Attributes:
        name: of a directory without the slashes at its end.
        kind: one byte, the type flag.
        size: in bytes, as it is unpacked.
        stored: how many bytes of content follow in the archive, before padding.
        modified: seconds since 1970; a float where a PAX record says so, as there.
    """

    name: bytes
    kind: bytes
    size: int
    stored: int
    modified: int | float
    mode: int
    uid: int
    gid: int


def is_end(block: bytes) -> bool:
    """Whether a block ends the archive."""
    return block == _ZEROS


def padded(size: int) -> int:
    """Returns how many bytes content takes, with its padding."""
    return -(-size // BLOCK) * BLOCK


def parse_header(block: bytes) -> TarHeader:
    """Parses a block.

    Raises:
        BadHeader: it is none.
    """
    checksum = _number(block[148:156])
    unsigned = sum(block) - sum(block[148:156]) + _BLANK_CHECKSUM
    # Some old programs took each byte for a signed one.
    if checksum != unsigned and checksum != unsigned - 256 * sum(byte >> 7 for byte in block[:148] + block[156:]):
        raise BadHeader("its checksum is another one")
    kind = block[156:157]
    name = _text(block[:100])
    if kind == OLD_FILE and name.endswith(b"/"):
        kind = DIRECTORY
    if kind == DIRECTORY:
        name = name.rstrip(b"/")
    prefix = _text(block[345:500])
    if prefix and kind not in _GNU_TYPES and block[257:265] != _GNU_MAGIC:
        name = prefix + b"/" + name
    size = _number(block[124:136])
    if size < 0:
        raise BadHeader("its size is below zero")
    is_sparse = kind == SPARSE
    return TarHeader(
        name,
        kind,
        _number(block[483:495]) if is_sparse else size,
        size if is_sparse else _stored(kind, size),
        _number(block[136:148]),
        _number(block[100:108]),
        _number(block[108:116]),
        _number(block[116:124]),
    )


def continues_sparse(block: bytes, *, is_first: bool) -> bool:
    """Whether a block follows this one that says more of where a sparse file has data."""
    return block[482 if is_first else 504] == 1


def parse_pax(content: bytes) -> Mapping[bytes, bytes]:
    """Parses the records of a PAX header that say what is read here, up to the first that is none.

    Others are passed over: those of a whole archive are put together with each member's, however many there are.
    """
    records: dict[bytes, bytes] = {}
    at = 0
    while (match := _RECORD.match(content, at)) is not None:
        end = at + int(match[1])
        if end <= match.end():
            break
        if match[2] in _USED:
            records[match[2]] = content[match.end() : end - 1]
        at = end
    return records


def with_pax(header: TarHeader, records: Mapping[bytes, bytes], *, moves_end: bool) -> TarHeader:
    """Returns a member with what PAX records say of it instead.

    Args:
        header: the member.
        records: of the header before it, and of all its archive.
        moves_end: whether a size among them is that of the content that follows; it is not where they are of the
            whole archive.
    """
    name, size, modified = header.name, header.size, header.modified
    if b"path" in records:
        name = records[b"path"].rstrip(b"/")
    if b"size" in records:
        size = max(0, _whole(records[b"size"]))
    if b"mtime" in records:
        modified = _float(records[b"mtime"])
    uid = _whole(records[b"uid"]) if b"uid" in records else header.uid
    gid = _whole(records[b"gid"]) if b"gid" in records else header.gid
    stored = _stored(header.kind, size) if moves_end and b"size" in records else header.stored
    return TarHeader(name, header.kind, size, stored, modified, header.mode, uid, gid)


def long_text(content: bytes) -> bytes:
    """Returns the name that a header of GNU tar's holds as its content."""
    return _text(content)


def _stored(kind: bytes, size: int) -> int:
    """Types that nobody knows have content, as POSIX says; links and folders have none, whatever their size says."""
    return 0 if kind in _WITHOUT_CONTENT else size


def _text(field: bytes) -> bytes:
    return field.partition(b"\0")[0]


def _number(field: bytes) -> int:
    if field[0] == 0x80:  # noqa: PLR2004 - GNU tar's base 256
        return int.from_bytes(field[1:], "big")
    if field[0] == 0xFF:  # noqa: PLR2004 - the same, below zero
        return int.from_bytes(field, "big", signed=True)
    text = _text(field).strip()
    if text and not _OCTAL.fullmatch(text):
        raise BadHeader("a number in it is none")
    return int(text or b"0", 8)


def _whole(value: bytes) -> int:
    match = _WHOLE.fullmatch(value)
    return int(match[1]) if match else 0


def _float(value: bytes) -> float:
    found = float(value) if _DECIMAL.fullmatch(value) else 0.0
    return found if math.isfinite(found) else 0.0
