"""Heads of messages as bytes: what is sent to a registry, and to a client. PURE."""

from __future__ import annotations

from collections.abc import Iterable

from proxy.headers import Header


def encode_head(first: str, headers: Iterable[Header]) -> bytes:
    """Returns a head without its empty line.

    Args:
        first: the request line or the status line.
        headers: in order.

    Raises:
        ValueError: a line holds what would make it several.
    """
    lines = [first, *(f"{name}: {value}" for name, value in headers), ""]
    text = "\r\n".join(lines)
    ends = len(lines) - 1
    if text.count("\r") != ends or text.count("\n") != ends or "\0" in text:
        raise ValueError("a line of a head holds a line's end, or NUL")
    return text.encode("utf-8", "ignore")  # bytes that are not UTF-8 are left out, as aiohttp does


def end_with(credentials: bytes) -> bytes:
    """Returns the end of a head, which shows a registry its client's credentials; b"" for none."""
    return b"Authorization: %b\r\n\r\n" % credentials if credentials else b"\r\n"


def end_of_head(name: bytes, asked: bytes) -> bytes:
    """Returns the same end, for a client's head.

    Args:
        name: of its only header with credentials, as it stands there; b"" for none.
        asked: its bytes.
    """
    if not name:
        return end_with(b"")
    return end_with(asked.partition(b"\r\n%b:" % name)[2].partition(b"\r\n")[0].strip(b" \t"))
