"""Paths of requests, as they came: never decoded. PURE."""

from __future__ import annotations

import re

_SLASHES = re.compile("/{2,}")
_PREFIX = re.compile(r"(?:/(?!\.{1,2}(?:/|$))[A-Za-z0-9._~-]+)+")


def collapse_slashes(path: str) -> str:
    """Returns a path with one slash where it has several; nothing else of it is touched."""
    return _SLASHES.sub("/", path)


def parse_prefix(text: str) -> str:
    """Returns a prefix of paths without its last slash: `/registry` of `/registry/`, "" of `/`.

    Raises:
        ValueError: it is not a path from the root, or has what no path may have; distribution takes it, and then
            answers 404 to everything.
    """
    if text in {"", "/"}:
        return ""
    prefix = text.removesuffix("/")
    if not _PREFIX.fullmatch(prefix):
        raise ValueError("write it like /registry/: from the root, with letters, digits, and . _ ~ - in each part")
    return prefix
