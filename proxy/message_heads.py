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
