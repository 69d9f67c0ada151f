"""Manifests that conversions made, and what is kept of them beside their content. PURE (FORMATS 0, rule 3; 7.1)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Self

from backends.model.digest import Digest, parse_digest
from backends.model.errors import RegistryError
from backends.model.names import ImageId, is_image_id
from backends.model.targets import Target


@dataclass(frozen=True, slots=True)
class DerivedManifest:
    """A manifest that was made of another one, as it goes out; it is stored, so its digest can be asked for.

    Attributes:
        media_type: its type.
        digest: what names it; of schema 1, that of the payload.
        size: in bytes; of schema 1, of the payload.
        content: the document; of schema 1, with signatures.
        source: what it was made of: what the tag names.
        source_type: the media type of `source`.
        rule: the steps that made it, in ASCII: `linux/amd64 oci-to-schema2 zstd-to-gzip`.
    """

    media_type: str
    digest: Digest
    size: int
    content: bytes
    source: Target
    source_type: str
    rule: str

    @property
    def is_converted(self) -> bool:
        """Whether it was made at all; one that was only chosen from an index is as it was pushed."""
        return "-to-" in self.rule


@dataclass(frozen=True, slots=True)
class Record:
    """What a repository keeps of a derived manifest and one of its sources; while the source is there, so is it.

    Attributes:
        media_type: the manifest's.
        size: in bytes; of schema 1, of the payload.
        source_type: the source's media type.
        rule: the steps that made it.
        original: the manifest that has the layers, where the source is an index; it must be there too.
    """

    media_type: str
    size: int
    source_type: str
    rule: str
    original: Digest | None = None

    def encode(self) -> bytes:
        document: dict[str, Any] = {
            "mediaType": self.media_type,
            "size": self.size,
            "sourceType": self.source_type,
            "rule": self.rule,
        }
        if self.original is not None:
            document["original"] = str(self.original)
        return _encode(document)

    @classmethod
    def decode(cls, encoded: bytes) -> Self:
        """Raises ValueError where this is not a record."""
        document = _decode(encoded)
        try:
            original = document.get("original")
            return cls(
                str(document["mediaType"]),
                int(document["size"]),
                str(document["sourceType"]),
                str(document["rule"]),
                None if original is None else parse_digest(str(original)),
            )
        except (KeyError, TypeError, OverflowError, RegistryError) as error:
            raise ValueError(f"not a record of a derived manifest: {error}") from None


@dataclass(frozen=True, slots=True)
class Member:
    """What a repository keeps of a blob that it may serve because of a derived manifest.

    Attributes:
        size: in bytes.
        image_id: the v1 image whose layer it is; None for content that a conversion made.
    """

    size: int
    image_id: ImageId | None = None

    def encode(self) -> bytes:
        document: dict[str, Any] = {"size": self.size}
        if self.image_id is not None:
            document["image"] = self.image_id
        return _encode(document)

    @classmethod
    def decode(cls, encoded: bytes) -> Self:
        """Raises ValueError where this is not a member."""
        document = _decode(encoded)
        image_id = document.get("image")
        size = document.get("size")
        if not isinstance(size, int) or not (image_id is None or (isinstance(image_id, str) and is_image_id(image_id))):
            raise ValueError("not the member of a derived manifest")
        return cls(size, None if image_id is None else ImageId(image_id))


def _encode(document: dict[str, Any]) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()


def _decode(encoded: bytes) -> dict[str, Any]:
    document = json.loads(encoded)
    if not isinstance(document, dict):
        raise ValueError("not an object")
    return document
