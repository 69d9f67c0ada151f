"""Paths of requests, as they came: never decoded. PURE."""

from __future__ import annotations

import re

_SLASHES = re.compile("/{2,}")


def collapse_slashes(path: str) -> str:
    """Returns a path with one slash where it has several; nothing else of it is touched."""
    return _SLASHES.sub("/", path)
