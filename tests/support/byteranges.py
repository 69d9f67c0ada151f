"""Reads `multipart/byteranges` strictly, as RFC 2046 and RFC 9110 write it."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Part:
    """A part: the place that it names, the size of the whole, its bytes."""

    first: int
    last: int
    size: int
    content: bytes


def parse_byteranges(content_type: str, body: bytes) -> list[Part]:
    """Returns the parts of an answer in order; nothing but parts may be in it."""
    match = re.fullmatch(r"multipart/byteranges; boundary=([0-9a-zA-Z'()+_,./:=?-]{1,70})", content_type)
    assert match, content_type
    boundary = match[1].encode()
    assert body.startswith(b"--" + boundary + b"\r\n")
    assert body.endswith(b"\r\n--" + boundary + b"--\r\n")
    inner = body[len(boundary) + 4 : -len(boundary) - 8]
    parts = []
    for text in inner.split(b"\r\n--" + boundary + b"\r\n"):
        head, _, content = text.partition(b"\r\n\r\n")
        fields = dict(line.split(": ", 1) for line in head.decode("ascii").split("\r\n"))
        assert set(fields) == {"Content-Type", "Content-Range"}
        assert fields["Content-Type"] == "application/octet-stream"
        place = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+)", fields["Content-Range"])
        assert place, fields
        part = Part(int(place[1]), int(place[2]), int(place[3]), content)
        assert part.last - part.first + 1 == len(content)
        parts.append(part)
    return parts
