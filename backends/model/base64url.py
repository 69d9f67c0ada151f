"""Base 64 in the letters of URLs, without padding (RFC 7515 section 2). PURE."""

from __future__ import annotations

import base64


def encode(data: bytes) -> str:
    """Returns the text of bytes."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def decode(text: str) -> bytes:
    """Returns the bytes again.

    Raises:
        ValueError: there are other letters in it.
    """
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
