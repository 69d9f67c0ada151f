"""Images that were made of manifests become ordinary ones, where others are to rest on them (FORMATS 7.1).

A client of the v1 protocol that has pulled such an image may push a child of it, or push it to another repository. From
then on it is an image like those that it pushes, in docker-registry's files, and stays when the manifest goes.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from backends.model.actor import Actor
from backends.model.errors import ErrorCode, RegistryError
from backends.model.image_places import ImageCopy, ImagePlace, id_at
from backends.model.names import ImageId
from backends.model.v1names import V1Name
from backends.registry.hashing import RunningHash
from backends.registry.second_names import link_or_copy
from backends.registry.v1.image_files import Lineage, StoredElsewhere
from backends.registry.v1.images import Images
from backends.registry.v1.sight import Sight
from backends.registry.v1_view.derivations import Derivations
from backends.registry.v1_view.derived_images import DerivedImage
from backends.registry.v1_view.layer_bytes import LayerBytes, LayerFile
from backends.registry.v1_view.viewer import Viewer
from backends.storage import layout
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

    async def adopt(self, image_id: ImageId, sight: Sight, *, actor: Actor) -> None:
        """Gives a repository images of its own of those that another has for itself and that its client may pull.

        Nothing where the client sees no such image, or the repository has one. Of others one sees no more than that
        they are there: what a tag names, or what a child rests on, must be the repository's.

        Raises:
            RegistryError: IMAGE_UNKNOWN: it is going in this moment, or there is little room left.
            StorageFull: what was finished stays.
        """
        top = await self._pushed.own(image_id, sight)
        if sight.owner is None or top is None or top.owner == sight.owner:
            return
        places = await self._pushed.places(top)
        for number in reversed(range(len(places))):
            place = places[number]
            if not isinstance(place, ImageCopy):
                continue
            at, below = ImageCopy(sight.owner, place.image_id), places[number + 1 :]
            stored, blob = await self._pushed.get(place), await self._pushed.layer_blob(place)
            if blob is None or not stored.checksums:
                raise RegistryError(ErrorCode.IMAGE_UNKNOWN, f"Image not found: {place.image_id} has lost its layer")
            lineage = Lineage(
                [place.image_id, *map(id_at, below)], [each for each in below if not isinstance(each, ImageCopy)]
            )
            payload, path = stored.checksums[0].removeprefix("sha256:"), layout.v1_image_layer(place)
            put_layer = partial(link_or_copy, self._driver, path, blob.digest, self._driver)
            await self._pushed.make_of_stored(
                StoredElsewhere(at, stored.content, payload, lineage, put_layer), actor=actor
            )

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
