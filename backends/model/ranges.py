"""Byte ranges: `Range` of a download (RFC 9110 section 14) and `Content-Range` of an upload's chunk.

An upload's chunk says `<first>-<last>`, both inclusive, without unit or total (distribution specification, "Pushing a
blob in chunks"); clients that follow RFC 9110 write `bytes <first>-<last>/<total>`, which is understood too.

Lazy and partial pulls (podman and CRI-O with zstd:chunked, stargz-snapshotter) ask for many ranges at once. podman
counts the parts of the answer and never reads their `Content-Range`, so it must get one part for each range that it
asked for, in its order, even where they touch or overlap.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from backends.model.errors import ErrorCode, RegistryError

MAX_RANGES = 1024
"""podman asks for up to 1024 ranges in one request; a client that asks for more gets the whole content."""

MAX_HEADER = 64 * 1024
MAX_OFFSET = 2**63 - 1
"""No file is longer."""

_LONGEST_RANGE = 100
_RANGE = re.compile(r"[ \t]*(\d*)-(\d*)[ \t]*", re.ASCII)
_CONTENT_RANGE = re.compile(r"(?:bytes )?(\d{1,19})-(\d{1,19})(?:/(?:\d{1,19}|\*))?", re.ASCII)


@dataclass(frozen=True, slots=True)
class ByteRange:
    """Bytes from `first` to `last`, both inclusive."""

    first: int
    last: int

    @property
    def length(self) -> int:
        return self.last - self.first + 1


class Unsatisfiable(Exception):  # noqa: N818 - a finding, not a fault
    """The ranges are well-formed, but the content has no byte of them."""


def parse_ranges(header: str, size: int) -> ByteRange | tuple[ByteRange, ...] | None:
    """Parses a `Range` header for content of `size` bytes.

    Returns:
        one range, its end clamped, when one was asked for; when several were, those that the content has, in the order
        asked and never merged, even if only one of them is left; None when the header is to be ignored and the whole
        content sent: another unit, a syntax error, more than `MAX_RANGES` ranges, or ranges that are together longer
        than the content (the whole costs less).

    Raises:
        Unsatisfiable: the content has no byte of any range; one whose end lies before its beginning has none.
    """
    if len(header) > MAX_HEADER:
        return None
    unit, equals, text = header.strip().partition("=")
    if not equals or unit.lower() != "bytes":
        return None
    specs = [spec for spec in text.split(",") if spec.strip(" \t")]  # RFC 9110 section 5.6.1: elements may be empty
    if not 1 <= len(specs) <= MAX_RANGES or any(len(spec) > _LONGEST_RANGE for spec in specs):
        return None
    matches = [_RANGE.fullmatch(spec) for spec in specs]
    if any(match is None or not (match[1] or match[2]) for match in matches):
        return None
    found = [_clamp(match[1], match[2], size) for match in matches if match is not None]
    ranges = tuple(each for each in found if each is not None)
    if not ranges:
        raise Unsatisfiable
    if len(specs) == 1:
        return ranges[0]
    return ranges if sum(each.length for each in ranges) <= size else None


def _clamp(first: str, last: str, size: int) -> ByteRange | None:
    """Returns what the content has of a range that is well-formed; None when that is nothing."""
    if not first:
        suffix = min(int(last), size)
        return ByteRange(size - suffix, size - 1) if suffix else None
    begin = int(first)
    end = min(int(last), size - 1) if last else size - 1
    return ByteRange(begin, end) if begin <= end else None


def parse_content_range(header: str) -> ByteRange:
    """Parses the `Content-Range` of a chunk.

    Raises:
        RegistryError: RANGE_INVALID with status 400: it is not a range.
    """
    match = _CONTENT_RANGE.fullmatch(header.strip())
    if match is None or not int(match[1]) <= int(match[2]) <= MAX_OFFSET:
        raise RegistryError(
            ErrorCode.RANGE_INVALID,
            f"Content-Range {header[:60]!r} is not a valid range; write <first byte>-<last byte>, such as 0-1023",
            status=400,
        )
    return ByteRange(int(match[1]), int(match[2]))
