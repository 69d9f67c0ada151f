"""One repository: which blobs and manifests it may serve, and what its tags name.

Invariants:
- membership is always asked of storage: a link says that this repository has a blob or a manifest, and no cache does;
- a manifest becomes visible last: content, then its entry as a referrer, its link, the tag (`put_manifest`);
- manifests are served to the byte as they were pushed.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Container, Sequence
from contextlib import suppress

from backends.model import media_types
from backends.model.actor import Actor
from backends.model.conversion.derived import DerivedManifest
from backends.model.conversion.plans import Plan
from backends.model.digest import Digest
from backends.model.errors import ErrorCode, RegistryError
from backends.model.manifests import Manifest
from backends.model.names import RepositoryName, TagName
from backends.model.targets import Target, V1Target
from backends.registry.blobs import Blob
from backends.registry.exclusive_lock import shared_lock
from backends.registry.found_manifests import ConvertedManifest, ManifestInfo, StoredManifest, Tagged
from backends.registry.holders import find_holder
from backends.registry.links import is_linked, read_link
from backends.registry.manifest_push import ManifestPush, restore
from backends.registry.mounting import mount
from backends.registry.no_room import exists
from backends.registry.referrers import ReferrersPage
from backends.registry.removal import Removal
from backends.registry.shared import Shared
from backends.registry.signing import require_signed
from backends.registry.unknown import blob_unknown, manifest_unknown
from backends.registry.validation import require_permitted_kind, require_permitted_urls
from backends.storage import layout
from backends.storage.driver import PathNotFound

_log = logging.getLogger("portside.registry")


class Repository:
    """A repository by name."""

    def __init__(self, name: RepositoryName, shared: Shared) -> None:
        self.name = name
        self._shared = shared
        self._driver = shared.driver
        self._blobs = shared.blobs
        self._tags = shared.tags
        self._events = shared.events
        self._conversions = shared.conversions

    # blobs

    async def open_blob(self, digest: Digest) -> Blob:
        """Opens a blob that this repository has.

        Raises:
            RegistryError: BLOB_UNKNOWN.
        """
        if self._conversions.expects_blob(self.name, digest):
            blob = await self._conversions.open_blob(self.name, digest)
            if blob is not None:
                return blob
        try:
            target = await read_link(self._driver, layout.layer_link(self.name, digest), likely=digest)
            return Blob(digest, await self._blobs.open(target))
        except PathNotFound:
            blob = await self._conversions.open_blob(self.name, digest)
        if blob is None:
            raise blob_unknown(self.name, digest)
        return blob

    async def has_blob(self, digest: Digest) -> bool:
        """Whether this repository has a blob, and the blob is there."""
        return await self.blob_size(digest) is not None

    async def blob_size(self, digest: Digest) -> int | None:
        """Returns the size in bytes of a blob that this repository has; None when it does not have it."""
        try:
            target = await read_link(self._driver, layout.layer_link(self.name, digest), likely=digest)
        except PathNotFound:
            size = None
        else:
            size = await self._blobs.size(target)
        return await self._conversions.blob_size(self.name, digest) if size is None else size

    async def locate_blob(self, digest: Digest) -> tuple[int, str | None]:
        """Returns the size in bytes of a blob that this repository has, and the address at which others serve it.

        Raises:
            RegistryError: BLOB_UNKNOWN.
        """
        with suppress(PathNotFound):
            target = await read_link(self._driver, layout.layer_link(self.name, digest), likely=digest)
            size = await self._blobs.size(target)
            if size is not None:
                return size, await self._blobs.url_of(target)
        size = await self._conversions.blob_size(self.name, digest)
        if size is None:
            raise blob_unknown(self.name, digest)
        return size, None

    async def mount(self, digest: Digest, source: RepositoryName, *, actor: Actor) -> bool:
        """Takes over a blob that another repository has.

        Returns:
            False when `source` does not have it.
        """
        return await mount(self._shared, digest, Repository(source, self._shared), into=self.name, actor=actor)

    async def mount_from_any(
        self, digest: Digest, may_pull: Callable[[str], bool] | None = None, *, actor: Actor
    ) -> bool:
        """Takes over a blob from whichever repository is known to have it.

        Args:
            digest: of the blob.
            may_pull: whether whoever asks may pull a repository, by its name; None where everybody may.
            actor: who asks.

        Returns:
            False when none is known, or it does not have it any more. Content that no repository has is never taken.
        """
        source = await find_holder(self._driver, digest)
        if source is None or (may_pull is not None and not may_pull(source)):
            return False
        return await self.mount(digest, source, actor=actor)

    async def delete_blob(self, digest: Digest, *, actor: Actor) -> None:
        """Takes a blob from this repository; see `Removal.blob`."""
        await Removal(self.name, self._shared, actor=actor).blob(digest)

    # manifests

    async def get_manifest(self, reference: Digest | TagName) -> StoredManifest:
        """Returns a manifest by digest or tag.

        Raises:
            RegistryError: MANIFEST_UNKNOWN.
        """
        if isinstance(reference, Digest) and self._conversions.expects_manifest(self.name, reference):
            derived = await self._derived(reference)
            if derived is not None:
                return derived
        try:
            digest = reference if isinstance(reference, Digest) else await self._tags.resolve(self.name, reference)
            await read_link(self._driver, layout.revision_link(self.name, digest))
            content, media_type = await self._shared.manifests.read(digest)
        except PathNotFound:
            derived = await self._derived(reference)
            if derived is None:
                raise manifest_unknown(self.name, reference) from None
            return derived
        size = len(content)
        if media_type in media_types.SCHEMA1_TYPES:
            content = await self._signed(digest, content)
        return StoredManifest(media_type, digest, size, len(content), content)

    async def describe_manifest(self, reference: Digest | TagName) -> ManifestInfo:
        """Returns what a manifest is, by digest or tag; a large one is not read for that where its facts are known.

        Raises:
            RegistryError: MANIFEST_UNKNOWN.
        """
        try:
            digest = reference if isinstance(reference, Digest) else await self._tags.resolve(self.name, reference)
            await read_link(self._driver, layout.revision_link(self.name, digest))
            media_type, size = await self._shared.manifests.describe(digest)
        except PathNotFound:
            derived = await self._derived(reference)
            if derived is None:
                raise manifest_unknown(self.name, reference) from None
            return derived
        if media_type in media_types.SCHEMA1_TYPES:
            return await self.get_manifest(digest)
        return ManifestInfo(media_type, digest, size, size)

    async def open_tag(self, tag: TagName, *, at_once: Container[str], whole: bool) -> ManifestInfo | Tagged:
        """Returns what a tag names, whoever set it: as it goes out where its type says that it may.

        Args:
            tag: the tag.
            at_once: the types of manifests that go out as they are stored.
            whole: with the content of such a manifest; else a large one is not read where its facts are known.

        Raises:
            RegistryError: MANIFEST_UNKNOWN.
        """
        try:
            target = await self._tags.target(self.name, tag)
            if isinstance(target, V1Target):
                return Tagged(tag, target, media_types.V1_IMAGE)
            digest = target.digest
            if whole:
                content, media_type = await self._shared.manifests.read(digest)
                size = len(content)
            else:
                content = None
                media_type, size = await self._shared.manifests.describe(digest)
            if media_type not in at_once:  # who makes something of it asks whether it is there
                return Tagged(tag, target, media_type)
            await read_link(self._driver, layout.revision_link(self.name, digest))
        except PathNotFound:
            raise manifest_unknown(self.name, tag) from None
        if media_type in media_types.SCHEMA1_TYPES:  # it must be signed to go out
            return await self.get_manifest(digest)
        if content is None:
            return ManifestInfo(media_type, digest, size, size)
        return StoredManifest(media_type, digest, size, size, content)

    async def convert(self, target: Target, plan: Plan, *, tag: TagName, patience: float | None) -> StoredManifest:
        """Returns what a tag names in another form; see `Conversions.convert`."""
        made = await self._conversions.convert(self.name, target, plan, tag=tag, patience=patience)
        return _converted(made) if made.is_converted else await self.get_manifest(made.digest)

    async def parse_manifest(self, digest: Digest) -> Manifest:
        """Returns what a manifest of this repository says.

        Raises:
            RegistryError: MANIFEST_UNKNOWN.
        """
        try:
            await read_link(self._driver, layout.revision_link(self.name, digest))
            return await self._shared.manifests.parse(digest)
        except PathNotFound:
            raise manifest_unknown(self.name, digest) from None

    async def has_manifest(self, digest: Digest) -> bool:
        """Whether this repository has a manifest, pushed or derived."""
        if await is_linked(self._driver, layout.revision_link(self.name, digest)):
            return True
        return bool(await self._conversions.sources(self.name, digest))

    async def put_manifest(
        self,
        manifest: Manifest,
        digest: Digest,
        tag: TagName | None,
        *,
        actor: Actor,
        more_tags: Sequence[TagName] = (),
    ) -> None:
        """Stores a manifest, under a tag too if one is given; visible last.

        Args:
            manifest: parsed; its content's digest is `digest` (a schema 1 manifest's payload's).
            digest: what names it.
            tag: the tag that is to name it, or None.
            actor: who pushes it.
            more_tags: further ones that are to name it; each is set by itself, in this order.

        Raises:
            RegistryError: MANIFEST_BLOB_UNKNOWN, naming what is missing; MANIFEST_INVALID, naming an address that is
                not allowed; or what `require_permitted_kind` raises. Nothing was changed.
            StorageFull: nothing is left of it that was not there before; unless it has got its first tag, then the
                manifest and the tags so far stay. So it is when only the event of a tag finds no room.
        """
        require_permitted_kind(manifest, self._shared.validation)
        require_permitted_urls(manifest, self._shared.validation.urls)
        tags = [] if tag is None else [tag, *more_tags]
        if await restore(self._shared, self.name, manifest, digest, tags, actor=actor):
            return
        async with shared_lock(self._shared.locks, layout.repository_lock(self.name)):
            await ManifestPush(self, self._shared, manifest, digest, actor=actor).run(tag, more_tags)

    async def delete_manifest(self, digest: Digest, *, actor: Actor) -> None:
        """Takes a manifest from this repository, and the tags that name it; see `Removal.manifest`."""
        await Removal(self.name, self._shared, actor=actor).manifest(digest)

    async def referrers(self, subject: Digest, *, artifact_type: str | None, after: str, limit: int) -> ReferrersPage:
        """Returns a page of the manifests that refer to one, which need not exist; see `Referrers.page`."""
        return await self._shared.referrers.page(
            self.name, subject, has=self.has_manifest, artifact_type=artifact_type, after=after, limit=limit
        )

    # tags

    async def tags(self, *, after: str = "", limit: int | None = None) -> Sequence[str]:
        """Returns the tags, sorted bytewise.

        Args:
            after: tags up to this text, itself included, are left out; "" for the beginning.
            limit: how many at most; None for all.

        Raises:
            RegistryError: NAME_UNKNOWN: no manifest is here.
        """
        names = await self._tags.page(self.name, after=after, limit=limit)
        if names or await exists(self._driver, layout.manifests(self.name)) or await self._tags.are_there(self.name):
            return names
        raise RegistryError(
            ErrorCode.NAME_UNKNOWN,
            f"there is no repository {self.name}; push an image to it first",
        )

    async def delete_tag(self, tag: TagName, *, actor: Actor) -> None:
        """Removes a tag; see `Removal.tag`."""
        await Removal(self.name, self._shared, actor=actor).tag(tag)

    # within

    async def _derived(self, reference: Digest | TagName) -> StoredManifest | None:
        """Returns a manifest that conversions made; what is asked for by tag, `Conversions` is asked for itself."""
        if not isinstance(reference, Digest):
            return None
        found = await self._conversions.find(self.name, reference)
        if found is None:
            return None
        return _converted(found)

    async def _signed(self, digest: Digest, payload: bytes) -> bytes:
        """Returns a schema 1 document with signatures: the pusher's, or ours where a volume kept only the payload."""
        try:
            kept = await self._driver.read(layout.signed_schema1(self.name, digest))
        except PathNotFound:
            return await self._shared.signer.sign(payload)
        try:
            await asyncio.to_thread(require_signed, kept, payload)
        except ValueError as error:
            _log.warning("the signed %s of %s is damaged on disk (%s); it is signed anew", digest, self.name, error)
            return await self._shared.signer.sign(payload)
        return kept


def _converted(made: DerivedManifest) -> ConvertedManifest:
    length = len(made.content)
    return ConvertedManifest(
        made.media_type, made.digest, made.size, length, made.content, made.source, made.source_type, made.rule
    )
