"""What a tag names: an image of v1, or a manifest of v2. PURE (FORMATS 7.2)."""

from __future__ import annotations

from dataclasses import dataclass

from backends.model.digest import Digest
from backends.model.names import ImageId


@dataclass(frozen=True, slots=True)
class V1Target:
    """An image that was pushed by the v1 protocol.

    Attributes:
        image_id: the image.
        is_copy: whether it is the repository's own copy (`image_places`), and not the image that all share.
    """

    image_id: ImageId
    is_copy: bool = False


@dataclass(frozen=True, slots=True)
class V2Target:
    """A manifest that was pushed by the v2 protocol, of any form."""

    digest: Digest


Target = V1Target | V2Target


def target_text(target: Target) -> str:
    """Returns the digest of a manifest, or the id of an image of v1."""
    match target:
        case V1Target(image_id):
            return image_id
        case V2Target(digest):
            return str(digest)
