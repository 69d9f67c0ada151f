"""Several ranges in one answer: the layout of `multipart/byteranges` (RFC 9110 section 14.6). PURE."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from backends.model.ranges import ByteRange


@dataclass(frozen=True, slots=True)
class Multipart:
    """The body of an answer: each head followed by the bytes of its range, then the end.

    Attributes:
        content_type: of the answer.
        parts: in the order of the answer: what stands before the bytes of a range, and the range.
        end: what stands after the bytes of the last one.
        length: bytes of the whole body.
    """

    content_type: str
    parts: Sequence[tuple[bytes, ByteRange]]
    end: bytes
    length: int


def plan_multipart(ranges: Sequence[ByteRange], *, size: int, content_type: str, boundary: str) -> Multipart:
    """Plans an answer, one part for each range.

    Args:
        ranges: in the order of the answer.
        size: bytes of the whole content.
        content_type: the content's own.
        boundary: a token that the content cannot hold, so one that its maker could not guess.
    """
    parts = [
        (
            f"\r\n--{boundary}\r\nContent-Range: bytes {each.first}-{each.last}/{size}\r\n"
            f"Content-Type: {content_type}\r\n\r\n".encode("ascii"),
            each,
        )
        for each in ranges
    ]
    parts[0] = (parts[0][0].removeprefix(b"\r\n"), parts[0][1])  # some readers take it for a part of its own
    end = f"\r\n--{boundary}--\r\n".encode("ascii")
    length = sum(len(head) + each.length for head, each in parts) + len(end)
    return Multipart(f"multipart/byteranges; boundary={boundary}", parts, end, length)
