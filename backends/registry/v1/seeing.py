"""Which image a client sees by an id, and where what it pushes under one will be.

Where access is not controlled there is one answer to both: the image that all repositories share. Else a client sees
the own images of the repository that it names, and of the shared ones those that it may read or that its repository
has pushed; all others are not there for it, and it may push them. What it pushes is staged by its repository and the
id. Where it goes is decided when it is whole, and no client is told:

- it becomes a shared image where there is none of this id, and all it rests on is shared;
- it becomes the repository's own in all other cases, and so does whatever rests on that.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress

from backends.model.errors import ErrorCode, RegistryError
from backends.model.image_places import ImageCopy, ImagePlace
from backends.model.names import ImageId
from backends.registry.image_copies import Copies
from backends.registry.v1.image_files import ImageFiles, Lineage
from backends.registry.v1.sight import Sight
from backends.storage.driver import PathNotFound

IsTaken = Callable[[ImageId], Awaitable[bool]]
"""Whether an image that was made of a manifest has an id."""


class Seeing:
    """What clients see of the images on one root.

    Args:
        files: of the images.
        copies: those of repositories.
    """

    def __init__(self, files: ImageFiles, copies: Copies) -> None:
        self._files = files
        self._copies = copies

    def staged_at(self, image_id: ImageId, sight: Sight | None) -> ImagePlace:
        """Returns where an image is staged that a client pushes.

        Raises:
            RegistryError: DENIED: it names no repository.
        """
        return image_id if sight is None else _copy(image_id, sight)

    async def own(self, image_id: ImageId, sight: Sight) -> ImageCopy | None:
        """Returns the copy of an image that a client sees; None for none.

        It is that of the repository that the client names. Where that has none, and others count too, it is the oldest
        of those, unless the client sees a shared image that is older: what was pushed first would be shared if nobody
        else had it.
        """
        assert self._copies.are_kept, "a client has a sight, and this store does not look for repositories' own images"
        if sight.owner is not None:
            copy = ImageCopy(sight.owner, image_id)
            if await self._copies.has(copy):
                return copy
        found: dict[ImageCopy, float] = {}
        async for copy in self._of_others(image_id, sight):
            with suppress(PathNotFound):
                found[copy] = await self._copies.since(copy)
        oldest = min(found, key=found.__getitem__, default=None)
        if oldest is None or not await self._sees_shared(image_id, sight):
            return oldest
        with suppress(PathNotFound):
            if await self._copies.since(image_id) <= found[oldest]:
                return None
        return oldest

    async def place(self, image_id: ImageId, sight: Sight | None) -> ImagePlace | None:
        """Returns where the complete image is that a client sees; None where it sees none."""
        if sight is not None:
            own = await self.own(image_id, sight)
            if own is not None:
                return own
        return image_id if await self._sees_shared(image_id, sight) else None

    async def sees(self, place: ImagePlace, sight: Sight | None) -> bool:
        """Whether a client sees the complete image at a place."""
        if not isinstance(place, ImageCopy):
            return await self._sees_shared(place, sight)
        if sight is None or not await self._files.is_complete(place):
            return False
        return place.owner == sight.owner

    async def _sees_shared(self, image_id: ImageId, sight: Sight | None) -> bool:
        if not await self._files.is_complete(image_id):
            return False
        return sight is None or await self._may_read(image_id, sight)

    async def _may_read(self, image_id: ImageId, sight: Sight) -> bool:
        if await sight.may_read(image_id):
            return True
        if sight.owner is not None and await self._copies.has_pushed(ImageCopy(sight.owner, image_id)):
            return True
        async for copy in self._of_others(image_id, sight):
            if await self._copies.has_pushed(copy):
                return True
        return False

    async def _of_others(self, image_id: ImageId, sight: Sight) -> AsyncIterator[ImageCopy]:
        """Yields where other repositories may have copies of an image, or notes that they pushed it, for a client."""
        if not sight.sees_others:
            return
        async for owner in self._copies.owners(image_id):
            if owner != sight.owner and sight.may_pull(owner):
                yield ImageCopy(owner, image_id)

    async def destination(
        self, lineage: Lineage, payload: str, sight: Sight | None, *, is_taken: IsTaken | None
    ) -> ImagePlace:
        """Returns where an image goes that was pushed whole; the locks of both places are held.

        A shared image stays what it is. Only one that has lost its layer gets that back, and only the same one: who may
        read an image need not be one who may change it.

        Args:
            lineage: the image.
            payload: the payload checksum of JSON and layer, in hex.
            sight: what its client sees.
            is_taken: as above; None where no image was made of a manifest.
        """
        image_id = lineage.ids[0]
        if sight is None:
            return image_id
        copy = _copy(image_id, sight)
        if await self._copies.has(copy) or not lineage.rests_on_shared:
            return copy
        if await self._files.is_complete(image_id):
            is_same = f"sha256:{payload}" in await self._files.read_checksums(image_id)
            return image_id if is_same and await self._may_read(image_id, sight) else copy
        return copy if is_taken is not None and await is_taken(image_id) else image_id


def _copy(image_id: ImageId, sight: Sight) -> ImageCopy:
    if sight.owner is None:
        raise RegistryError(
            ErrorCode.DENIED,
            "images are pushed to a repository here: send the token that PUT /v1/repositories/NAME/ gave (Docker does)",
        )
    return ImageCopy(sight.owner, image_id)
