"""Manifest lists and OCI indexes: several manifests under one name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from backends.model.descriptors import Descriptor, parse_descriptor


@dataclass(frozen=True, slots=True)
class Index:
    """A Docker manifest list or an OCI index; `media_type` tells which."""

    content: bytes
    media_type: str
    manifests: tuple[Descriptor, ...]
    subject: Descriptor | None


def parse_entries(document: Mapping[str, Any]) -> tuple[Descriptor, ...]:
    """Returns the manifests that the document lists.

    Raises:
        ValueError: there is no such list, or an entry is malformed.
    """
    entries = document.get("manifests")
    if not isinstance(entries, Sequence) or isinstance(entries, str):
        raise ValueError("it has no list `manifests`")
    return tuple(parse_descriptor(entry, f"manifests[{index}]") for index, entry in enumerate(entries))
