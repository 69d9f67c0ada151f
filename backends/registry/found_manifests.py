"""What asking a repository for a manifest gives: what it is, and what goes out."""

from __future__ import annotations

from dataclasses import dataclass

from backends.model.digest import Digest
from backends.model.names import TagName
from backends.model.targets import Target


@dataclass(frozen=True, slots=True)
class ManifestInfo:
    """What a manifest is.

    Attributes:
        media_type: its type.
        digest: what names it.
        size: of what the digest names, in bytes: of schema 1, without signatures.
        length: of what goes out, in bytes: of schema 1, with signatures.
    """

    media_type: str
    digest: Digest
    size: int
    length: int


@dataclass(frozen=True, slots=True)
class StoredManifest(ManifestInfo):
    """A manifest as it goes out."""

    content: bytes


@dataclass(frozen=True, slots=True)
class ConvertedManifest(StoredManifest):
    """A manifest that was made of another one, or of a v1 image.

    Attributes:
        source: what it was made of.
        source_type: the media type of that.
        rule: the steps that made it, in ASCII.
    """

    source: Target
    source_type: str
    rule: str


@dataclass(frozen=True, slots=True)
class Tagged:
    """What a tag names, where more than its type decides what goes out.

    Attributes:
        tag: the tag.
        target: the manifest, or the image of v1.
        media_type: its type.
    """

    tag: TagName
    target: Target
    media_type: str
