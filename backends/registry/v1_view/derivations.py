"""The v1 view of what v2 clients pushed: which image a manifest is, and images by id.

A pull by v1 begins with a repository's tags, all of them for Docker before 1.8, and goes on with ids alone. So of each
manifest only its topmost image's id is made for a list of tags, and noted with the manifest's repository; the images
themselves are made when the ancestry of the topmost is asked for, as every client does first; and what a layer's bytes
hold is found out when its image is asked for.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from backends.model import media_types
from backends.model.actor import Actor
from backends.model.cache import Cache
from backends.model.conversion.impossible import ImpossibleConversion, ImpossibleNow
from backends.model.conversion.plans import Form, Plan
from backends.model.conversion.platforms import platform_text
from backends.model.conversion.policy import Permission, refusal
from backends.model.digest import Digest
from backends.model.errors import ErrorCode, RegistryError
from backends.model.manifests import OciManifest, Schema1, Schema2, parse_stored_manifest
from backends.model.names import ImageId, RepositoryName, TagName
from backends.model.targets import Target, V2Target
from backends.registry.events import of_manifest
from backends.registry.known_impossible import KnownImpossible
from backends.registry.manifests import parse_off_loop
from backends.registry.repository import Repository
from backends.registry.shared import Shared
from backends.registry.v1_view.chains import Chain, chain_of, claimed_chain
from backends.registry.v1_view.choosing import choose_image
from backends.registry.v1_view.claims import Claims
from backends.registry.v1_view.derived_images import DerivedImage, DerivedImages, ImageSource
from backends.registry.v1_view.layer_bytes import LayerBytes
from backends.registry.v1_view.viewer import Viewer
from backends.storage import layout
from backends.storage.capabilities import KnowsAbsence, capability
from backends.storage.driver import PathNotFound

MAX_CHAIN = 512
"""More images than any chain has that this program makes."""

MADE = 8192
"""So many topmost images a process remembers to have made."""

_MADE_OF_MANIFESTS = (layout.DERIVED_V1_IMAGES, layout.DERIVED_V1_CLAIMS, layout.DERIVED_V1_SOURCES)

_log = logging.getLogger("portside.v1")


@dataclass(frozen=True, slots=True)
class Origin:
    """What v1 images were made of.

    Attributes:
        target: what the tag names.
        media_type: the type of that.
        rule: the steps that made them, in ASCII.
    """

    target: Target
    media_type: str
    rule: str


class Derivations:
    """The images of all v2 repositories of a store.

    Args:
        shared: what they work with.
        images: what was made so far.
        claims: what was made of schema 1.
        layers: what layers hold.
        writes: whether anything may be kept.
        claims_ids: whether images of schema 1 may have the ids that their manifests give them: not where access is
            controlled, for who has pushed an image would see whether another repository has its id.
    """

    def __init__(
        self,
        shared: Shared,
        images: DerivedImages,
        claims: Claims,
        layers: LayerBytes,
        *,
        writes: bool = True,
        claims_ids: bool = True,
    ) -> None:
        self._shared = shared
        self._images = images
        self._claims = claims
        self._layers = layers
        self._writes = writes
        self._claims_ids = claims_ids
        self._impossible = KnownImpossible()
        self._knows = capability(shared.driver, KnowsAbsence)
        self._made: Cache[tuple[ImageId, ImageSource], bool] = Cache(bound=MADE)

    def _open(self, name: RepositoryName) -> Repository:
        return Repository(name, self._shared)

    # by repository

    async def top(self, name: RepositoryName, digest: Digest, viewer: Viewer) -> ImageId:
        """Returns the topmost image that a manifest is for v1 clients; of an index, the one for a platform.

        Raises:
            ImpossibleConversion: it is nothing that they can read; the sentence says why.
            StillWorking: that is still being found out.
            RegistryError: MANIFEST_UNKNOWN: it is not in this repository.
        """
        original = await self._shared.conversions.v1_original(name, digest)
        if original is not None:  # a migration made the manifest of it: who has the image finds it under the same id
            return original
        self._require_permission(name)
        known = await self._known(ImageSource(name, digest))
        if known is not None:
            return known
        chosen = await choose_image(self._open(name), digest, viewer.platform)
        source = ImageSource(name, chosen)
        known = None if chosen == digest else await self._known(source)
        if known is None:
            self._require_permission(name, new=True)
            with self._impossible.noted(source):
                known = (await self._chain(source, viewer)).top
            await self._images.keep_top(source, known)
        return known

    def _require_permission(self, name: RepositoryName, *, new: bool = False) -> None:
        """Raises ImpossibleConversion where nothing of a repository may be shown; `new`: where nothing more may be."""
        permission = self._shared.conversion_policy.permission(name)
        if permission is Permission.FORBID or (new and permission is Permission.PINNED):
            raise ImpossibleNow(f"this image was pushed by a v2 client, and {refusal(permission, name)}")
        if new and not self._writes:
            raise ImpossibleNow(
                "this image was pushed by a v2 client, and this registry is read-only, so a conversion of it cannot be"
                " kept; pull it with Docker 1.6 or later"
            )

    async def _known(self, source: ImageSource) -> ImageId | None:
        known = await self._images.top(source)
        if known is not None and not await self._open(source.name).has_manifest(source.digest):
            await self._images.forget_source(source, known)
            raise RegistryError(ErrorCode.MANIFEST_UNKNOWN, f"{source.name} has no manifest {source.digest} any more")
        return known

    async def origin(self, name: RepositoryName, digest: Digest, viewer: Viewer) -> Origin:
        """Returns what a client is told of a manifest whose v1 images it gets.

        Raises:
            RegistryError: MANIFEST_UNKNOWN: it is not in this repository any more.
            ImpossibleConversion: as `top`.
        """
        from backends.registry.derived.images import rule_step  # noqa: PLC0415 - only where somebody asks for it

        repository = self._open(name)
        media_type = (await repository.describe_manifest(digest)).media_type
        if media_type not in media_types.INDEXES:
            return Origin(V2Target(digest), media_type, rule_step(media_type, Form.V1))
        chosen = await choose_image(repository, digest, viewer.platform)
        step = rule_step((await repository.describe_manifest(chosen)).media_type, Form.V1)
        return Origin(V2Target(digest), media_type, f"{platform_text(viewer.platform)} {step}")

    async def source_of(self, name: RepositoryName, image_id: ImageId) -> Digest | None:
        """Returns the manifest of a repository whose topmost image this is, of several the youngest; None for none."""
        pushed: dict[Digest, float] = {}
        for source in await self._images.sources(image_id, of=name):
            try:
                info = await self._shared.driver.stat(layout.revision_link(name, source.digest))
            except PathNotFound:
                continue
            pushed[source.digest] = info.modified
        return max(pushed, key=pushed.__getitem__, default=None)

    async def restore(self, name: RepositoryName, tag: TagName, digest: Digest, *, actor: Actor) -> None:
        """Makes a tag name a manifest again, as whose images a client has pushed it back.

        Raises:
            PathNotFound, RegistryError: it has gone meanwhile.
        """
        events, telling = self._shared.events, None
        if events.wanted:
            manifest = await self._open(name).parse_manifest(digest)
            telling = of_manifest(events, name, digest, manifest, tag=tag, actor=actor)
        await self._shared.tags.restore(name, tag, V2Target(digest), actor=actor, telling=telling)

    # by id

    def _are_absent(self) -> bool:
        """Whether surely no image was made of any manifest; it costs no look."""
        return self._knows is not None and self._knows.are_absent(_MADE_OF_MANIFESTS)

    async def find(self, image_id: ImageId) -> DerivedImage | None:
        """Returns an image that was made of a manifest, by a hash as its id; None where there is none."""
        return None if self._are_absent() else await self._images.find(image_id)

    async def find_claimed(self, image_id: ImageId) -> DerivedImage | None:
        """Returns the image that a schema 1 manifest claims an id for; None where there is none."""
        return None if self._are_absent() else await self._claims.find(image_id)

    async def is_taken(self, image_id: ImageId) -> bool:
        """Whether an id belongs to an image that was made of a manifest."""
        if self._are_absent():
            return False
        return await self._images.find(image_id) is not None or await self._claims.is_taken(image_id)

    async def ancestry(self, image_id: ImageId, viewer: Viewer) -> Sequence[DerivedImage]:
        """Returns an image and all below it; makes them where that was not done before. None at all: no such image.

        Raises:
            ImpossibleConversion: a layer of it is gone.
            StillWorking: it is still being made.
        """
        if self._are_absent():
            return ()
        sources = await self._images.sources(image_id)
        images = await self._walk(image_id) if self._are_made(image_id, sources) else ()
        if not images and sources:  # or somebody has removed what was made
            await self._make_all(image_id, sources, viewer)
            images = await self._walk(image_id)
        for image in images:
            await self._layers.require(image)
        return images

    def _are_made(self, image_id: ImageId, sources: Sequence[ImageSource]) -> bool:
        return all((image_id, source) in self._made for source in sources)

    async def _make_all(self, image_id: ImageId, sources: Sequence[ImageSource], viewer: Viewer) -> None:
        """Makes the images of all manifests whose topmost one this is; each may have layers that the others lack.

        Raises:
            ImpossibleConversion: none of them may be shown.
        """
        refused: list[ImpossibleConversion] = []
        for source in sources:
            try:
                self._require_permission(source.name)
            except ImpossibleConversion as error:
                refused.append(error)
                continue
            if self._writes:
                await self._make(source, image_id, viewer)
        if refused and len(refused) == len(sources):
            raise refused[0]

    async def _make(self, source: ImageSource, image_id: ImageId, viewer: Viewer) -> None:
        """Makes all images of a manifest, if it is still there and still this image."""
        try:
            chain = await self._chain(source, viewer)
            if chain.top != image_id:
                raise ImpossibleConversion(f"it is image {chain.top} now")
        except (ImpossibleConversion, RegistryError) as error:
            if isinstance(error, RegistryError) and error.code is not ErrorCode.MANIFEST_UNKNOWN:
                raise
            _log.info("%s of %s is not image %s any more: %s", source.digest, source.name, image_id, error)
            await self._images.forget_source(source, image_id)
            return
        kept = chain.claimed or await self._images.keep(chain.images, is_false=self._layers.is_false)
        await self._images.keep_source(source, image_id)
        await self._images.touch_top(source, image_id)
        if kept:
            self._made.put((image_id, source), value=True)

    async def _chain(self, source: ImageSource, viewer: Viewer) -> Chain:
        """Returns a manifest's chain; of schema 1, one whose ids no other image has."""
        repository = self._open(source.name)
        manifest = await repository.parse_manifest(source.digest)
        if isinstance(manifest, Schema1):
            chain = await claimed_chain(repository, manifest)
            if chain is not None and await self._claim(chain, source):
                return chain
            made = await self._shared.conversions.convert(
                source.name, V2Target(source.digest), Plan(Form.SCHEMA2), tag="", patience=viewer.patience
            )
            manifest = await parse_off_loop(made.content, parse_stored_manifest)
        if not isinstance(manifest, Schema2 | OciManifest):
            raise ImpossibleConversion(f"{source.digest} is an index of other manifests, none of which was chosen")
        return await chain_of(repository, manifest)

    async def _claim(self, chain: Chain, source: ImageSource) -> bool:
        """Claims the ids that a manifest gives its images; whether they have them. Those that it has already stay."""
        if not self._claims_ids and await self._images.top(source) != chain.top:
            return False
        return await self._claims.claim(chain.images, source)

    async def _walk(self, image_id: ImageId) -> Sequence[DerivedImage]:
        found: list[DerivedImage] = []
        following: ImageId | None = image_id
        while following is not None and len(found) < MAX_CHAIN:
            image = await self._images.find(following) or await self._claims.find(following)
            if image is None:
                if found:
                    _log.warning("image %s is not there, of which %s was made", following, image_id)
                return ()
            found.append(image)
            following = image.parent
        return found
