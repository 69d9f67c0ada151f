"""How a manifest is made of a manifest list or an OCI index: of the image for one platform, or of all of them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from backends.model.conversion.derived import Record
from backends.model.conversion.image_indexes import rewrite_index
from backends.model.conversion.impossible import ImpossibleConversion, ImpossibleNow
from backends.model.conversion.plans import Form, Plan
from backends.model.conversion.platforms import (
    MAX_NESTING,
    choose,
    platform_text,
    ranked,
)
from backends.model.descriptors import Descriptor, Platform
from backends.model.digest import Digest
from backends.model.errors import RegistryError
from backends.model.manifests import Index, Manifest, OciManifest, Schema1, Schema2, digested_bytes
from backends.registry.derived.images import Derivation, Images, Wish, provenance, require_permission, rule_step
from backends.registry.derived.made import Made
from backends.registry.index_images import MAX_IMAGES, images_of

if TYPE_CHECKING:
    from backends.registry.derived.originals import Originals

_IN_INDEX = {Form.MANIFEST_LIST: Form.SCHEMA2, Form.OCI_INDEX: Form.OCI_MANIFEST}


class Indexes:
    """Makes manifests of indexes.

    Args:
        images: makes those of single images.
        originals: what they are made of.
    """

    def __init__(self, images: Images, originals: Originals) -> None:
        self._images = images
        self._originals = originals

    async def derive(self, digest: Digest, index: Index, wish: Wish) -> Derivation:
        """Makes what is wished of an index.

        Raises:
            ImpossibleConversion: there is no image for the platform, or it is none, or the form cannot hold any.
        """
        manifest = partial(self._originals.manifest, wish.name)
        config = partial(self._originals.config, wish.name)
        found = await images_of(index, manifest, config, max_read=MAX_IMAGES, reads_all=True)
        if found.is_too_deep:
            raise ImpossibleConversion(
                f"this index has indexes within indexes, and at most {MAX_NESTING} levels are looked through;"
                " ask for an image by its digest"
            )
        all_here = found.are_all_here
        if not wish.plan.form.is_index:
            return await self._of_one(index, found.images, wish, all_here=all_here)
        if found.has_more:
            raise ImpossibleConversion(
                f"this index names more than {MAX_IMAGES} images, and no more are converted;"
                " ask for one of them by its digest"
            )
        return await self._of_all(digest, replace(index, manifests=tuple(found.images)), wish, all_here=all_here)

    # one platform

    async def _of_one(self, index: Index, images: Sequence[Descriptor], wish: Wish, *, all_here: bool) -> Derivation:
        platform = wish.plan.platform
        candidates = ranked(images, platform) or (choose(images, platform),)
        refusal: ImpossibleConversion | None = None
        for number, candidate in enumerate(candidates):
            is_best = number == 0
            child = await self._child(wish, candidate)
            if child is None:
                refusal = refusal or _not_stored(candidate)
                continue
            try:
                derivation = await self._of_child(index, candidate, child, wish)
            except ImpossibleConversion as error:  # an image in EROFS, of which others know nothing
                refusal = refusal or error
                continue
            is_named = any(_are_alike(each.platform, platform) for each in images)
            return replace(derivation, is_final=is_best or all_here, is_named=is_named)
        assert refusal is not None  # there is one candidate at least
        raise refusal

    async def _of_child(
        self, index: Index, entry: Descriptor, child: Schema1 | Schema2 | OciManifest, wish: Wish
    ) -> Derivation:
        chosen = platform_text(entry.platform) if entry.platform is not None else platform_text(wish.plan.platform)
        made = await self._images.of_manifest(entry.digest, child, wish)
        if made is None:
            size = len(digested_bytes(child))
            return Derivation(chosen=(entry.digest, Record(child.media_type, size, index.media_type, chosen)))
        rule = f"{chosen} {made.record.rule}"
        record = replace(made.record, source_type=index.media_type, rule=rule, original=entry.digest)
        return Derivation([replace(made, record=record)])

    # all of them

    async def _of_all(self, digest: Digest, index: Index, wish: Wish, *, all_here: bool) -> Derivation:
        form = wish.plan.form
        single = replace(wish, plan=Plan(_IN_INDEX[form], wish.plan.platform, wish.plan.gzip_only))
        children: dict[Digest, Descriptor] = {}
        made: dict[Digest, Made] = {}
        refusal: ImpossibleConversion | None = None
        for number, entry in enumerate(index.manifests, start=1):
            wish.progress.begin(f"image {number} of {len(index.manifests)}")
            child = await self._child(wish, entry)
            if child is None or entry.digest in children:
                continue
            try:
                each = await self._images.of_manifest(entry.digest, child, single)
            except ImpossibleConversion as error:  # who reads this form does not miss it
                refusal = refusal or error
                continue
            if each is None:
                children[entry.digest] = replace(entry, media_type=child.media_type)
                continue
            record = replace(each.record, original=entry.digest)
            made[each.digest] = replace(each, record=record)
            children[entry.digest] = Descriptor(
                record.media_type, each.digest, record.size, platform=entry.platform, annotations=entry.annotations
            )
        if not children and refusal is not None:
            raise refusal
        if not made and form.media_type == index.media_type:
            size = len(index.content)
            return Derivation(chosen=(digest, Record(index.media_type, size, index.media_type, "")), is_final=all_here)
        require_permission(wish)
        steps = dict.fromkeys(step for each in made.values() for step in each.record.rule.split())
        rule = " ".join(filter(None, [rule_step(index.media_type, form), *steps]))
        said = provenance(form, digest, rule)
        content = await asyncio.to_thread(rewrite_index, index, form.media_type, children, annotations=said)
        record = Record(form.media_type, len(content), index.media_type, rule)
        return Derivation([*made.values(), Made(Digest.of(content), content, record)], is_final=all_here)

    # reading

    async def _child(self, wish: Wish, entry: Descriptor) -> Schema1 | Schema2 | OciManifest | None:
        """Returns the image that an entry names; None where it is not here, or something else."""
        manifest = await self._manifest(wish, entry.digest)
        return None if isinstance(manifest, Index) else manifest

    async def _manifest(self, wish: Wish, digest: Digest) -> Manifest | None:
        try:
            return await self._originals.manifest(wish.name, digest)
        except RegistryError:  # sparse indexes name what is elsewhere
            return None


def _are_alike(one: Platform | None, other: Platform) -> bool:
    return one is not None and (one.os, one.architecture) == (other.os, other.architecture)


def _not_stored(entry: Descriptor) -> ImpossibleNow:
    said = platform_text(entry.platform) if entry.platform is not None else "this"
    return ImpossibleNow(
        f"the image {entry.digest} for {said} is named by the index, but not stored in this registry; push it"
    )
