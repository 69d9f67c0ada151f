"""Images of the v1 protocol whose manifests are gone, and what noted these.

What a manifest that is still there needs is found from the topmost images down, and all else goes when nobody has
touched it for long. If one of them is wanted again in that moment, it is made again when its ancestry is asked for.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator

from backends.model.names import ImageId, is_image_id
from backends.registry.derived.sources import Sources
from backends.registry.links import names_in
from backends.registry.purging import Abandoned
from backends.registry.v1_view.claims import read_claim
from backends.registry.v1_view.derived_images import DerivedImages
from backends.storage import layout
from backends.storage.completion import run_to_completion
from backends.storage.driver import PathNotFound
from backends.storage.locks import LockHeld
from backends.storage.storage import Storage

PLACES = {
    "image": (layout.DERIVED_V1_IMAGES, layout.derived_v1_image),
    "claim": (layout.DERIVED_V1_CLAIMS, layout.claimed_v1_image),
    "sources": (layout.DERIVED_V1_SOURCES, layout.derived_v1_sources),
}


class UnusedV1Images:
    """A `Source` (`purging`) of images that were made of manifests.

    Args:
        storage: v2's root, where they are kept.
    """

    kind = "conversion"

    def __init__(self, storage: Storage) -> None:
        self._driver = storage.driver
        self._locks = storage.locks
        self._images = DerivedImages(storage.driver, storage.locks)
        self._sources = Sources(storage.driver, storage.driver)

    async def find(self) -> AsyncGenerator[Abandoned, None]:
        used: set[bytes] = set()
        async for top in self._ids(layout.DERIVED_V1_SOURCES):
            if await self._is_used(top):
                await self._use(top, used)
            else:
                found = await self._look("sources", top)
                if found is not None:
                    yield found
        for place in ("image", "claim"):
            async for image_id in self._ids(PLACES[place][0]):
                found = None if bytes.fromhex(image_id) in used else await self._look(place, image_id)
                if found is not None:
                    yield found

    async def _look(self, place: str, image_id: ImageId) -> Abandoned | None:
        try:
            info = await self._driver.stat(PLACES[place][1](image_id))
        except PathNotFound:
            return None
        return Abandoned(self.kind, (place, image_id), 0 if info.is_directory else info.size, info.modified)

    async def _is_used(self, top: ImageId) -> bool:
        """Whether a manifest whose topmost image this is is still there."""
        for source in await self._images.sources(top, limit=None):
            if await self._sources.has_manifest(source.name, source.digest):
                return True
        return False

    async def _use(self, top: ImageId, used: set[bytes]) -> None:
        following: ImageId | None = top
        while following is not None and bytes.fromhex(following) not in used:
            used.add(bytes.fromhex(following))
            image = await self._images.find(following)
            if image is None:
                claim = await read_claim(self._driver, following)
                image = None if claim is None else claim[0]
            following = None if image is None else image.parent

    async def remove(self, found: Abandoned, *, before: float) -> bool:
        place, image_id = found.what[0], ImageId(found.what[1])
        try:
            async with self._locks.hold(layout.derived_v1_lock(image_id)):
                now = await self._look(place, image_id)
                if now is None or now.touched >= before or (place == "sources" and await self._is_used(image_id)):
                    return False
                await run_to_completion(self._driver.delete(PLACES[place][1](image_id)))
                return True
        except LockHeld:
            return False

    async def _ids(self, folder: str) -> AsyncIterator[ImageId]:
        for prefix in await names_in(self._driver, folder):
            for name in await names_in(self._driver, f"{folder}/{prefix}"):
                if is_image_id(name):
                    yield ImageId(name)
