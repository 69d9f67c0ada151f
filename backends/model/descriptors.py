"""Descriptors: what a manifest says of a blob or of another manifest (OCI image specification, "Descriptors")."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from backends.model.digest import Digest, parse_digest
from backends.model.errors import RegistryError
from backends.model.strict_json import refuse_lookalikes

FIELDS = ("mediaType", "digest", "size", "urls", "data", "platform", "annotations", "artifactType")


@dataclass(frozen=True, slots=True)
class Descriptor:
    """A media type, a digest, a size in bytes, and whether the content may be elsewhere (`urls`)."""

    media_type: str
    digest: Digest
    size: int
    has_urls: bool = False


def parse_descriptor(value: object, where: str) -> Descriptor:
    """Parses a descriptor of a manifest.

    Args:
        value: what the JSON has there.
        where: its place in the document, for the message.

    Raises:
        ValueError: it is none; the message says where and why.
    """
    if not isinstance(value, Mapping):
        raise ValueError(f"{where} is not a descriptor")
    fields: Mapping[str, Any] = value
    try:
        refuse_lookalikes(fields, FIELDS)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None
    media_type, digest, size = fields.get("mediaType"), fields.get("digest"), fields.get("size")
    if not isinstance(media_type, str) or not media_type:
        raise ValueError(f"{where} has no mediaType")
    if not isinstance(digest, str):
        raise ValueError(f"{where} has no digest")
    if isinstance(size, bool) or not isinstance(size, int) or size < 0:
        raise ValueError(f"{where} has no size")
    try:
        parsed = parse_digest(digest)
    except RegistryError as error:
        raise ValueError(f"{where}: {error.detail}") from None
    return Descriptor(media_type, parsed, size, has_urls=bool(fields.get("urls")))
