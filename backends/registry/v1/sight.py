"""What one client of the v1 protocol sees of images, whose ids name no repository.

Where access is not controlled there is no `Sight`: every id is the image that all repositories share.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from backends.model.names import ImageId
from backends.model.v1names import V1Name


class Sight(Protocol):
    """What a client sees.

    Attributes:
        owner: the repository that it names and may pull, whose own images it sees before those that all share; of a
            push, the repository that it may push to. None where it names none.
    """

    @property
    def owner(self) -> V1Name | None: ...

    @property
    def sees_others(self) -> bool:
        """Whether what other repositories have counts, too, as far as the client may pull them.

        So it is where it names none, and where it pushes: what it could pull elsewhere it does not send again.
        """
        ...

    def may_pull(self, owner: V1Name) -> bool:
        """Whether the client may pull a repository, of those that count."""
        ...

    async def may_read(self, image_id: ImageId) -> bool:
        """Whether the client may pull a repository that has the shared image of this id, by a tag's ancestry.

        What `owner` has pushed itself is not asked for here, and copies of an id count for nothing.
        """
        ...

    async def may_read_made(self, image_id: ImageId) -> bool:
        """Whether the client may pull a repository that has a manifest of which an image with this id was made."""
        ...


@dataclass(frozen=True, slots=True)
class SightIn:
    """What a client sees whose request names a repository itself, whatever its token names.

    Attributes:
        sight: what it sees.
        owner: the repository, in which the client may do what it asks for.
    """

    sight: Sight
    owner: V1Name | None

    @property
    def sees_others(self) -> bool:
        return self.sight.sees_others

    def may_pull(self, owner: V1Name) -> bool:
        return self.sight.may_pull(owner)

    async def may_read(self, image_id: ImageId) -> bool:
        return await self.sight.may_read(image_id)

    async def may_read_made(self, image_id: ImageId) -> bool:
        return await self.sight.may_read_made(image_id)


def sight_in(sight: Sight | None, owner: V1Name) -> Sight | None:
    """Returns what a client sees whose request names a repository itself; None where access is not controlled."""
    return None if sight is None else SightIn(sight, owner)
