"""Images that were made of manifests become ordinary ones, where others are to rest on them (FORMATS 7.1).

A client of the v1 protocol that has pulled such an image may push a child of it, or push it to another repository. From
then on it is an image like those that it pushes, in docker-registry's files, and stays when the manifest goes.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from backends.model.actor import Actor
from backends.model.image_places import ImageCopy, ImagePlace
from backends.model.names import ImageId
from backends.model.v1images import V1Name
from backends.registry.hashing import RunningHash
from backends.registry.second_names import link_or_copy
from backends.registry.v1.image_files import Lineage, StoredElsewhere
from backends.registry.v1.images import Images
from backends.registry.v1_view.derivations import Derivations
from backends.registry.v1_view.derived_images import DerivedImage
from backends.registry.v1_view.layer_bytes import LayerBytes, LayerFile
from backends.registry.v1_view.viewer import Viewer
from backends.storage.driver import StorageDriver

PATIENCE_SECONDS = 24 * 3600.0
"""As long as it takes: a push cannot be redirected, and who pushes an image has pulled it before, so there is little to
wait for. But a wait that has an end, however late, ends with the process: its client is told to push again."""

PATIENT = Viewer(patience=PATIENCE_SECONDS)


class Pinning:
    """Makes ordinary images of those that were made of manifests.

    Args:
        driver: of v1's root.
        pushed: the ordinary ones.
        view: the others.
        layers: their layers.
    """

    def __init__(self, driver: StorageDriver, pushed: Images, view: Derivations, layers: LayerBytes) -> None:
        self._driver = driver
        self._pushed = pushed
        self._view = view
        self._layers = layers

    async def pin(self, image_id: ImageId, *, actor: Actor, owner: V1Name | None = None) -> None:
        """Makes ordinary images of an image and all below it, from the base up; nothing where it is none of these.

        Args:
            image_id: the image.
            actor: who needs it.
            owner: the repository whose own they become; None for images that all repositories share.

        Raises:
            ImpossibleConversion: a layer is gone.
            StillWorking: the process ends before it is known what a layer holds.
            StorageFull: what was finished stays.
        """
        images = await self._view.ancestry(image_id, PATIENT)
        ids = [image.image_id for image in images]
        for place in reversed(range(len(images))):
            at = ids[place] if owner is None else ImageCopy(owner, ids[place])
            await self._pin(images[place], at, ids[place:], actor=actor)

    async def _pin(self, image: DerivedImage, at: ImagePlace, ancestry: Sequence[ImageId], *, actor: Actor) -> None:
        if await self._pushed.is_whole(at):
            await self._pushed.ensure_durable(at)
            return
        layer = await self._layers.find(image, patience=PATIENCE_SECONDS)
        payload = await _payload_of(image.text, layer)
        lineage = Lineage(ancestry, () if isinstance(at, ImageCopy) else ancestry[1:])
        stored = StoredElsewhere(at, image.text, payload, lineage, partial(self._put_layer, layer))
        await self._pushed.make_of_stored(stored, actor=actor)

    async def _put_layer(self, layer: LayerFile, target: str) -> None:
        """Gives a layer its name as an image's: one file by hard link, else a copy."""
        if layer.path is None:
            await self._driver.write(target, layer.content)
            return
        await link_or_copy(layer.driver, layer.path, layer.digest, self._driver, target)


async def _payload_of(text: bytes, layer: LayerFile) -> str:
    """Returns the payload checksum of an image's JSON and its layer, in hex (V1API section 10)."""
    payload = RunningHash(prefix=text + b"\n")
    if layer.path is None:
        payload.take([layer.content])
    else:
        await payload.advance(layer.driver, layer.path, layer.size)
    return payload.value.hexdigest()
