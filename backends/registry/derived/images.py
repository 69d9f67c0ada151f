"""How a single image's manifest is made of another one: reads it, measures or transcodes layers, applies the rules.

Nothing is written here but what `Layers` keeps; `Conversions` stores what is made. Whatever a source names is read only
where its repository has it: a manifest that names another repository's blob, whose digest its pusher happens to know,
is no way to get at it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from backends.model import media_types
from backends.model.conversion.derived import Record
from backends.model.conversion.image_config import ImageConfig, parse_image_config
from backends.model.conversion.image_manifests import require_image, rewrite_image_manifest, write_image_manifest
from backends.model.conversion.impossible import ImpossibleNow
from backends.model.conversion.layer_types import layer_kind
from backends.model.conversion.plans import Form, Plan
from backends.model.conversion.schema1 import Schema1Entry, architecture_of, schema1_entries, schema1_payload
from backends.model.conversion.upward import convert_upward, require_short_chain
from backends.model.conversion.v1_chain import v1_chain
from backends.model.digest import Digest
from backends.model.image_places import ImagePlace, id_at
from backends.model.layers import EMPTY_LAYER_DIGEST, Compression, StoredLayer
from backends.model.manifests import OciManifest, Schema1, Schema2
from backends.model.names import ImageId, RepositoryName
from backends.model.targets import V1Target
from backends.registry.derived.made import DerivedBlob, Made
from backends.registry.derived.originals import Originals
from backends.registry.derived.reading_ahead import read_ahead
from backends.registry.known_impossible import KnownImpossible

SOURCE_ANNOTATION = "portside.converted.from"
RULE_ANNOTATION = "portside.converted.rule"
"""What OCI's manifests say of what they were made of, and how."""

_log = logging.getLogger("portside.conversion")


@dataclass(slots=True)
class Progress:
    """How far a conversion is, for those who wait.

    Attributes:
        text: a clause that may be shown to a client.
    """

    text: str = "the conversion has begun"
    _part: str = ""

    def begin(self, part: str) -> None:
        """Begins with a part, a noun."""
        self._part = part
        self.text = f"{part} is next"

    def tell(self, progress: str) -> None:
        """Says how far that part is, as `StillWorking` does."""
        self.text = f"{self._part}: {progress}"


@dataclass(frozen=True, slots=True)
class Derivation:
    """What a conversion gave.

    Attributes:
        made: manifests, those that others name first; the last one is the answer.
        chosen: the answer where none had to be made: a manifest of the repository, and what is said of it.
        is_final: whether it will always be so; not where an index names what may still be pushed.
        is_named: whether the source names the plan's platform. Clients may say that they run on anything, so what is
            asked for a platform that the source does not name is remembered for a while, and not noted on the volume.
    """

    made: Sequence[Made] = ()
    chosen: tuple[Digest, Record] | None = None
    is_final: bool = True
    is_named: bool = True


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be made, for whom.

    Attributes:
        name: the repository.
        plan: the form, the platform, which layers the client reads.
        tag: for schema 1.
        progress: told how far it is.
        refusal: why nothing may be made, only chosen; None where it may.
    """

    name: RepositoryName
    plan: Plan
    tag: str
    progress: Progress
    refusal: str | None = None


@dataclass(frozen=True, slots=True)
class _Layers:
    """Layers as a client reads them, from the base to the top.

    Attributes:
        layers: one for each that was asked for.
        replaced: those of them that were transcoded, by the digest they had.
        steps: how, as parts of a rule.
    """

    layers: Sequence[StoredLayer]
    replaced: Mapping[Digest, StoredLayer]
    steps: Sequence[str]


class Images:
    """Makes manifests of single images.

    Args:
        originals: what they are made of.
        impossible: what was found out to be none.
    """

    def __init__(self, originals: Originals, impossible: KnownImpossible) -> None:
        self._originals = originals
        self._impossible = impossible

    async def of_manifest(self, digest: Digest, manifest: Schema1 | Schema2 | OciManifest, wish: Wish) -> Made | None:
        """Makes a single image's manifest of another one; None where it is already what is wished.

        Raises:
            ImpossibleConversion: the form cannot hold it, or it is no image.
        """
        with self._impossible.noted((wish.name, digest, wish.plan.form, wish.plan.gzip_only, wish.tag)):
            return await self._of_manifest(digest, manifest, wish)

    async def _of_manifest(self, digest: Digest, manifest: Schema1 | Schema2 | OciManifest, wish: Wish) -> Made | None:
        match manifest:
            case Schema1():
                return await self._of_schema1(digest, manifest, wish)
            case Schema2() | OciManifest():
                require_image(manifest)
                if wish.plan.form is Form.SCHEMA1:
                    return await self._downward(digest, manifest, wish)
                return await self._sideways(digest, manifest, wish)

    async def of_v1(self, target: V1Target, wish: Wish) -> Made:
        """Makes a manifest of a v1 image.

        Raises:
            ImpossibleConversion: the form cannot hold it.
            ValueError: it is no image.
        """
        require_permission(wish)
        images = await self._originals.v1_chain(wish.name, target)
        reads = [partial(self._originals.v1_layer, image.place) for image in images]
        measured = await read_ahead(reads, begin=wish.progress.begin, tell=wish.progress.tell)
        texts = [image.text for image in images]
        blobs = [
            DerivedBlob(layer.digest, layer.size, image_id=id_at(image.place))
            for image, layer in zip(images, measured, strict=True)
        ]
        gzipped = await self._readable(measured, wish, images=[image.place for image in images])
        if wish.plan.form is Form.SCHEMA1:
            entries = [Schema1Entry(text, layer.digest) for text, layer in zip(texts, gzipped.layers, strict=True)]
            named = {layer.digest for layer in gzipped.layers}
            needed = [blob for blob in (*blobs, *_gzips_of(gzipped)) if blob.digest in named]
            return await _schema1(media_types.V1_IMAGE, entries, wish, blobs=needed, steps=gzipped.steps)
        return await self._upward(media_types.V1_IMAGE, target.image_id, texts, gzipped, wish, blobs=blobs)

    async def _of_schema1(self, digest: Digest, manifest: Schema1, wish: Wish) -> Made | None:
        if wish.plan.form is Form.SCHEMA1:
            return None
        require_permission(wish)
        entries = await asyncio.to_thread(schema1_entries, manifest)
        require_short_chain(len(entries))
        reads = [partial(self._originals.layer, wish.name, entry.blob_sum) for entry in entries]
        measured = await read_ahead(reads, begin=wish.progress.begin, tell=wish.progress.tell)
        gzipped = await self._readable(measured, wish)
        return await self._upward(manifest.media_type, digest, [entry.text for entry in entries], gzipped, wish)

    async def _upward(
        self,
        source_type: str,
        original: Digest | ImageId,
        texts: Sequence[str],
        layers: _Layers,
        wish: Wish,
        *,
        blobs: Sequence[DerivedBlob] = (),
    ) -> Made:
        """Makes schema 2 or an OCI manifest of v1 images."""
        form = wish.plan.form
        rule = _rule(rule_step(source_type, form), *layers.steps)
        image = await asyncio.to_thread(convert_upward, texts, layers.layers)
        said = provenance(form, original, rule)
        content = await asyncio.to_thread(
            write_image_manifest, form.media_type, image.config, image.layers, annotations=said
        )
        config = DerivedBlob(Digest.of(image.config), len(image.config), image.config)
        transcoded = _gzips_of(layers)
        named = {layer.digest for layer in image.layers}
        needed = [blob for blob in (*blobs, *transcoded) if blob.digest in named]
        record = Record(form.media_type, len(content), source_type, rule)
        return Made(Digest.of(content), content, record, [config, *_once(needed)])

    async def _downward(self, digest: Digest, manifest: Schema2 | OciManifest, wish: Wish) -> Made:
        """Makes schema 1 of schema 2 or an OCI manifest."""
        require_permission(wish)
        content = await self._originals.config(wish.name, manifest.config)
        chain = await asyncio.to_thread(v1_chain, content, manifest.layers)
        config = await asyncio.to_thread(parse_image_config, content)
        gzipped = await self._gzips(manifest, config, wish, everywhere=True)
        entries = [
            Schema1Entry(
                entry.schema1_text,
                EMPTY_LAYER_DIGEST
                if entry.layer is None
                else gzipped.replaced[entry.layer.digest].digest
                if entry.layer.digest in gzipped.replaced
                else entry.layer.digest,
            )
            for entry in chain
        ]
        blobs = _gzips_of(gzipped)
        return await _schema1(manifest.media_type, entries, wish, blobs=blobs, original=digest, steps=gzipped.steps)

    async def _sideways(self, digest: Digest, manifest: Schema2 | OciManifest, wish: Wish) -> Made | None:
        """Makes schema 2 or an OCI manifest of the other one, or of the same with layers in gzip."""
        form = wish.plan.form
        if form.media_type != manifest.media_type:
            require_permission(wish)
        config = await asyncio.to_thread(parse_image_config, await self._originals.config(wish.name, manifest.config))
        gzipped = await self._gzips(manifest, config, wish) if wish.plan.gzip_only else _Layers((), {}, ())
        if form.media_type == manifest.media_type and not gzipped.replaced:
            return None
        rule = _rule(rule_step(manifest.media_type, form), *gzipped.steps)
        said = provenance(form, digest, rule)
        content = await asyncio.to_thread(
            rewrite_image_manifest, manifest, form.media_type, replacements=gzipped.replaced, annotations=said
        )
        record = Record(form.media_type, len(content), manifest.media_type, rule, digest)
        blobs = _gzips_of(gzipped)
        return Made(Digest.of(content), content, record, _once(blobs))

    # layers

    async def _readable(
        self, layers: Sequence[StoredLayer], wish: Wish, *, images: Sequence[ImagePlace] = ()
    ) -> _Layers:
        """Returns layers of v1 images or schema 1 as manifests may name them.

        Without bzip2 and xz but in schema 1, whose clients read them; perhaps without zstd; and without what is padded
        with zeros, of whatever compression.
        """
        is_schema1 = wish.plan.form is Form.SCHEMA1
        unwanted = set() if is_schema1 else {Compression.BZIP2, Compression.XZ}
        if wish.plan.gzip_only or wish.plan.form is Form.SCHEMA2:  # no client knew zstd in schema 2 at that time
            unwanted.add(Compression.ZSTD)
        replaced: dict[Digest, StoredLayer] = {}
        steps: dict[str, None] = {}
        for number, layer in enumerate(layers):
            facts = layer.facts
            if layer.digest in replaced or not (facts.is_padded or facts.compression in unwanted):
                continue
            if facts.is_empty and not is_schema1:  # others have none in its place
                continue
            wish.progress.begin(f"layer {number + 1} of {len(layers)} for gzip")
            image = images[number] if images else None
            replaced[layer.digest] = await self._originals.gzip_of(
                wish.name, layer.digest, facts.diff_id, wish.progress.tell, image=image
            )
            word = "padded-gzip" if facts.compression is Compression.GZIP else facts.compression.value
            steps[f"{word}-to-gzip"] = None
        return _Layers([replaced.get(layer.digest, layer) for layer in layers], replaced, tuple(steps))

    async def _gzips(
        self, manifest: Schema2 | OciManifest, config: ImageConfig, wish: Wish, *, everywhere: bool = False
    ) -> _Layers:
        """Transcodes those layers of an image that are compressed with zstd.

        Args:
            manifest: the image's.
            config: its configuration, whose diff_ids say what is in them.
            wish: what is to be made.
            everywhere: whether all layers must be here: the form has no addresses of others.
        """
        if len(config.diff_ids) != len(manifest.layers):
            raise ValueError(
                f"the image is not whole: the manifest has {len(manifest.layers)} layers,"
                f" its configuration {len(config.diff_ids)}"
            )
        replaced: dict[Digest, StoredLayer] = {}
        seen = {EMPTY_LAYER_DIGEST}
        steps: dict[str, None] = {}
        for number, (layer, diff_id) in enumerate(zip(manifest.layers, config.diff_ids, strict=True), start=1):
            if layer.digest in seen:
                continue
            kind = layer_kind(layer.media_type)
            if kind is not None and kind.is_foreign and not await self._originals.has(wish.name, layer.digest):
                if everywhere:
                    raise ImpossibleNow(
                        f"layer {layer.digest} is not stored in this registry (a foreign layer),"
                        " and this client gets layers from nowhere else; pull it with Docker 1.10 or later"
                    )
                continue
            seen.add(layer.digest)
            if not await self._originals.has_zstd(wish.name, layer.digest):
                continue
            wish.progress.begin(f"layer {number} of {len(manifest.layers)} for gzip")
            require_permission(wish)
            replaced[layer.digest] = await self._originals.gzip_of(wish.name, layer.digest, diff_id, wish.progress.tell)
            steps["zstd-to-gzip"] = None
        return _Layers((), replaced, tuple(steps))


async def _schema1(
    source_type: str,
    entries: Sequence[Schema1Entry],
    wish: Wish,
    *,
    blobs: Sequence[DerivedBlob],
    original: Digest | None = None,
    steps: Sequence[str] = (),
) -> Made:
    """Makes a schema 1 manifest, of images from the base to the top; it is signed where it is stored."""

    def write() -> bytes:
        return schema1_payload(wish.name, wish.tag, architecture_of(entries[-1].text), entries)

    payload = await asyncio.to_thread(write)
    rule = _rule(rule_step(source_type, Form.SCHEMA1), *steps)
    record = Record(media_types.SCHEMA1_SIGNED, len(payload), source_type, rule, original)
    return Made(Digest.of(payload), payload, record, _once(blobs))


def require_permission(wish: Wish) -> None:
    """Raises what a client is told where the settings allow no new conversion.

    Raises:
        ImpossibleConversion: they do not.
    """
    if wish.refusal is not None:
        raise ImpossibleNow(wish.refusal)


def rule_step(source_type: str, form: Form) -> str:
    """Returns a step of a rule, `oci-to-schema2`; "" where the form stays."""
    source = Form(source_type)
    return "" if source is form else f"{source.word}-to-{form.word}"


def _rule(*steps: str) -> str:
    return " ".join(step for step in steps if step)


def provenance(form: Form, original: Digest | ImageId, rule: str) -> Mapping[str, str]:
    """Returns what a manifest says of its original, as annotations, which only OCI's have."""
    if form not in {Form.OCI_MANIFEST, Form.OCI_INDEX}:
        return {}
    return {SOURCE_ANNOTATION: str(original), RULE_ANNOTATION: rule}


def _gzips_of(layers: _Layers) -> Sequence[DerivedBlob]:
    return [DerivedBlob(gzip.digest, gzip.size, made_of=layer) for layer, gzip in layers.replaced.items()]


def _once(blobs: Sequence[DerivedBlob]) -> Sequence[DerivedBlob]:
    """Leaves out what a blob was named for before."""
    return list({blob.digest: blob for blob in blobs if blob.digest != EMPTY_LAYER_DIGEST}.values())
