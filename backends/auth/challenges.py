"""How a challenge's parameters are written (RFC 9110 section 11.2), as distribution and Go write them. PURE."""

from __future__ import annotations


def quoted(text: str) -> str:
    """Returns a text as a quoted string."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
