"""Image manifests: schema 2 and OCI, one structure under two names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from backends.model import media_types
from backends.model.descriptors import Descriptor, no_annotations, parse_annotations, parse_descriptor, parse_text


@dataclass(frozen=True, slots=True)
class Schema2:
    """Docker image manifest version 2, schema 2."""

    content: bytes
    config: Descriptor
    layers: tuple[Descriptor, ...]
    media_type: ClassVar[str] = media_types.SCHEMA2


@dataclass(frozen=True, slots=True)
class OciManifest:
    """OCI image manifest, also the shape of artifacts.

    Attributes:
        content: the document, to the byte.
        config: the image's configuration, or what an artifact has in its place.
        layers: in the order of the document.
        subject: the manifest that this one says something about.
        artifact_type: the kind of artifact; "" where it is not said.
        annotations: by their keys.
    """

    content: bytes
    config: Descriptor
    layers: tuple[Descriptor, ...]
    subject: Descriptor | None
    artifact_type: str = ""
    annotations: Mapping[str, str] = field(default_factory=no_annotations, hash=False)
    media_type: ClassVar[str] = media_types.OCI_MANIFEST


def parse_schema2(document: Mapping[str, Any], content: bytes) -> Schema2:
    """Makes a manifest of a parsed document.

    Raises:
        ValueError: it is malformed; the message says where.
    """
    return Schema2(content, parse_descriptor(document.get("config"), "config"), _parse_layers(document))


def parse_oci_manifest(document: Mapping[str, Any], content: bytes) -> OciManifest:
    """Makes a manifest of a parsed document.

    Raises:
        ValueError: it is malformed; the message says where.
    """
    return OciManifest(
        content,
        parse_descriptor(document.get("config"), "config"),
        _parse_layers(document),
        parse_subject(document),
        parse_text(document.get("artifactType"), "artifactType"),
        parse_annotations(document.get("annotations"), "annotations"),
    )


def parse_subject(document: Mapping[str, Any]) -> Descriptor | None:
    """Returns the manifest that a document says something about.

    Raises:
        ValueError: it is malformed.
    """
    subject = document.get("subject")
    return None if subject is None else parse_descriptor(subject, "subject")


def _parse_layers(document: Mapping[str, Any]) -> tuple[Descriptor, ...]:
    layers = document.get("layers")
    if not isinstance(layers, list):
        raise ValueError("it has no list `layers`")
    return tuple([parse_descriptor(layer, f"layers[{index}]") for index, layer in enumerate(layers)])
