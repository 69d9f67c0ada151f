"""Abandoned v1 pushes: all that is staged of one, taken together."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import AsyncExitStack

from backends.model.image_places import ImageCopy, ImagePlace
from backends.model.names import ImageId, is_image_id
from backends.model.v1names import V1Name
from backends.registry.purging import Abandoned
from backends.registry.v1.staging import layer_of
from backends.storage import layout
from backends.storage.completion import run_to_completion
from backends.storage.driver import PathNotFound, StorageError
from backends.storage.locks import LockHeld
from backends.storage.storage import Storage

_log = logging.getLogger("portside.purging")


class AbandonedImages:
    """A `Source` (`purging`) of staged v1 images."""

    kind = "v1 image"

    def __init__(self, storage: Storage) -> None:
        self._driver = storage.driver
        self._locks = storage.locks

    async def find(self) -> AsyncGenerator[Abandoned, None]:
        async for place in self._places():
            try:
                touched, size, _ = await self._look(place)
            except PathNotFound:
                continue
            except StorageError as error:
                _log.warning("%s is skipped: %s", layout.v1_staging(place), error)
                continue
            yield Abandoned(self.kind, _what(place), size, touched)

    async def _places(self) -> AsyncIterator[ImagePlace]:
        """Yields where images are staged, those by repositories too."""
        for name in await self._list(layout.V1_STAGING):
            if is_image_id(name):
                yield ImageId(name)
        for namespace in await self._list(layout.V1_STAGED_COPIES):
            for stored in await self._list(f"{layout.V1_STAGED_COPIES}/{namespace}"):
                owner = layout.v1_name_of(namespace, stored)
                if owner is None:  # not ours
                    continue
                for name in await self._list(f"{layout.V1_STAGED_COPIES}/{namespace}/{stored}"):
                    if is_image_id(name):
                        yield ImageCopy(owner, ImageId(name))

    async def _list(self, folder: str) -> Sequence[str]:
        try:
            return await self._driver.list(folder)
        except PathNotFound:
            return ()

    async def _look(self, place: ImagePlace) -> tuple[float, int, list[str]]:
        """Returns when anything staged of an image was last touched, its size in all, and its files."""
        folder = layout.v1_staging(place)
        touched, size, files = (await self._driver.stat(folder)).modified, 0, list(await self._driver.list(folder))
        for file in files:
            try:
                info = await self._driver.stat(layout.v1_staged(place, file))
            except PathNotFound:
                continue
            touched, size = max(touched, info.modified), size + info.size
        return touched, size, files

    async def remove(self, found: Abandoned, *, before: float) -> bool:
        place = _place(found.what)
        try:
            async with AsyncExitStack() as held:
                # Announcing the image, beginning a layer and making it an image take the first; receiving a
                # layer takes that layer's. So with all of them held nothing is in progress, and nothing can begin.
                await held.enter_async_context(self._locks.hold(layout.v1_image_lock(place)))
                touched, _, files = await self._look(place)
                for name in filter(None, map(layer_of, files)):
                    await held.enter_async_context(self._locks.hold(layout.v1_layer_lock(place, name)))
                if touched >= before:
                    return False
                await run_to_completion(self._driver.delete(layout.v1_staging(place)))
                return True
        except (LockHeld, PathNotFound):
            return False


def _what(place: ImagePlace) -> tuple[str, ...]:
    if isinstance(place, ImageCopy):
        return place.image_id, place.owner.namespace, place.owner.repository
    return (place,)


def _place(what: Sequence[str]) -> ImagePlace:
    match what:
        case (image_id, namespace, repository):
            return ImageCopy(V1Name(namespace, repository), ImageId(image_id))
        case _:
            return ImageId(what[0])
