"""Abandoned v1 pushes: all that is staged of one, taken together."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack

from backends.model.names import ImageId, is_image_id
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
        try:
            names = await self._driver.list(layout.V1_STAGING)
        except PathNotFound:
            return
        for name in names:
            if not is_image_id(name):
                continue
            image_id = ImageId(name)
            try:
                touched, size, _ = await self._look(image_id)
            except PathNotFound:
                continue
            except StorageError as error:
                _log.warning("%s is skipped: %s", layout.v1_staging(image_id), error)
                continue
            yield Abandoned(self.kind, (image_id,), size, touched)

    async def _look(self, image_id: ImageId) -> tuple[float, int, list[str]]:
        """Returns when anything staged of an image was last touched, its size in all, and its files."""
        folder = layout.v1_staging(image_id)
        touched, size, files = (await self._driver.stat(folder)).modified, 0, list(await self._driver.list(folder))
        for file in files:
            try:
                info = await self._driver.stat(layout.v1_staged(image_id, file))
            except PathNotFound:
                continue
            touched, size = max(touched, info.modified), size + info.size
        return touched, size, files

    async def remove(self, found: Abandoned, *, before: float) -> bool:
        image_id = ImageId(found.what[0])
        try:
            async with AsyncExitStack() as held:
                # Announcing the image, beginning a layer and making it an image take the first; receiving a
                # layer takes that layer's. So with all of them held nothing is in progress, and nothing can begin.
                await held.enter_async_context(self._locks.hold(layout.v1_image_lock(image_id)))
                touched, _, files = await self._look(image_id)
                for name in filter(None, map(layer_of, files)):
                    await held.enter_async_context(self._locks.hold(layout.v1_layer_lock(image_id, name)))
                if touched >= before:
                    return False
                await run_to_completion(self._driver.delete(layout.v1_staging(image_id)))
                return True
        except (LockHeld, PathNotFound):
            return False
