"""What is known of layers, and no more: nothing is read to its end to find out."""

from __future__ import annotations

from typing_extensions import override

from backends.model.digest import Digest
from backends.model.image_places import ImagePlace
from backends.model.layers import LayerFacts, StoredLayer
from backends.registry.layers.layers import Layers
from backends.registry.layers.reading import LayerSource


class NotKnown(Exception):  # noqa: N818 - a finding, not a fault
    """A layer has to be read for that."""


class KnownLayers(Layers):
    """`Layers` that are never read."""

    @override
    async def facts(self, digest: Digest, source: LayerSource, *, patience: float | None = None) -> LayerFacts:
        known = await self.known(digest)
        if known is None:
            raise NotKnown(str(digest))
        return known

    @override
    async def measure_v1(self, place: ImagePlace, *, patience: float | None = None) -> StoredLayer:
        known = await self.known_v1(place)
        if known is None:
            raise NotKnown(str(place))
        return known

    @override
    async def gzip_of(
        self, digest: Digest, source: LayerSource, *, diff_id: Digest | None = None, patience: float | None = None
    ) -> StoredLayer:
        known = await self.known_gzip(digest)
        if known is None:
            raise NotKnown(str(digest))
        return known
