"""TarSum, the checksum by which Docker up to 1.5 named a layer's content: of the entries of a tar. PURE.

Of each entry the header's fields and the content are hashed; the sums are sorted, and hashed behind the image's JSON
(V1API section 10, FORMATS section 1.5; Docker `pkg/tarsum`). Version 0, `tarsum+sha256:`, counts modification times;
version 1, `tarsum.v1+sha256:`, counts extended attributes instead, and so did `tarsum.dev+sha256:` before it.

The tar comes in pieces of any size. What is held of it is a header and the sums, 32 bytes an entry.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum
from hashlib import sha256
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hashlib import _Hash

BLOCK = 512
MAX_EXTENDED = 1024 * 1024
"""So many bytes the headers of one entry may have beside its block, names and attributes; as many those of all."""

MAX_ENTRIES = 5_000_000
_XATTR = b"SCHILY.xattr."
_PAX_KEYS = frozenset({b"path", b"linkpath", b"uname", b"gname", b"uid", b"gid", b"size", b"mtime"})
_LABELS = (
    "name", "mode", "uid", "gid", "size", "mtime", "typeflag", "linkname", "uname", "gname", "devmajor", "devminor",
)  # fmt: skip
_REGULAR = frozenset(b"0\x007S")
_WITHOUT_CONTENT = frozenset(b"123456")
_DIRECTORY = ord("5")
_OF_ALL = ord("g")


class Version(Enum):
    """What is summed, by the label of the sum."""

    V0 = "tarsum"
    V1 = "tarsum.v1"
    DEV = "tarsum.dev"


class NotATar(ValueError):  # noqa: N818 - a finding, not a fault
    """The bytes are not a tar."""


@dataclass(slots=True)
class _Header:
    """An entry's header, with what extended headers before it say."""

    name: bytes
    mode: int
    uid: int
    gid: int
    size: int
    mtime: int
    typeflag: int
    linkname: bytes
    uname: bytes
    gname: bytes
    devmajor: int
    devminor: int
    xattrs: Sequence[tuple[bytes, bytes]] = ()

    def text(self, version: Version) -> bytes:
        """Returns what is hashed of it: labels and values, one behind the other."""
        pairs = [(label.encode(), self._value(label)) for label in _LABELS]
        if version is not Version.V0:
            pairs = [pair for pair in pairs if pair[0] != b"mtime"] + sorted(self.xattrs)
        return b"".join(label + value for label, value in pairs)

    def _value(self, label: str) -> bytes:
        if label == "typeflag":
            return bytes([self.typeflag])
        value = getattr(self, label)
        if label == "name" and self.typeflag == _DIRECTORY:
            return bytes(value).rstrip(b"/") + b"/"
        return value if isinstance(value, bytes) else b"%d" % value


@dataclass(slots=True)
class _Extended:
    """What extended headers say of the next entry, or of all that follow."""

    size: int = 0
    pax: dict[bytes, bytes] = field(default_factory=dict)
    name: bytes | None = None
    linkname: bytes | None = None


class TarSums:
    """The sums of a tar that comes in pieces.

    Args:
        versions: which sums are wanted.
    """

    def __init__(self, versions: Sequence[Version]) -> None:
        self._versions = versions
        self._sums: dict[Version, list[bytes]] = {version: [] for version in versions}
        self._parts = self._read()
        self._pieces = bytearray()
        self._wanted = next(self._parts)
        self._is_over = False

    def take(self, piece: bytes | bytearray | memoryview) -> None:
        """Takes the bytes that follow.

        Raises:
            NotATar: they are not a tar's.
        """
        view = memoryview(piece)
        while view and not self._is_over:
            if self._wanted < 0:  # content: it goes through as it comes
                part, view = view[: -self._wanted], view[-self._wanted :]
                self._send(part)
                continue
            missing = self._wanted - len(self._pieces)
            self._pieces += view[:missing]
            view = view[missing:]
            if len(self._pieces) == self._wanted:
                block, self._pieces = bytes(self._pieces), bytearray()
                self._send(block)

    def finish(self) -> None:
        """Says that nothing follows.

        Raises:
            NotATar: it ends in the middle of an entry.
        """
        if not self._is_over and (self._pieces or self._wanted != BLOCK):
            raise NotATar("the tar ends in the middle of an entry")

    def sum(self, version: Version, extra: bytes) -> str:
        """Returns the sum, after `finish`; extra is the image's JSON."""
        digest = sha256(extra)
        for each in sorted(self._sums[version]):
            digest.update(each.hex().encode())
        return f"{version.value}+sha256:{digest.hexdigest()}"

    def _send(self, part: bytes | memoryview) -> None:
        try:
            self._wanted = self._parts.send(part)
        except StopIteration:
            self._is_over = True

    def _read(self) -> Generator[int, bytes | memoryview, None]:
        """Reads a tar: yields how many bytes it wants at once, or, below zero, how many at most of a content."""
        everywhere = _Extended()
        extended = _Extended()
        first = True
        while True:
            block = bytes((yield BLOCK))
            if not block.strip(b"\0"):
                return  # what follows is padding
            header = _parse(block)
            if header is None:
                if first:
                    raise NotATar("it does not begin with the header of a tar's entry")
                return  # as Python's tarfile and Go's reader take what stands behind a tar
            first = False
            if header.typeflag in b"xgLK":
                said = everywhere if header.typeflag == _OF_ALL else extended
                said.size += header.size
                if header.size < 0 or said.size > MAX_EXTENDED:
                    raise NotATar("an extended header is too long")
                content = bytes((yield _padded(header.size))) if header.size else b""
                _extend(header, content[: header.size], said)
                continue
            _apply(header, extended, everywhere.pax)
            extended = _Extended()
            if header.typeflag == 0 and header.name.endswith(b"/"):
                header.typeflag = _DIRECTORY  # before USTAR there was no other way to say so
            if header.size < 0:
                raise NotATar("an entry's size is below zero")
            yield from self._sum_entry(header)

    def _sum_entry(self, header: _Header) -> Generator[int, bytes | memoryview, None]:
        if len(self._sums[self._versions[0]]) >= MAX_ENTRIES:
            raise NotATar(f"it has more than {MAX_ENTRIES} entries")
        stored = 0 if header.typeflag in _WITHOUT_CONTENT else header.size
        if header.typeflag not in _REGULAR:
            header.size = 0
        hashes: list[_Hash] = [sha256(header.text(version)) for version in self._versions]
        left = stored
        while left:
            part = yield -left
            left -= len(part)
            for each in hashes:
                each.update(part)
        for version, each in zip(self._versions, hashes, strict=True):
            self._sums[version].append(each.digest())
        padding = -stored % BLOCK
        if padding:
            yield padding


def _padded(size: int) -> int:
    return size + -size % BLOCK


def _parse(block: bytes) -> _Header | None:
    """Returns a header; None for a block that is none."""
    try:
        checksum = _number(block[148:156])
        if checksum not in _checksums(block):
            return None
        is_ustar = block[257:262] == b"ustar"
        prefix = _text(block[345:500]) if block[257:265] == b"ustar\x0000" else b""
        name = _text(block[:100])
        return _Header(
            name=prefix + b"/" + name if prefix else name,
            mode=_number(block[100:108]),
            uid=_number(block[108:116]),
            gid=_number(block[116:124]),
            size=_number(block[124:136]),
            mtime=_number(block[136:148]),
            typeflag=block[156],
            linkname=_text(block[157:257]),
            uname=_text(block[265:297]) if is_ustar else b"",
            gname=_text(block[297:329]) if is_ustar else b"",
            devmajor=_number(block[329:337]) if is_ustar else 0,
            devminor=_number(block[337:345]) if is_ustar else 0,
        )
    except ValueError:
        return None


def _checksums(block: bytes) -> tuple[int, int]:
    """Returns the sum of a header's bytes, and what old programs wrote, which took bytes for signed numbers."""
    rest = block[:148] + b" " * 8 + block[156:]
    unsigned = sum(rest)
    return unsigned, unsigned - 256 * sum(byte > 127 for byte in rest)  # noqa: PLR2004 - the sign's bit


def _number(field_: bytes) -> int:
    """Parses an octal number, or one to the base 256, as GNU tar writes what does not fit.

    Raises:
        ValueError: it is neither.
    """
    if field_[0] in {0x80, 0xFF}:
        number = int.from_bytes(field_[1:], "big")
        return number - (1 << (8 * (len(field_) - 1))) if field_[0] == 0xFF else number  # noqa: PLR2004 - below zero
    text = field_.partition(b"\0")[0].strip()
    return int(text, 8) if text else 0


def _text(field_: bytes) -> bytes:
    return field_.partition(b"\0")[0]


def _extend(header: _Header, content: bytes, said: _Extended) -> None:
    match chr(header.typeflag):
        case "L":
            said.name = _text(content)
        case "K":
            said.linkname = _text(content)
        case _:
            for key, value in _pax(content):
                if key in _PAX_KEYS or key.startswith(_XATTR):
                    said.pax[key] = value


def _pax(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yields the records of an extended header: `<length> <key>=<value>`, a line each.

    Raises:
        NotATar: they are damaged.
    """
    at, end = 0, len(content.rstrip(b"\0"))
    while at < end:
        blank = content.find(b" ", at, at + len(str(MAX_EXTENDED)) + 1)
        digits = content[at : max(at, blank)]
        if not digits.isdigit():
            raise NotATar("an extended header is damaged")
        after = at + int(digits)
        key, equals, value = content[blank + 1 : after].partition(b"=")
        if not equals or not value.endswith(b"\n"):
            raise NotATar("an extended header is damaged")
        at = after
        yield key, value[:-1]


def _apply(header: _Header, extended: _Extended, everywhere: dict[bytes, bytes]) -> None:
    """Puts into a header what the extended ones before it say."""
    if extended.name is not None:
        header.name = extended.name
    if extended.linkname is not None:
        header.linkname = extended.linkname
    said = {**everywhere, **extended.pax}
    header.name = said.get(b"path", header.name)
    header.linkname = said.get(b"linkpath", header.linkname)
    header.uname = said.get(b"uname", header.uname)
    header.gname = said.get(b"gname", header.gname)
    for key in ("uid", "gid", "size", "mtime"):
        if (value := said.get(key.encode())) is not None:
            try:
                setattr(header, key, int(float(value)) if key == "mtime" else int(value))
            except (ValueError, OverflowError):
                raise NotATar(f"an extended header has the {key} {value[:20]!r}") from None
    header.xattrs = [(key.removeprefix(_XATTR), value) for key, value in said.items() if key.startswith(_XATTR)]
