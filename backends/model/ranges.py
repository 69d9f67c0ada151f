"""Byte ranges: `Range` of a download (RFC 9110 section 14) and `Content-Range` of an upload's chunk.

An upload's chunk says `<first>-<last>`, both inclusive, without unit or total (distribution specification, "Pushing a
blob in chunks"); clients that follow RFC 9110 write `bytes <first>-<last>/<total>`, which is understood too.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from backends.model.errors import ErrorCode, RegistryError

MAX_HEADER = 100
_RANGE = re.compile(r"bytes=(\d*)-(\d*)", re.ASCII | re.IGNORECASE)
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
    """The range is well-formed, but the content has none of it."""


def parse_range(header: str, size: int) -> ByteRange | None:
    """Parses a `Range` header for content of `size` bytes.

    Returns:
        the range, its end clamped; None when the header is to be ignored (other units, several ranges, nonsense).

    Raises:
        Unsatisfiable: it lies outside, or its end lies before its beginning.
    """
    match = _RANGE.fullmatch(header.strip()) if len(header) <= MAX_HEADER else None
    if match is None or not (match[1] or match[2]):
        return None
    if not match[1]:
        suffix = min(int(match[2]), size)
        if suffix == 0:
            raise Unsatisfiable
        return ByteRange(size - suffix, size - 1)
    first = int(match[1])
    last = min(int(match[2]), size - 1) if match[2] else size - 1
    if first >= size or last < first:
        raise Unsatisfiable
    return ByteRange(first, last)


def parse_content_range(header: str) -> ByteRange:
    """Parses the `Content-Range` of a chunk.

    Raises:
        RegistryError: RANGE_INVALID with status 400: it is no range at all.
    """
    match = _CONTENT_RANGE.fullmatch(header.strip())
    if match is None or int(match[2]) < int(match[1]):
        raise RegistryError(
            ErrorCode.RANGE_INVALID,
            f"Content-Range {header[:60]!r} is no range; write <first byte>-<last byte>, such as 0-1023",
            status=400,
        )
    return ByteRange(int(match[1]), int(match[2]))
