"""Descriptors: what a manifest says of a blob or of another manifest (OCI image specification, "Descriptors")."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from backends.model.digest import Digest, parse_digest
from backends.model.errors import RegistryError
from backends.model.strict_json import refuse_lookalikes, spellings

FIELDS = spellings("mediaType", "digest", "size", "urls", "data", "platform", "annotations", "artifactType")
_PLATFORM = spellings("architecture", "os", "os.version", "os.features", "variant", "features")
MAX_SIZE = 2**63 - 1
"""What clients can read: they hold a size in 64 bits with a sign."""

_NO_ANNOTATIONS: Mapping[str, str] = MappingProxyType({})


def no_annotations() -> Mapping[str, str]:
    """Returns what all descriptors without annotations share."""
    return _NO_ANNOTATIONS


@dataclass(frozen=True, slots=True)
class Platform:
    """What an image runs on; "" for what is not said (OCI image specification, "Image Index")."""

    architecture: str
    os: str
    os_version: str = ""
    os_features: tuple[str, ...] = ()
    variant: str = ""


@dataclass(frozen=True, slots=True)
class Descriptor:
    """Content that a manifest names.

    Attributes:
        media_type: its type, any text.
        digest: what names it.
        size: in bytes, as the manifest says.
        urls: where else it may be.
        platform: what it runs on, where an index says so.
        annotations: by their keys.
        artifact_type: the kind of artifact that a manifest is, "" where it is not said.
    """

    media_type: str
    digest: Digest
    size: int
    urls: tuple[str, ...] = ()
    platform: Platform | None = None
    annotations: Mapping[str, str] = field(default_factory=no_annotations, hash=False)
    artifact_type: str = ""


def parse_descriptor(value: object, where: str) -> Descriptor:
    """Parses a descriptor of a manifest.

    Args:
        value: what the JSON has there.
        where: its place in the document, for the message.

    Raises:
        ValueError: it is not a descriptor; the message says where and why.
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
    if isinstance(size, bool) or not isinstance(size, int) or not 0 <= size <= MAX_SIZE:
        raise ValueError(f"{where} has no size; it is a number of bytes, up to {MAX_SIZE}")
    try:
        parsed = parse_digest(digest)
    except RegistryError as error:
        raise ValueError(f"{where}: {error.detail}") from None
    if len(fields) == _PLAIN:
        return Descriptor(media_type, parsed, size)
    return Descriptor(
        media_type,
        parsed,
        size,
        parse_texts(fields.get("urls"), f"{where}.urls"),
        _parse_platform(fields.get("platform"), f"{where}.platform"),
        parse_annotations(fields.get("annotations"), f"{where}.annotations"),
        parse_text(fields.get("artifactType"), f"{where}.artifactType"),
    )


_PLAIN = 3


def parse_annotations(value: object, where: str) -> Mapping[str, str]:
    """Parses annotations; absent and null mean none.

    Raises:
        ValueError: they are not an object of texts.
    """
    if value is None:
        return _NO_ANNOTATIONS
    if not isinstance(value, Mapping) or not all(isinstance(text, str) for text in value.values()):
        raise ValueError(f"{where} must be an object whose values are text")
    return value


def parse_text(value: object, where: str) -> str:
    """Parses a text; absent and null mean "".

    Raises:
        ValueError: it is something else.
    """
    if value is None:
        return ""
    if not isinstance(value, str):
        raise ValueError(f"{where} must be text")
    return value


def parse_texts(value: object, where: str) -> tuple[str, ...]:
    """Parses a list of texts; absent and null mean none.

    Raises:
        ValueError: it is something else.
    """
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
        raise ValueError(f"{where} must be a list of texts")
    return tuple(value)


def _parse_platform(value: object, where: str) -> Platform | None:
    if value is None:
        return None
    if not isinstance(value, Mapping):
        raise ValueError(f"{where} must be an object")
    fields: Mapping[str, Any] = value
    try:
        refuse_lookalikes(fields, _PLATFORM)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None
    return Platform(
        parse_text(fields.get("architecture"), f"{where}.architecture"),
        parse_text(fields.get("os"), f"{where}.os"),
        parse_text(fields.get("os.version"), f"{where}.os.version"),
        parse_texts(fields.get("os.features"), f"{where}.os.features"),
        parse_text(fields.get("variant"), f"{where}.variant"),
    )
