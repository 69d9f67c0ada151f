"""What clients of the v1 protocol see of a store: images by id, and the tags of repositories."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING

from backends.registry.repository import Repository
from backends.registry.shared import Shared
from backends.registry.v1.images import Images
from backends.registry.v1.repositories import Repositories
from backends.registry.v1_view.claims import Claims
from backends.registry.v1_view.derivations import Derivations
from backends.registry.v1_view.derived_images import DerivedImages, ImageSource
from backends.registry.v1_view.images import ViewedImages
from backends.registry.v1_view.layer_bytes import LayerBytes
from backends.registry.v1_view.pinning import Pinning
from backends.registry.v1_view.repositories import ViewedRepositories
from backends.storage.storage import Storage

if TYPE_CHECKING:
    from backends.registry.layers.layers import Layers
    from backends.registry.v1_view.holders import Holders
    from backends.registry.v1_view.listed_images import ListedImages
    from backends.registry.v1_view.made_images import MadeImages


class V1View:
    """The view of one store.

    Args:
        shared: what v2's repositories work with.
        v1_storage: v1's root, which may be the same.
        storage: v2's root.
        images: those that were pushed by v1.
        repositories: likewise.
        layers: returns what is known of layers; asked for when something was made of a manifest.
        writes: whether anything may be kept.
        claims_ids: as `Derivations` takes it.

    Attributes:
        images: all of them.
        repositories: all of them.
    """

    def __init__(
        self,
        shared: Shared,
        v1_storage: Storage,
        *,
        storage: Storage,
        images: Images,
        repositories: Repositories,
        layers: Callable[[], Layers],
        writes: bool = True,
        claims_ids: bool = True,
    ) -> None:
        derived = DerivedImages(shared.driver, shared.locks)
        contents = LayerBytes(shared.driver, v1_storage.driver, layers)
        claims = Claims(
            shared.driver,
            v1_storage.locks,
            pushed=images,
            derived=derived,
            layers=layers,
            is_there=self._is_there,
        )
        derivations = Derivations(shared, derived, claims, contents, writes=writes, claims_ids=claims_ids)
        pinning = Pinning(v1_storage.driver, images, derivations, contents)
        self._derivations = derivations
        self._contents = contents
        self._layers = layers
        self._storage = storage
        self._v1_storage = v1_storage
        self._shared = shared
        self._v1_driver = v1_storage.driver
        self._pushed = images
        self._repositories = repositories
        self._derived = derived
        self._claims = claims
        self.images = ViewedImages(images, derivations, contents, pinning)
        self.repositories = ViewedRepositories(repositories, shared.tags, derivations, self.images)

    @cached_property
    def lists(self) -> ListedImages:
        """What images hold and change; few ever ask."""
        from backends.registry.layer_lists.lists import LayerLists  # noqa: PLC0415 - only where somebody asks
        from backends.registry.v1_view.listed_images import ListedImages  # noqa: PLC0415

        return ListedImages(
            self.images,
            self._pushed,
            self._derivations,
            self._contents,
            LayerLists(self._layers()),
            storage=self._storage,
            v1_storage=self._v1_storage,
        )

    @cached_property
    def tagged(self) -> Holders:
        """Which repositories hold images of v1 by their tags; asked for where access is controlled."""
        from backends.registry.v1_view.holders import Holders  # noqa: PLC0415 - only where access is controlled
        from backends.registry.v1_view.tagged_images import TaggedImages  # noqa: PLC0415

        shared = self._shared
        held = TaggedImages(
            shared.driver,
            self._v1_driver,
            tags=shared.tags,
            repositories=self._repositories,
            images=self._pushed,
            conversions=shared.conversions,
        )
        return Holders(held)

    @cached_property
    def made(self) -> Holders:
        """Which repositories hold images that were made of manifests; asked for as `tagged`."""
        from backends.registry.v1_view.holders import Holders  # noqa: PLC0415 - as above

        return Holders(self.made_images)

    @cached_property
    def made_images(self) -> MadeImages:
        """How repositories hold these."""
        from backends.registry.v1_view.made_images import MadeImages  # noqa: PLC0415 - as above

        return MadeImages(self._shared, self._derived, self._claims)

    async def _is_there(self, source: ImageSource) -> bool:
        return await Repository(source.name, self._shared).has_manifest(source.digest)
