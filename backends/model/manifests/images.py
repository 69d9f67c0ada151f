"""Image manifests: schema 2 and OCI, one structure under two names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from backends.model import media_types
from backends.model.descriptors import Descriptor, parse_descriptor


@dataclass(frozen=True, slots=True)
class Schema2:
    """Docker image manifest version 2, schema 2."""

    content: bytes
    config: Descriptor
    layers: tuple[Descriptor, ...]
    media_type: ClassVar[str] = media_types.SCHEMA2


@dataclass(frozen=True, slots=True)
class OciManifest:
    """OCI image manifest, also the shape of artifacts."""

    content: bytes
    config: Descriptor
    layers: tuple[Descriptor, ...]
    subject: Descriptor | None
    media_type: ClassVar[str] = media_types.OCI_MANIFEST


def parse_parts(document: Mapping[str, Any]) -> tuple[Descriptor, tuple[Descriptor, ...]]:
    """Returns config and layers.

    Raises:
        ValueError: they are not there or malformed.
    """
    layers = document.get("layers")
    if not isinstance(layers, Sequence) or isinstance(layers, str):
        raise ValueError("it has no list `layers`")
    return parse_descriptor(document.get("config"), "config"), tuple(
        parse_descriptor(layer, f"layers[{index}]") for index, layer in enumerate(layers)
    )
