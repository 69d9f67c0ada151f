"""Where an image of v1 is: shared by all repositories, or a repository's own copy. PURE.

An id is a global name that its pusher chose. Where access is controlled, a client may push an id that it cannot see,
since another repository has it: what it pushes is then an image of its own repository alone. So an image is found by
both, the repository that a client names and the id: its own copy where there is one, else the shared image.
"""

from __future__ import annotations

from dataclasses import dataclass

from typing_extensions import override

from backends.model.names import ImageId, RepositoryName
from backends.model.targets import V1Target
from backends.model.v1names import V1Name, v1_name

NOWHERE = "/"
"""A namespace that no repository of v1 has: every text is split at its first slash."""


@dataclass(frozen=True, slots=True)
class ImageCopy:
    """An image that one repository has for itself.

    Attributes:
        owner: the repository.
        image_id: the image's id, which a shared image may have too, or the copy of another repository.
    """

    owner: V1Name
    image_id: ImageId

    @override
    def __str__(self) -> str:
        return f"{self.image_id} of {self.owner}"


ImagePlace = ImageId | ImageCopy
"""An id by itself is the image that all repositories share."""


def id_at(place: ImagePlace) -> ImageId:
    """Returns the id of the image at a place."""
    return place.image_id if isinstance(place, ImageCopy) else place


def place_of(name: RepositoryName, target: V1Target) -> ImagePlace:
    """Returns where the image is that a tag of a repository names."""
    return copy_of(name, target.image_id) if target.is_copy else target.image_id


def copy_of(name: RepositoryName, image_id: ImageId) -> ImageCopy:
    """Returns where a repository's own copy of an image is; a repository for which v1 has no name has none there."""
    return ImageCopy(v1_name(name) or V1Name(NOWHERE, name), image_id)


def target_at(place: ImagePlace) -> V1Target:
    """Returns what a tag names that names the image at a place."""
    return V1Target(id_at(place), is_copy=isinstance(place, ImageCopy))
