"""The images that repositories have for themselves, since others have the same ids, and what they pushed of the shared.

Invariants:
- what a tag of a repository names is its own copy where there is one. So a copy goes only after every tag that may name
  it, while the repository's lock is held alone: else a tag would come to name the image of another repository;
- what a copy rests on is never looked for by its id alone: it is what was found when the copy was made (`places`).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, suppress

from backends.model.errors import RegistryError
from backends.model.image_places import ImageCopy, ImagePlace
from backends.model.names import ImageId
from backends.model.targets import V1Target
from backends.model.v1images import dump_json, parse_ancestry, parse_stored_checksums
from backends.model.v1names import V1Name, parse_v1_name
from backends.registry.no_room import exists, undone_without_room
from backends.registry.yielding import yielding
from backends.storage import layout
from backends.storage.capabilities import KnowsAbsence, capability
from backends.storage.driver import InvalidPath, PathNotFound, StorageDriver

_NONE = (layout.V1_COPIES,)
_NO_ANCESTORS = dump_json([])


class Copies:
    """The own images of all repositories on one root.

    Args:
        driver: of v1's root.
        are_kept: whether there may be any: access is controlled, or was. Else nobody looks for them.

    Attributes:
        are_kept: as above.
    """

    def __init__(self, driver: StorageDriver, *, are_kept: bool = True) -> None:
        self.are_kept = are_kept
        self._driver = driver
        self._knows = capability(driver, KnowsAbsence)

    def are_absent(self) -> bool:
        """Whether surely no repository has any; it costs no look."""
        return not self.are_kept or (self._knows is not None and self._knows.are_absent(_NONE))

    async def has(self, copy: ImageCopy) -> bool:
        """Whether a repository has a copy, which is complete."""
        try:
            return not self.are_absent() and await exists(self._driver, layout.v1_image_json(copy))
        except InvalidPath:  # of a name that no file can have
            return False

    async def resolve(self, owner: V1Name, image_id: ImageId) -> ImagePlace:
        """Returns which image a tag of a repository names by an id."""
        copy = ImageCopy(owner, image_id)
        return copy if await self.has(copy) else image_id

    async def resolved(self, owner: V1Name, target: V1Target) -> V1Target:
        """Returns what a tag of a repository names whose file has been read."""
        if await self.has(ImageCopy(owner, target.image_id)):
            return V1Target(target.image_id, is_copy=True)
        return target

    async def places(self, place: ImagePlace) -> Sequence[ImagePlace]:
        """Returns where an image and its ancestors are, its own first.

        Raises:
            PathNotFound: that is not recorded, or one of a copy's ancestors is not there any more.
            ValueError: what is recorded is damaged.
        """
        ids = parse_ancestry(await self._driver.read(layout.v1_image_ancestry(place)))
        if not isinstance(place, ImageCopy):
            return ids
        shared = _parse_shared(await self._driver.read(layout.v1_shared_ancestors(place)))
        return [each if each in shared else await self._own(ImageCopy(place.owner, each)) for each in ids]

    async def _own(self, copy: ImageCopy) -> ImagePlace:
        """Returns an ancestor that the same repository has, or pushed later as an image that all share."""
        if await self.has(copy):
            return copy
        if await self.has_pushed(copy):
            return copy.image_id
        raise PathNotFound(layout.v1_image_json(copy))

    async def has_pushed(self, copy: ImageCopy) -> bool:
        """Whether a repository has pushed the image of this id that all share, the very same: JSON and layer."""
        try:
            payload = (await self._driver.read(layout.v1_pushed(copy))).decode("ascii", "replace")
            stored = parse_stored_checksums(await self._driver.read(layout.v1_image_checksum(copy.image_id)))
        except (PathNotFound, InvalidPath):
            return False
        return payload in stored

    async def note_pushed(self, copy: ImageCopy, payload: str) -> None:
        """Notes that a repository pushes the image of this id that all share.

        Args:
            copy: the repository and the id.
            payload: the payload checksum, in hex.
        """
        await self._note(layout.v1_pushed(copy), f"sha256:{payload}".encode())

    async def note_owner(self, copy: ImageCopy) -> None:
        """Notes that a repository pushes an image, whether it will be its own or one that all share."""
        await self._note(layout.v1_owner(copy), copy.owner.text.encode())

    async def owners(self, image_id: ImageId) -> AsyncIterator[V1Name]:
        """Yields repositories that have pushed an image with an id, or once had: of a common base, thousands."""
        if self.are_absent():
            return
        try:
            entries = await self._driver.list(layout.v1_owners(image_id))
        except PathNotFound:
            return
        async for entry in yielding(entries):
            try:
                text = await self._driver.read(f"{layout.v1_owners(image_id)}/{entry}")
                owner = parse_v1_name(text.decode())
            except (PathNotFound, RegistryError, UnicodeDecodeError):  # gone, or not ours
                continue
            yield owner

    async def since(self, place: ImagePlace) -> float:
        """Returns when an image was made, in seconds since the epoch.

        Raises:
            PathNotFound: it is not there.
        """
        return (await self._driver.stat(layout.v1_image_json(place))).modified

    async def _note(self, path: str, content: bytes) -> None:
        with suppress(PathNotFound):
            if await self._driver.read(path) == content:
                await self._driver.ensure_durable(path)
                return
        await self._driver.write(path, content)

    def undone_without_room(self, copy: ImageCopy) -> AbstractAsyncContextManager[None]:
        """When there is no room for what is done in the context, nothing is left of what was noted of an id."""
        return undone_without_room(self._driver, layout.v1_owner(copy), layout.v1_image(copy))

    async def remove(self, owner: V1Name) -> None:
        """Removes all of a repository; its lock is held alone, and no tag names an image of v1 any more."""
        if self.are_absent():
            return
        with suppress(PathNotFound, InvalidPath):
            entries = await self._driver.list(layout.v1_copies(owner))
            # By one rename, and before what says where they are: an image is never there without that.
            await self._driver.delete(layout.v1_copies(owner))
            async for entry in yielding(entries):
                with suppress(PathNotFound):
                    await self._driver.delete(layout.v1_owner(ImageCopy(owner, ImageId(entry))))


def _parse_shared(content: bytes) -> frozenset[ImageId]:
    return frozenset() if content == _NO_ANCESTORS else frozenset(parse_ancestry(content))
