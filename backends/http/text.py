"""Text of clients, made fit for a log line or a page. PURE."""

from __future__ import annotations


def printable(text: str) -> str:
    """Returns text with everything but printable ASCII replaced by `?`, line ends included."""
    return "".join(character if " " <= character < "\x7f" else "?" for character in text)
