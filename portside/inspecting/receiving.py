"""What each group of clients receives for a tag or a digest: as the registries decide it, without making anything."""

from __future__ import annotations

from dataclasses import dataclass

from backends.model import media_types
from backends.model.conversion.impossible import ImpossibleConversion
from backends.model.conversion.negotiation import AsStored, Converted, Refused, negotiate
from backends.model.conversion.plans import Plan
from backends.model.conversion.platforms import platform_text
from backends.model.conversion.policy import ConversionPolicy, Permission, refusal
from backends.model.conversion.readers import Reader, reader_of
from backends.model.descriptors import Platform
from backends.model.digest import Digest
from backends.model.errors import RegistryError
from backends.model.manifests import OciManifest, Schema1, Schema2
from backends.model.names import RepositoryName, TagName, is_tag
from backends.model.targets import V1Target
from backends.registry.store import Store
from backends.registry.v1_view.chains import chain_of, claimed_chain
from backends.registry.v1_view.choosing import choose_image
from backends.registry.v1_view.derived_images import DerivedImages, ImageSource
from backends.registry.v1_view.viewer import Viewer
from backends.v2.describing import describe
from portside.inspecting.clients import GROUPS, ClientGroup
from portside.inspecting.facts import WORDS, Making, Received, Stored
from portside.inspecting.known_layers import KnownLayers, NotKnown
from portside.inspecting.repositories import Found

_V1_RULES = {
    media_types.SCHEMA1: "schema1-to-v1",
    media_types.SCHEMA1_SIGNED: "schema1-to-v1",
    media_types.SCHEMA2: "schema2-to-v1",
    media_types.OCI_MANIFEST: "oci-to-v1",
}
_NO_DIGESTS = "the v1 protocol has no digests; pull a tag"


@dataclass(frozen=True, slots=True)
class Receiving:
    """Looks at what clients receive.

    Args:
        store: the volume.
        found: the repository.
        policy: of the settings.
        layers: what is known of layers.
        converts: whether what has not been made yet is made.
    """

    store: Store
    found: Found
    policy: ConversionPolicy
    layers: KnownLayers
    converts: bool

    # by tag

    async def of_tag(self, tag: str, stored: Stored) -> list[Received]:
        """Returns what each group receives for a tag."""
        return [await self._of_tag(group, tag, stored) for group in GROUPS]

    async def _of_tag(self, group: ClientGroup, tag: str, stored: Stored) -> Received:
        try:
            if group.speaks_v1:
                return await self._v1(group, tag, stored)
            if self.found.v2 is None:
                return _nothing(group, f"v2 cannot have the name {self.found.names.canonical}")
            if not is_tag(tag):
                return _nothing(group, f"v2 cannot have the tag {tag}")
            return await self._v2(group, TagName(tag), stored)
        except ImpossibleConversion as impossible:
            return _nothing(group, str(impossible))
        except RegistryError as error:
            return _nothing(group, error.detail)

    async def _v2(self, group: ClientGroup, tag: TagName, stored: Stored) -> Received:
        assert self.found.v2 is not None
        reader = reader_of(group.accept, group.profile, platform=self.policy.platform)
        repository = self.store.open(self.found.v2)
        described, _ = await describe(repository, stored.target, stored.media_type, reader)
        match negotiate(reader, described):
            case AsStored():
                return _as_stored(group, stored)
            case Refused(sentence):
                return _nothing(group, sentence)
            case Converted(plan, or_as_stored):
                try:
                    return await self._converted(group, tag, stored, plan)
                except ImpossibleConversion:
                    if or_as_stored:
                        return _as_stored(group, stored)
                    raise

    async def _converted(self, group: ClientGroup, tag: TagName, stored: Stored, plan: Plan) -> Received:
        assert self.found.v2 is not None
        name, target = self.found.v2, stored.target
        if self.converts and self.policy.permission(name) is not Permission.FORBID:
            await self.store.conversions.convert(name, target, plan, tag=tag, patience=None)
        try:
            preview = await self.store.conversions.preview(name, target, plan, tag=tag, layers=self.layers)
        except NotKnown:
            return Received(group, Making.UNKNOWN, plan.form.media_type)
        record = preview.record
        if preview.is_pushed:
            return Received(group, Making.STORED, record.media_type, str(preview.digest), record.size, rule=record.rule)
        making = Making.MADE if preview.is_made else Making.COMPUTED
        permission = self.policy.permission(name)
        if permission is Permission.FORBID or (permission is Permission.PINNED and not preview.is_made):
            raise ImpossibleConversion(refusal(permission, name))
        return Received(group, making, record.media_type, str(preview.digest), record.size, record.rule)

    # v1

    async def _v1(self, group: ClientGroup, tag: str, stored: Stored) -> Received:
        if isinstance(stored.target, V1Target):
            if stored.total is None:
                return _nothing(group, "a part of the image is missing here; push it again with a client of its time")
            return _as_stored(group, stored)
        if self.found.v1 is None or self.found.v2 is None:
            return _nothing(group, f"v1 cannot have the name {self.found.names.canonical}")
        name = self.found.v2
        original = await self.store.conversions.v1_original(name, stored.target.digest)
        if original is not None:
            return Received(group, Making.STORED, media_types.V1_IMAGE, original)
        platform = reader_of((), group.profile, platform=self.policy.platform).platform
        if self.converts and self.policy.permission(name) is not Permission.FORBID:
            await self.store.v1_view.repositories.tag(self.found.v1, tag, Viewer(platform, None))
        received = await self._derived_v1(group, name, stored.target.digest, platform)
        permission = self.policy.permission(name)
        is_made = received.making is Making.MADE
        if permission is Permission.FORBID or (permission is Permission.PINNED and not is_made):
            return _nothing(group, refusal(permission, name))
        return received

    async def _derived_v1(
        self, group: ClientGroup, name: RepositoryName, digest: Digest, platform: Platform
    ) -> Received:
        repository = self.store.open(name)
        chosen = await choose_image(repository, digest, platform)
        manifest = await repository.parse_manifest(chosen)
        rule = _V1_RULES[manifest.media_type]
        if chosen != digest:
            rule = f"{platform_text(platform)} {rule}"
        images = DerivedImages(self.store.storage.driver, self.store.storage.locks)
        known = await images.top(ImageSource(name, chosen))
        if known is not None:
            return Received(group, Making.MADE, media_types.V1_IMAGE, known, rule=rule)
        if isinstance(manifest, Schema1):
            chain = await claimed_chain(repository, manifest)
        else:
            assert isinstance(manifest, Schema2 | OciManifest), "an index was chosen from"
            chain = await chain_of(repository, manifest)
        if chain is None:  # its ids are none: it becomes schema 2 first, and its layers have to be read for that
            return Received(group, Making.UNKNOWN, media_types.V1_IMAGE, rule=rule)
        return Received(group, Making.COMPUTED, media_types.V1_IMAGE, chain.top, rule=rule)

    # by digest

    def of_digest(self, stored: Stored, *, is_pushed: bool) -> list[Received]:
        """Returns what each group receives for a digest: these bytes, or nothing that it can read.

        Args:
            stored: what the digest names.
            is_pushed: whether it was pushed, or a conversion made it.
        """
        name = self.found.names.canonical
        permission = self.policy.permission(name)
        if not is_pushed and permission is Permission.FORBID:
            return [_nothing(group, refusal(permission, name)) for group in GROUPS]
        making = Making.STORED if is_pushed else Making.MADE
        return [self._of_digest(group, stored, making) for group in GROUPS]

    def _of_digest(self, group: ClientGroup, stored: Stored, making: Making) -> Received:
        if group.speaks_v1:
            return _nothing(group, _NO_DIGESTS)
        reader: Reader = reader_of(group.accept, group.profile, platform=self.policy.platform)
        if stored.media_type not in reader.types:
            return _nothing(
                group,
                f"a digest names these bytes, and these clients cannot read {WORDS[stored.media_type]}; pull a tag",
            )
        return Received(group, making, stored.media_type, stored.name, stored.size)


def _as_stored(group: ClientGroup, stored: Stored) -> Received:
    return Received(group, Making.STORED, stored.media_type, stored.name, stored.size)


def _nothing(group: ClientGroup, why: str) -> Received:
    return Received(group, Making.REFUSED, why=why)
