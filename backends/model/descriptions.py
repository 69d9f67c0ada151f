"""What an image says that it is, in one line that no terminal stumbles over. PURE.

Images describe themselves by annotations of their manifests, and by labels, which are in their configurations, and in
v1's JSON since Docker 1.6. docker-registry has a column for a description and nothing that fills it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

MAX_DESCRIPTION = 100
"""Characters: what docker-registry's column holds, and the Docker Hub's short descriptions."""

_READ = 4096
"""No more of a text is looked at: what is not shown may be of any length."""

KEYS = ("org.opencontainers.image.description", "org.label-schema.description")
_INDEX_ENTRIES = "manifests"


def description_of(document: Any) -> str:
    """Returns what a manifest, a configuration or v1's JSON of an image says that the image is; "" where it does not.

    Args:
        document: parsed JSON of anybody's making.
    """
    if not isinstance(document, Mapping):
        return ""
    config = document.get("config")
    for said in (document.get("annotations"), config.get("Labels") if isinstance(config, Mapping) else None):
        found = _among(said)
        if found:
            return found
    history = document.get("history")  # of schema 1, the newest first: v1's JSON as a text
    if isinstance(history, Sequence) and history and isinstance(history[0], Mapping):
        try:
            return description_of(json.loads(history[0].get("v1Compatibility") or ""))
        except (ValueError, TypeError, RecursionError):
            return ""
    return ""


def described_elsewhere(document: Any) -> Any:
    """Returns the digest, as it stands there, of what else describes an image: its configuration.

    Of an index it is the first manifest. None where there is nothing.
    """
    if not isinstance(document, Mapping):
        return None
    entries = document.get(_INDEX_ENTRIES)
    entry = entries[0] if isinstance(entries, Sequence) and entries else document.get("config")
    return entry.get("digest") if isinstance(entry, Mapping) else None


def _among(said: Any) -> str:
    if isinstance(said, Mapping):
        for key in KEYS:
            text = said.get(key)
            if isinstance(text, str) and (line := one_line(text)):
                return line
    return ""


def one_line(text: str) -> str:
    """Returns a text as one line of at most `MAX_DESCRIPTION` printable characters.

    What would move a cursor, turn the direction of writing or hide something is left out.
    """
    words = "".join(each if each.isprintable() else " " if each.isspace() else "" for each in text[:_READ]).split()
    line = " ".join(words)
    return line if len(line) <= MAX_DESCRIPTION else line[: MAX_DESCRIPTION - 1].rstrip() + "…"
