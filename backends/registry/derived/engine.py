"""How a manifest is made of what a tag names, of whatever kind that is."""

from __future__ import annotations

from backends.model.conversion.derived import Record
from backends.model.conversion.impossible import ImpossibleConversion
from backends.model.conversion.plans import Form
from backends.model.manifests import Index, digested_bytes
from backends.model.targets import Target, V1Target
from backends.registry.derived.images import Derivation, Images, Wish
from backends.registry.derived.indexes import Indexes
from backends.registry.derived.originals import Originals
from backends.registry.known_impossible import KnownImpossible, not_an_image


async def derive(originals: Originals, target: Target, wish: Wish, impossible: KnownImpossible) -> Derivation:
    """Makes what is wished of a tag's target.

    Args:
        originals: what it is made of.
        target: what the tag names.
        wish: what is to be made.
        impossible: what was found out to be none.

    Raises:
        ImpossibleConversion: the form cannot hold it, or it is no image; the sentence says why.
        RegistryError: MANIFEST_UNKNOWN: the target is gone, or damaged.
    """
    images = Images(originals, impossible)
    try:
        if isinstance(target, V1Target):
            _require_single(wish)
            return Derivation([await images.of_v1(target, wish)])
        digest = target.digest
        manifest = await originals.manifest(wish.name, digest)
        if isinstance(manifest, Index):
            return await Indexes(images, originals).derive(digest, manifest, wish)
        _require_single(wish)
        made = await images.of_manifest(digest, manifest, wish)
    except ValueError as error:
        raise not_an_image(error) from None
    if made is not None:
        return Derivation([made])
    size = len(digested_bytes(manifest))
    return Derivation(chosen=(digest, Record(manifest.media_type, size, manifest.media_type, "")))


def _require_single(wish: Wish) -> None:
    form = wish.plan.form
    if form.is_index or form is Form.V1:
        raise ImpossibleConversion(
            f"this is a single image, and the client asked only for {form.media_type}; let it accept single images too"
        )
