"""Everything that the registries keep: built once, given to both.

Invariant: what is in a store is the same for v1 and v2, and for every process that has one over the same folders.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from backends.model.conversion.policy import ALL_CONVERSIONS, ConversionPolicy
from backends.model.names import RepositoryName
from backends.registry.blobs import Blobs
from backends.registry.catalog import list_repositories
from backends.registry.changed_repositories import ChangedRepositories
from backends.registry.derived.conversions import Conversions
from backends.registry.events import NO_EVENTS, Events
from backends.registry.facts import Facts, FactsInMemory
from backends.registry.image_copies import Copies
from backends.registry.layers.settings import LayerSettings
from backends.registry.manifests import Manifests
from backends.registry.names import Names
from backends.registry.referrers import Referrers
from backends.registry.repository import Repository
from backends.registry.shared import Shared
from backends.registry.signing import Signer
from backends.registry.tags.service import Tags
from backends.registry.uploads import Uploads
from backends.registry.v1.catalog import list_v1_repositories
from backends.registry.v1.images import Images as V1Images
from backends.registry.v1.repositories import Repositories as V1Repositories
from backends.registry.validation import Validation
from backends.registry.visible import Visible
from backends.storage.storage import Storage

if TYPE_CHECKING:
    from backends.registry.deleting import Deletions
    from backends.registry.layers.layers import Layers
    from backends.registry.layers.observer import LayerObserver
    from backends.registry.search.service import Search
    from backends.registry.v1.mirrored_images import MirroredImages
    from backends.registry.v1_view.service import V1View

NAMES_AT_ONCE = 1000

SEARCHES_AT_ONCE = 2
"""A caller's rules may lead through all folders to few names: so many look for theirs at once, and pulls go on."""

_ALL_HERE = Validation()
_LAYERS = LayerSettings()


class Store:
    """The services of both registries over one root, or over two.

    Args:
        storage: the root of blobs and v2's tree, and of v1's unless it has one of its own.
        v1_storage: v1's own root, with a blob store of its own: no file can have a name in both.
        validation: what is required of a pushed v2 manifest; by default that all it names is here.
        events: where it is told what happens; by default nobody wants to know.
        signing_key: the file of a key that signs schema 1 documents; None for one of its own.
        facts: what is known of manifests and layers; by default in memory.
        layer_settings: what reading a layer may cost.
        layer_observer: is told of layers that were read; by default nobody wants to know.
        writes: whether the registry itself may write anything; clients' requests are refused elsewhere.
        conversion_policy: what is converted for clients that cannot read what was pushed; by default whatever can be.
        own_images: whether repositories may have images of v1 for themselves: access is controlled, or was.

    Attributes:
        storage: as above.
        v1_storage: where v1's tree is; `storage` itself where both share a root.
        events: as above.
        conversion_policy: as above.
        blobs: v2's, and v1's where they share a root.
        redirects: whether others serve blobs too, and clients are sent there.
        uploads: of v2.
        layer_observer: as above.
        names: which repository a name stands for.
        conversions: what tags name, in other forms.
        changes: where it is written down for a search which repositories have changed.
        tags: of both.
        v1_copies: which of v1's images are a repository's own.
        v1_images: v1's images by id.
        v1_repositories: v1's tags and lists of images.
    """

    def __init__(
        self,
        storage: Storage,
        *,
        v1_storage: Storage | None = None,
        validation: Validation = _ALL_HERE,
        events: Events = NO_EVENTS,
        signing_key: Path | None = None,
        facts: Facts | None = None,
        conversion_policy: ConversionPolicy = ALL_CONVERSIONS,
        layer_settings: LayerSettings = _LAYERS,
        layer_observer: LayerObserver | None = None,
        writes: bool = True,
        own_images: bool = False,
    ) -> None:
        self.storage = storage
        self.v1_storage = v1_storage or storage
        self.events = events
        self.conversion_policy = conversion_policy
        self.blobs = Blobs(storage.driver)
        self.redirects = self.blobs.have_urls
        self.uploads = Uploads(storage, self.blobs, events, lambda: self.layers)
        self.names = Names(storage.driver, self.v1_storage.driver)
        self.v1_copies = Copies(self.v1_storage.driver, are_kept=own_images)
        self.changes = ChangedRepositories(storage.driver)
        self.tags = Tags(storage, self.v1_storage, events, copies=self.v1_copies, changes=self.changes)
        self._facts = facts or FactsInMemory()
        self._layer_settings = layer_settings
        self.layer_observer = layer_observer
        self._searches = asyncio.Semaphore(SEARCHES_AT_ONCE)
        self._writes = writes
        manifests = Manifests(self.blobs, self._facts)
        referrers = Referrers(storage.driver, manifests)
        signer = Signer(storage, signing_key)
        self.conversions = Conversions(
            storage,
            self.v1_storage,
            tags=self.tags,
            blobs=self.blobs,
            manifests=manifests,
            signer=signer,
            layers=lambda: self.layers,
            policy=conversion_policy,
            writes=writes,
        )
        self._shared = Shared(
            storage.driver,
            storage.locks,
            self.blobs,
            self.tags,
            manifests,
            referrers,
            signer,
            validation,
            events,
            conversion_policy,
            self.conversions,
            self.changes,
        )
        self._v1_blobs = self.blobs if self.shares_root else Blobs(self.v1_storage.driver)
        self.v1_images = V1Images(
            self.v1_storage,
            self._v1_blobs,
            events,
            layers=lambda: self.layers,
            copies=self.v1_copies,
            repository_locks=storage.locks,
        )
        self.v1_repositories = V1Repositories(
            self.v1_storage, storage.locks, images=self.v1_images, tags=self.tags, events=events
        )

    @cached_property
    def layers(self) -> Layers:
        """What is known of the layers of both."""
        from backends.registry.layers.layers import Layers  # noqa: PLC0415 - only conversions, and old clients, ask

        return Layers(
            self.storage,
            self.v1_storage,
            self._facts,
            self._layer_settings,
            writes=self._writes,
            observer=self.layer_observer,
        )

    @cached_property
    def mirrored_images(self) -> MirroredImages:
        """Images of v1 that come from the registry that this one mirrors."""
        from backends.registry.v1.mirrored_images import MirroredImages  # noqa: PLC0415 - few registries are mirrors

        return MirroredImages(self.v1_storage, self._v1_blobs, lambda: self.layers)

    async def drain(self) -> None:
        """Tells those who wait for a conversion, or for a layer, to ask again: soon others answer, not this process."""
        await self.conversions.close()  # first: it waits for layers itself
        if "layers" in self.__dict__:
            self.layers.leave()

    async def close(self) -> None:
        """Ends the work that goes on in the background; called before the storages are closed."""
        if "search" in self.__dict__:
            await self.search.close()
        await self.conversions.close()
        if "layers" in self.__dict__:
            await self.layers.close()

    @property
    def deletions(self) -> Deletions:
        """Deletes whole repositories of both."""
        from backends.registry.deleting import Deletions  # noqa: PLC0415 - few ever do

        return Deletions(self.storage, self.v1_storage, self.tags, self.events, self.changes)

    @cached_property
    def v1_view(self) -> V1View:
        """What clients of the v1 protocol see of both."""
        from backends.registry.v1_view.service import V1View  # noqa: PLC0415 - only v1's requests come to it

        return V1View(
            self._shared,
            self.v1_storage,
            storage=self.storage,
            images=self.v1_images,
            repositories=self.v1_repositories,
            layers=lambda: self.layers,
            writes=self._writes,
            claims_ids=not self.v1_copies.are_kept,
        )

    @property
    def shares_root(self) -> bool:
        """Whether both registries are on one root, where a v1 layer and a v2 blob are one file."""
        return self.v1_storage is self.storage

    def open(self, name: RepositoryName) -> Repository:
        """Opens a v2 repository; it need not exist."""
        return Repository(name, self._shared)

    async def list_repositories(self, *, after: str, limit: int, visible: Visible | None = None) -> Sequence[str]:
        """Returns a page of the names of repositories of both generations, as v2 writes them; see `catalog`.

        Those that v2's grammar cannot hold are left out, and those that are not `visible`.
        """
        async with contextlib.nullcontext() if visible is None else self._searches:
            ours = await list_repositories(self.storage.driver, after=after, limit=limit, visible=visible)
            theirs = await list_v1_repositories(self.v1_storage.driver, after=after, limit=limit, visible=visible)
        if not theirs:
            return ours
        return sorted({*ours, *theirs}, key=lambda name: name.split("/"))[:limit]

    @cached_property
    def search(self) -> Search:
        """Finds repositories of both by their names and descriptions."""
        from backends.registry.search.described import Described  # noqa: PLC0415 - few installations are searched
        from backends.registry.search.service import Search  # noqa: PLC0415

        driver, v1_driver = self.storage.driver, self.v1_storage.driver
        described = Described(driver, v1_driver, tags=self.tags, blobs=self.blobs)
        return Search(self.storage, self.v1_storage, described=described, changes=self.changes, writes=self._writes)
