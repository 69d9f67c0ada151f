"""Manifest lists and OCI indexes: several manifests under one name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from backends.model.descriptors import Descriptor, no_annotations, parse_annotations, parse_descriptor, parse_text
from backends.model.manifests.images import parse_subject


@dataclass(frozen=True, slots=True)
class Index:
    """A Docker manifest list or an OCI index.

    Attributes:
        content: the document, to the byte.
        media_type: which of the two it is.
        manifests: its entries; some programs list blobs among them (BuildKit's cache).
        subject: the manifest that this one says something about.
        artifact_type: the kind of artifact; "" where it is not said.
        annotations: by their keys.
    """

    content: bytes
    media_type: str
    manifests: tuple[Descriptor, ...]
    subject: Descriptor | None
    artifact_type: str = ""
    annotations: Mapping[str, str] = field(default_factory=no_annotations, hash=False)


def parse_index(document: Mapping[str, Any], content: bytes, media_type: str) -> Index:
    """Makes an index of a parsed document.

    Raises:
        ValueError: it is malformed; the message says where.
    """
    entries = document.get("manifests")
    if not isinstance(entries, list):
        raise ValueError("it has no list `manifests`")
    return Index(
        content,
        media_type,
        tuple([parse_descriptor(entry, f"manifests[{index}]") for index, entry in enumerate(entries)]),
        parse_subject(document),
        parse_text(document.get("artifactType"), "artifactType"),
        parse_annotations(document.get("annotations"), "annotations"),
    )
