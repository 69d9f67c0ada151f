"""Conversions over a store: what a tag names in every other form, kept so that its digest can be asked for."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from functools import partial

import pytest
from typing_extensions import override

from backends.model import jws, media_types
from backends.model.conversion.derived import DerivedManifest
from backends.model.conversion.impossible import ImpossibleConversion
from backends.model.conversion.plans import Form, Plan
from backends.model.conversion.policy import ConversionPolicy, ConversionRule, Permission
from backends.model.descriptors import Platform
from backends.model.digest import Digest, parse_digest
from backends.model.errors import ErrorCode, RegistryError
from backends.model.layers import EMPTY_LAYER_DIGEST
from backends.model.names import ImageId, RepositoryName, TagName
from backends.model.targets import V1Target, V2Target
from backends.registry.exclusive_lock import exclusive_lock
from backends.registry.layers.settings import LayerSettings
from backends.registry.links import names_in
from backends.registry.still_working import StillWorking
from backends.registry.store import Store
from backends.registry.validation import Validation
from backends.storage import layout
from backends.storage.driver import PathNotFound, Reader, StorageDriver
from backends.storage.factory import open_memory
from backends.storage.storage import Storage
from tests.support.actors import ACTOR
from tests.support.derivations import (
    AMD64,
    PUSHES,
    convert,
    expected_config,
    is_there,
    plans_of,
    pulled,
    push_v1,
    put_manifest_of,
    read_blob,
    tag_v1,
    v1_example,
)
from tests.support.drivers import ForwardingDriver, wrapped
from tests.support.formats import FORMATS, digest_of, example
from tests.support.layers import pack_zstd_frames
from tests.support.pushed_examples import (
    OCI_INDEX,
    OCI_MANIFEST,
    ZSTD,
    Layer,
    config_of,
    gzip_layer,
    image_of,
    index_of,
    push_example,
    push_image,
    put_manifest,
)
from tests.support.schema1_pushes import push_schema1
from tests.support.stores import everything, put_blob
from tests.support.v1pushes import read_layer
from tests.support.v1server import make_pushed

Reopen = Callable[[], Storage]
Stores = Callable[[], Store]
NAME, OTHER, TAG = RepositoryName("team/app"), RepositoryName("team/other"), "latest"


@pytest.fixture
async def stores(reopen: Reopen) -> AsyncIterator[Stores]:
    """Each call opens the store anew, as another process would."""
    opened: list[Store] = []

    def again() -> Store:
        opened.append(Store(reopen()))
        return opened[-1]

    yield again
    for store in opened:
        await store.close()


# every form of every push


@pytest.mark.parametrize("kind", PUSHES)
async def test_every_push_is_pulled_in_every_form(stores: Stores, kind: str) -> None:
    """Layers hold the same; configurations are the same bytes; each digest is there for whoever starts later."""
    push, form = PUSHES[kind]
    store = stores()
    await push(store, NAME, TAG)
    config = expected_config(kind)
    tars: list[bytes] | None = None
    for plan in plans_of(form):
        made = await convert(store, NAME, TAG, plan)
        assert made.media_type == plan.form.media_type
        assert made.source == await store.tags.target(NAME, TagName(TAG))
        assert made.source_type == form.media_type
        fresh = stores()
        [(found, contents)] = await pulled(fresh, NAME, made.digest)
        assert found in {None, config}
        tars = tars or [each for each in contents if each.strip(b"\0")]
        assert [each for each in contents if each.strip(b"\0")] == tars
        described = await fresh.open(NAME).describe_manifest(made.digest)
        assert (described.media_type, described.length) == (made.media_type, len(made.content))
        assert (await convert(fresh, NAME, TAG, plan)).content == made.content
        if plan.gzip_only and form.is_index is plan.form.is_index:
            assert b"zstd" not in made.content.replace(b"zstd-to-gzip", b"")


@pytest.mark.parametrize("kind", PUSHES)
async def test_two_installations_make_the_same(stores: Stores, kind: str) -> None:
    """Signatures aside: each has a key of its own."""
    push, form = PUSHES[kind]
    other = Store(open_memory())
    digests = []
    for store in (stores(), other):
        await push(store, NAME, TAG)
        digests.append([(await convert(store, NAME, TAG, plan)).digest for plan in plans_of(form)])
    await other.close()
    assert digests[0] == digests[1]


async def test_what_is_made_of_v1_is_the_worked_example(stores: Stores) -> None:
    store = stores()
    await push_v1(store, NAME, TAG)
    expected = example("v1-pushed-by-docker-1.5.0/expected-schema2.json")
    assert (await convert(store, NAME, TAG, Form.SCHEMA2)).content == expected


async def test_what_is_made_of_schema_2_is_the_worked_example(stores: Stores) -> None:
    """The tag and the repository's name are in it."""
    store, name = stores(), RepositoryName("fx/one")
    await push_example(store, name, "strong", "schema2-image")
    made = await convert(store, name, "strong", Form.SCHEMA1)
    assert jws.verify(made.content) == example("schema2-image/expected-schema1-strong-ids/payload.json")


async def test_schema_1_is_another_one_for_each_tag(stores: Stores) -> None:
    store = stores()
    for tag in ("a", "b"):
        await push_v1(store, NAME, tag)
    made = [await convert(store, NAME, tag, Form.SCHEMA1) for tag in ("a", "b")]
    assert [json.loads(each.content)["tag"] for each in made] == ["a", "b"]
    assert made[0].digest != made[1].digest


async def test_schema_1_keeps_its_signature(stores: Stores, reopen: Reopen) -> None:
    """Whoever asks again gets the same bytes, also of a process with another key."""
    store = stores()
    await push_v1(store, NAME, TAG)
    made = await convert(store, NAME, TAG, Form.SCHEMA1)
    other_key = Store(reopen(), signing_key=FORMATS / "jws/test-key.pem")
    for again in (store, stores(), other_key):
        assert (await again.open(NAME).get_manifest(made.digest)).content == made.content
        assert (await convert(again, NAME, TAG, Form.SCHEMA1)).content == made.content
    await other_key.close()


class Overtaken(ForwardingDriver):
    """A driver of a process that looks for signatures before another one has made them, and goes on after it."""

    meanwhile: Callable[[], Awaitable[object]] | None = None

    @override
    async def read(self, path: str) -> bytes:
        meanwhile, self.meanwhile = self.meanwhile if "/_signed/" in path else None, self.meanwhile
        if meanwhile is not None:
            self.meanwhile = None
            await meanwhile()
            raise PathNotFound(path)
        return await super().read(path)


async def test_of_two_processes_that_sign_at_once_one_signature_counts(stores: Stores, reopen: Reopen) -> None:
    """One of them has been started with another key."""
    quicker = stores()
    await push_v1(quicker, NAME, TAG)
    overtaken, driver = wrapped(reopen(), Overtaken)
    slower = Store(overtaken, signing_key=FORMATS / "jws/test-key.pem")
    driver.meanwhile = partial(convert, quicker, NAME, TAG, Form.SCHEMA1)
    made = await convert(slower, NAME, TAG, Form.SCHEMA1)
    assert driver.meanwhile is None
    for store in (quicker, stores()):
        assert (await convert(store, NAME, TAG, Form.SCHEMA1)).content == made.content
    await slower.close()


class CountsReads(ForwardingDriver):
    """Counts how often each file is opened, or read whole."""

    def __init__(self, driver: StorageDriver) -> None:
        super().__init__(driver)
        self.reads: Counter[str] = Counter()

    @override
    async def open(self, path: str) -> Reader:
        self.reads[path] += 1
        return await super().open(path)

    @override
    async def read(self, path: str) -> bytes:
        self.reads[path] += 1
        return await super().read(path)


async def test_a_layer_that_an_image_has_often_is_looked_at_once(reopen: Reopen) -> None:
    storage, driver = wrapped(reopen(), CountsReads)
    store = Store(storage)
    layer = gzip_layer(b"a tar")
    await push_image(store, NAME, TAG, [layer] * 9)
    await convert(store, NAME, TAG, Plan(Form.SCHEMA2, gzip_only=True))
    assert driver.reads[layout.blob_data(digest_of(layer.stored))] == 1
    await store.close()


async def test_an_oci_manifest_says_what_it_was_made_of(stores: Stores) -> None:
    store = stores()
    await push_v1(store, NAME, TAG)
    made = await convert(store, NAME, TAG, Form.OCI_MANIFEST)
    assert json.loads(made.content)["annotations"] == {
        "portside.converted.from": v1_example()[-1].id,
        "portside.converted.rule": "v1-to-oci",
    }
    assert made.rule == "v1-to-oci"


# layers


@pytest.mark.parametrize(
    "pack", [pack_zstd_frames, lambda tar: gzip_layer(pack_zstd_frames(tar)).stored], ids=["zstd", "zstd in gzip"]
)
async def test_zstd_becomes_gzip_whatever_its_type_says(stores: Stores, pack: Callable[[bytes], bytes]) -> None:
    """Some programs compress a zstd stream again that they do not recognise, and give it gzip's type."""
    store, tar = stores(), example("v1-image/0-88f011775979/layer.tar")
    stored = pack(tar)
    layer = Layer(stored, digest_of(tar)) if stored[:2] == b"\x1f\x8b" else Layer(stored, digest_of(tar), ZSTD)
    await push_image(store, NAME, TAG, [layer])
    for form in (Form.OCI_MANIFEST, Form.SCHEMA2, Form.SCHEMA1):
        made = await convert(store, NAME, TAG, Plan(form, gzip_only=True))
        assert made.rule.endswith("zstd-to-gzip")
        [(_, contents)] = await pulled(stores(), NAME, made.digest)
        assert contents == [tar]


FORMS = (Form.OCI_MANIFEST, Form.SCHEMA2, Form.SCHEMA1)


@pytest.mark.parametrize("is_known", [True, False], ids=["known since its push", "read for it"])
@pytest.mark.parametrize(
    ("pack", "step"),
    [
        (lambda tar: gzip.compress(tar, mtime=0) + bytes(512), "padded-gzip-to-gzip"),
        (lambda tar: gzip.compress(tar[:99]) + gzip.compress(tar[99:]) + bytes(7), "padded-gzip-to-gzip"),
        (lambda tar: pack_zstd_frames(tar) + bytes(512), "zstd-to-gzip"),
    ],
    ids=["gzip", "members", "zstd"],
)
async def test_a_layer_of_v1_that_is_padded_with_zeros_becomes_one_that_go_can_read(
    stores: Stores, pack: Callable[[bytes], bytes], step: str, *, is_known: bool
) -> None:
    """Docker and crane say "gzip: invalid header" of it (FOUND 19); v1 clients get what was pushed."""
    store, tar = stores(), example("v1-image/0-88f011775979/layer.tar")
    image = make_pushed("a", layer=pack(tar))
    await push_v1(store, NAME, TAG, [image])
    if not is_known:
        for name in (layout.INDEX + "/layers", layout.INDEX + "/v1-layers"):
            with suppress(PathNotFound):
                await store.storage.driver.delete(name)
        store = stores()
    for form in FORMS:
        made = await convert(store, NAME, TAG, form)
        assert made.rule.endswith(step)
        [(_, contents)] = await pulled(stores(), NAME, made.digest)
        assert contents == [tar]
    gzips = [path for path in await everything(store.storage.driver) if path.startswith(layout.DERIVED_GZIPS)]
    assert len(gzips) == 1
    assert await read_layer(store.v1_images, image) == image.layer


async def test_a_layer_of_schema_1_that_is_padded_with_zeros_becomes_one_that_go_can_read(stores: Stores) -> None:
    """Who reads schema 1 gets what was pushed."""
    store, tar = stores(), example("v1-image/0-88f011775979/layer.tar")
    image = make_pushed("a", layer=gzip.compress(tar) + bytes(512))
    await push_schema1(store, NAME, TAG, [image])
    for form in (Form.OCI_MANIFEST, Form.SCHEMA2):
        made = await convert(store, NAME, TAG, form)
        assert made.rule.endswith("padded-gzip-to-gzip")
        [(_, contents)] = await pulled(stores(), NAME, made.digest)
        assert contents == [tar]
    assert await read_blob(stores(), NAME, digest_of(image.layer)) == image.layer


async def test_an_empty_layer_of_v1_that_is_padded_becomes_one_that_go_can_read_where_it_stays(stores: Stores) -> None:
    """Schema 1 has a layer for each image."""
    store = stores()
    image = make_pushed("a", layer=gzip.compress(bytes(1024)) + bytes(512))
    await push_v1(store, NAME, TAG, [image])
    for form in FORMS:
        made = await convert(store, NAME, TAG, form)
        await pulled(stores(), NAME, made.digest)


async def test_zstd_of_v1_is_gzip_in_schema_1(stores: Stores) -> None:
    """Its clients do not know zstd."""
    store, tar = stores(), example("v1-image/0-88f011775979/layer.tar")
    await push_v1(store, NAME, TAG, [make_pushed("a", layer=pack_zstd_frames(tar))])
    made = await convert(store, NAME, TAG, Plan(Form.SCHEMA1, gzip_only=True))
    assert made.rule == "v1-to-schema1 zstd-to-gzip"
    document = json.loads(made.content)
    layer = await read_blob(stores(), NAME, parse_digest(document["fsLayers"][0]["blobSum"]))
    assert gzip.decompress(layer) == tar


async def test_a_layer_that_holds_something_else_is_refused(stores: Stores) -> None:
    store, tar = stores(), example("v1-image/0-88f011775979/layer.tar")
    await push_image(store, NAME, TAG, [Layer(pack_zstd_frames(tar), digest_of(b"another"), ZSTD)])
    with pytest.raises(ImpossibleConversion, match="cannot be read: it holds"):
        await convert(store, NAME, TAG, Plan(Form.SCHEMA2, gzip_only=True))


async def test_what_a_repository_does_not_have_is_not_read_for_it(stores: Stores, reopen: Reopen) -> None:
    """A manifest that names a layer of another repository is no way to get at that."""
    store = Store(reopen(), validation=Validation(layers=False))
    tar = example("v1-image/0-88f011775979/layer.tar")
    secret = Layer(pack_zstd_frames(tar), digest_of(tar), ZSTD)
    await push_image(store, OTHER, TAG, [secret])
    await put_blob(store, NAME, config_of([secret]))
    await put_manifest(store, NAME, TAG, image_of(config_of([secret]), [secret]))
    for form in (Form.SCHEMA2, Form.SCHEMA1):
        with pytest.raises(ImpossibleConversion, match="is not stored"):
            await convert(store, NAME, TAG, Plan(form, gzip_only=True))
    await store.close()


async def test_the_empty_layer_is_in_every_repository(stores: Stores) -> None:
    repository, empty = stores().open(RepositoryName("no/such")), example("empty-layer/empty.tar.gz")
    assert await repository.blob_size(digest_of(empty)) == len(empty)
    assert await read_blob(stores(), RepositoryName("no/such"), digest_of(empty)) == empty


# what cannot be converted


async def test_what_is_no_image_is_refused_with_a_sentence(stores: Stores) -> None:
    store = stores()
    config = b"\0 not an image's configuration"
    await push_image(store, NAME, TAG, [gzip_layer(b"tar")], config=config)
    for form in (Form.SCHEMA1, Form.SCHEMA2):
        with pytest.raises(ImpossibleConversion, match="not an image's configuration"):
            await convert(store, NAME, TAG, form)


async def test_what_its_content_makes_impossible_is_not_read_again(stores: Stores) -> None:
    """Its configuration may have megabytes, of which each request would take its time."""
    store = stores()
    config = b"\0 not an image's configuration"
    image = image_of(config, [gzip_layer(b"tar")])
    await push_image(store, NAME, TAG, [gzip_layer(b"tar")], config=config)
    await put_manifest(store, NAME, "index", index_of({"linux/amd64": image}))
    for tag in (TAG, "index"):
        for form in (Form.SCHEMA1, Form.SCHEMA2):
            with pytest.raises(ImpossibleConversion, match="not an image's configuration"):
                await convert(store, NAME, tag, form)
    await store.open(NAME).delete_blob(digest_of(config), actor=ACTOR)
    for tag in (TAG, "index"):
        for form in (Form.SCHEMA1, Form.SCHEMA2):
            with pytest.raises(ImpossibleConversion, match=r"not an image's configuration.*; pull it with"):
                await convert(store, NAME, tag, form)
    with pytest.raises(ImpossibleConversion, match="is not stored"):
        await convert(stores(), NAME, TAG, Form.SCHEMA2)


async def test_what_only_lacks_something_is_converted_once_that_is_pushed(reopen: Reopen) -> None:
    store = Store(reopen(), validation=Validation(layers=False))
    tar = example("v1-image/0-88f011775979/layer.tar")
    layer = Layer(pack_zstd_frames(tar), digest_of(tar), ZSTD)
    plan = Plan(Form.SCHEMA2, gzip_only=True)
    await put_manifest(store, NAME, TAG, image_of(config_of([layer]), [layer]))
    for missing in (config_of([layer]), layer.stored):
        with pytest.raises(ImpossibleConversion, match="is not stored"):
            await convert(store, NAME, TAG, plan)
        await put_blob(store, NAME, missing)
    assert (await convert(store, NAME, TAG, plan)).media_type == media_types.SCHEMA2
    await store.close()


@pytest.mark.parametrize("form", [Form.SCHEMA1, Form.SCHEMA2, Form.OCI_MANIFEST])
@pytest.mark.parametrize(("lost", "which"), [
    (layout.v1_image_layer, 0), (layout.v1_image_layer, -1), (layout.v1_image_json, 0), (layout.v1_image_json, -1),
    (layout.v1_image_ancestry, -1),
])  # fmt: skip
async def test_a_v1_image_that_lost_a_file_is_refused_in_a_sentence(
    stores: Stores, form: Form, lost: Callable[[ImageId], str], which: int
) -> None:
    store = stores()
    images = v1_example()
    await push_v1(store, NAME, TAG, images)
    await store.storage.driver.delete(lost(ImageId(images[which].id)))
    with pytest.raises(ImpossibleConversion, match="push"):
        await convert(store, NAME, TAG, form)


async def test_an_image_that_passes_a_bound_need_not_be_pushed_again(reopen: Reopen) -> None:
    store = Store(reopen(), layer_settings=LayerSettings(max_bytes=1))
    await push_v1(store, NAME, TAG)
    with pytest.raises(ImpossibleConversion, match=r"maxbytes allows, 1 bytes; .* the registry's operator allow it$"):
        await convert(store, NAME, TAG, Plan(Form.SCHEMA2))
    await store.close()


async def test_a_damaged_v1_layer_is_refused(stores: Stores) -> None:
    store = stores()
    await push_v1(store, NAME, TAG, [make_pushed("a", layer=gzip_layer(b"tar" * 1000).stored[:-9])])
    with pytest.raises(ImpossibleConversion, match="cannot be read"):
        await convert(store, NAME, TAG, Form.SCHEMA2)


async def test_a_v1_image_that_says_more_than_any_is_refused_before_its_layers_are_read(stores: Stores) -> None:
    store = stores()
    chain = [make_pushed("a", comment="x" * 4_000_000)]
    for letter in "bcd":
        chain.append(make_pushed(letter, parent=chain[-1].id, comment="x" * 4_000_000))
    await push_v1(store, NAME, TAG, chain)
    await store.storage.driver.delete(layout.v1_image_layer(ImageId(chain[0].id)))
    with pytest.raises(ImpossibleConversion, match="more than 8388608 characters"):
        await convert(store, NAME, TAG, Form.SCHEMA2)


async def test_a_target_that_is_gone_is_unknown(stores: Stores) -> None:
    convert_target = partial(stores().conversions.convert, NAME, plan=Plan(Form.SCHEMA2), tag=TAG, patience=None)
    with pytest.raises(RegistryError) as caught:
        await convert_target(V2Target(digest_of(b"nothing")))
    assert caught.value.code is ErrorCode.MANIFEST_UNKNOWN
    with pytest.raises(ImpossibleConversion, match="is not whole: a push was cut off, or it was deleted; push"):
        await convert_target(V1Target(ImageId("a" * 64)))


@pytest.mark.parametrize("form", [Form.MANIFEST_LIST, Form.OCI_INDEX, Form.V1])
@pytest.mark.parametrize("kind", ["v1", "schema 1", "schema 2", "OCI"])
async def test_a_single_image_becomes_no_index(stores: Stores, kind: str, form: Form) -> None:
    store = stores()
    await PUSHES[kind][0](store, NAME, TAG)
    with pytest.raises(ImpossibleConversion, match="single image"):
        await convert(store, NAME, TAG, form)


# indexes


async def push_platforms(store: Store, *platforms: str, left_out: str = "") -> dict[str, Digest]:
    """Pushes an index of images, each with one layer that says its platform; one of them is not stored."""
    contents: dict[str, bytes] = {}
    for each in platforms:
        layer = gzip_layer(f"an image for {each}".encode() + bytes(1024))
        config = config_of([layer], architecture=each.partition("/")[2])
        if each != left_out:
            await push_image(store, NAME, None, [layer], config=config)
        contents[each] = image_of(config, [layer])
    await put_manifest(store, NAME, TAG, index_of(contents))
    return {each: digest_of(content) for each, content in contents.items()}


async def test_an_index_gives_the_image_for_a_platform_as_it_is(stores: Stores) -> None:
    store = stores()
    images = await push_platforms(store, "linux/amd64", "linux/arm64")
    made = await convert(store, NAME, TAG, Plan(Form.OCI_MANIFEST, Platform("arm64", "linux")))
    assert (made.digest, made.rule, made.source_type) == (images["linux/arm64"], "linux/arm64", OCI_INDEX)
    assert await stores().conversions.find(NAME, made.digest) is None  # it is nothing new
    again = await convert(store, NAME, TAG, Plan(Form.OCI_MANIFEST, Platform("arm64", "linux")))
    assert again == made


async def test_an_index_gives_an_image_of_its_own_for_each_platform(stores: Stores) -> None:
    store = stores()
    await push_platforms(store, "linux/amd64", "linux/arm64")
    for architecture in ("amd64", "arm64"):
        made = await convert(store, NAME, TAG, Plan(Form.SCHEMA2, Platform(architecture, "linux")))
        [(config, _)] = await pulled(stores(), NAME, made.digest)
        assert config is not None
        assert json.loads(config)["architecture"] == architecture
        assert made.rule == f"linux/{architecture} oci-to-schema2"
    with pytest.raises(ImpossibleConversion, match="linux/s390x"):
        await convert(store, NAME, TAG, Plan(Form.SCHEMA2, Platform("s390x", "linux")))


async def test_clients_that_say_they_run_on_anything_leave_nothing_on_the_volume(stores: Stores) -> None:
    """The only image of an index is for whoever runs its system."""
    store = stores()
    await push_platforms(store, "linux/arm64")
    first = await convert(store, NAME, TAG, Plan(Form.SCHEMA2, Platform("arm64", "linux")))
    before = await everything(store.storage.driver)
    for number in range(5):
        made = await convert(store, NAME, TAG, Plan(Form.SCHEMA2, Platform(f"made-up-{number}", "linux")))
        assert made.digest == first.digest
    assert await everything(store.storage.driver) == before


async def test_an_index_becomes_a_list_of_converted_images(stores: Stores) -> None:
    store = stores()
    await push_platforms(store, "linux/amd64", "linux/arm64")
    made = await convert(store, NAME, TAG, Form.MANIFEST_LIST)
    document = json.loads(made.content)
    assert [each["platform"]["architecture"] for each in document["manifests"]] == ["amd64", "arm64"]
    assert {each["mediaType"] for each in document["manifests"]} == {media_types.SCHEMA2}
    assert len(await pulled(stores(), NAME, made.digest)) == 2


async def test_an_image_that_is_not_stored_is_left_out_until_it_is(stores: Stores, reopen: Reopen) -> None:
    """Indexes may name what others have (the rules of OCI)."""
    store = Store(reopen(), validation=Validation(children=False))
    await push_platforms(store, "linux/amd64", "linux/arm64", left_out="linux/arm64")
    few = await convert(store, NAME, TAG, Form.MANIFEST_LIST)
    assert len(json.loads(few.content)["manifests"]) == 1
    with pytest.raises(ImpossibleConversion, match="not stored in this registry"):
        await convert(store, NAME, TAG, Plan(Form.SCHEMA2, Platform("arm64", "linux")))
    await push_platforms(store, "linux/amd64", "linux/arm64")
    for again in (store, stores()):
        assert len(json.loads((await convert(again, NAME, TAG, Form.MANIFEST_LIST)).content)["manifests"]) == 2
    assert await is_there(store, NAME, few.digest)
    await store.close()


async def test_images_of_indexes_within_an_index_are_found(stores: Stores) -> None:
    store = stores()
    await push_platforms(store, "linux/amd64", "linux/arm64")
    inner = (await store.open(NAME).get_manifest(TagName(TAG))).content
    entry = {"mediaType": OCI_INDEX, "size": len(inner), "digest": str(digest_of(inner))}
    document = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [entry]}
    await put_manifest(store, NAME, "outer", json.dumps(document).encode())
    made = await convert(store, NAME, "outer", Plan(Form.SCHEMA1, Platform("arm64", "linux")))
    assert json.loads(made.content)["architecture"] == "arm64"
    assert len(await pulled(store, NAME, (await convert(store, NAME, "outer", Form.MANIFEST_LIST)).digest)) == 2


async def test_an_index_that_is_named_often_is_looked_through_once(reopen: Reopen) -> None:
    """Three of them that name nothing but each other could keep a process busy for hours."""
    storage, driver = wrapped(reopen(), CountsReads)
    store = Store(storage)
    content = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []}).encode()
    digests = []
    for tag in ("leaf", "middle", "outer"):
        digests.append(await put_manifest(store, NAME, tag, content))
        entry = {"mediaType": OCI_INDEX, "size": len(content), "digest": str(digests[-1])}
        content = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [entry] * 20}).encode()
    driver.reads.clear()
    with pytest.raises(ImpossibleConversion, match="none of the entries of this list is an image"):
        await convert(store, NAME, "outer", Form.SCHEMA2)
    assert driver.reads[layout.revision_link(NAME, digests[0])] <= 2
    await store.close()


async def test_an_index_is_looked_through_to_a_bound(reopen: Reopen) -> None:
    store = Store(reopen(), validation=Validation(children=False))
    content = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []}).encode()
    for tag in ("1", "2", "3", "4"):
        digest = await put_manifest(store, NAME, tag, content)
        entry = {"mediaType": OCI_INDEX, "size": len(content), "digest": str(digest)}
        content = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [entry]}).encode()
    for tag, refusal in (("3", "none of the entries"), ("4", "at most 3 levels")):
        with pytest.raises(ImpossibleConversion, match=refusal):
            await convert(store, NAME, tag, Form.SCHEMA2)
    entry = {"mediaType": OCI_MANIFEST, "size": 1, "platform": AMD64}
    entries = [{**entry, "digest": f"sha256:{number:064x}"} for number in range(501)]
    document = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries}
    await put_manifest(store, NAME, "many", json.dumps(document).encode())
    with pytest.raises(ImpossibleConversion, match="names more than 500 images"):
        await convert(store, NAME, "many", Form.MANIFEST_LIST)
    await store.close()


@pytest.mark.parametrize("platform", [None, {}])
async def test_an_entry_that_says_no_platform_has_that_of_its_configuration(
    stores: Stores, platform: dict[str, str] | None
) -> None:
    store = stores()
    await push_platforms(store, "linux/amd64", "linux/arm64")
    document = json.loads((await store.open(NAME).get_manifest(TagName(TAG))).content)
    for entry in document["manifests"]:
        entry["platform"] = platform
    await put_manifest(store, NAME, TAG, json.dumps(document).encode())
    made = await convert(store, NAME, TAG, Plan(Form.SCHEMA1, Platform("arm64", "linux")))
    assert json.loads(made.content)["architecture"] == "arm64"
    listed = json.loads((await convert(store, NAME, TAG, Form.MANIFEST_LIST)).content)["manifests"]
    assert [entry["platform"]["architecture"] for entry in listed] == ["amd64", "arm64"]


async def test_attestations_are_left_out(stores: Stores) -> None:
    store = stores()
    images = await push_platforms(store, "linux/amd64")
    content = (await store.open(NAME).get_manifest(images["linux/amd64"])).content
    attestation = await push_image(store, NAME, None, [gzip_layer(b"an attestation")])
    entries = [
        {
            "mediaType": media_types.OCI_MANIFEST,
            "size": len(content),
            "digest": str(digest_of(content)),
            "platform": AMD64,
        },
        {
            "mediaType": media_types.OCI_MANIFEST,
            "size": (await store.open(NAME).get_manifest(attestation)).size,
            "digest": str(attestation),
            "platform": {"architecture": "unknown", "os": "unknown"},
            "annotations": {"vnd.docker.reference.type": "attestation-manifest"},
        },
    ]
    document = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries}
    await put_manifest(store, NAME, "attested", json.dumps(document).encode())
    made = await convert(store, NAME, "attested", Form.MANIFEST_LIST)
    assert len(json.loads(made.content)["manifests"]) == 1


# who waits, and who does not


async def test_a_conversion_outlives_its_clients(stores: Stores) -> None:
    """Those who come later find it done, although nobody has waited for it to the end."""
    store = stores()
    await push_v1(store, NAME, TAG)
    target = await store.tags.target(NAME, TagName(TAG))
    asked = partial(store.conversions.convert, NAME, target, Plan(Form.SCHEMA2), tag=TAG)
    with pytest.raises(StillWorking):
        await asked(patience=0)
    leaves = asyncio.ensure_future(asked(patience=None))
    await asyncio.sleep(0)
    leaves.cancel()
    source = f"{layout.derived(NAME)}/_plans/{layout.derivation_source(target)}"
    async with asyncio.timeout(10):
        while not await names_in(store.storage.driver, source):  # noqa: ASYNC110 - it is a folder that changes
            await asyncio.sleep(0.01)
    await asyncio.sleep(0.01)
    assert (await asked(patience=0)).media_type == media_types.SCHEMA2


async def test_a_store_that_closes_leaves_its_conversions_to_the_next(stores: Stores) -> None:
    store = stores()
    await push_v1(store, NAME, TAG)
    target = await store.tags.target(NAME, TagName(TAG))
    with pytest.raises(StillWorking):
        await store.conversions.convert(NAME, target, Plan(Form.SCHEMA2), tag=TAG, patience=0)
    async with asyncio.timeout(5):
        await store.close()
    assert len(await pulled(store, NAME, (await convert(stores(), NAME, TAG, Form.SCHEMA2)).digest)) == 1


async def test_many_at_once_get_the_same(stores: Stores) -> None:
    """Of several processes, and of several clients of each."""
    several = [stores() for _ in range(3)]
    await push_v1(several[0], NAME, TAG)
    for form in (Form.SCHEMA1, Form.SCHEMA2, Form.OCI_MANIFEST):
        made = await asyncio.gather(*[convert(store, NAME, TAG, form) for store in several for _ in range(5)])
        assert len({each.content for each in made}) == 1  # one signature, too
        assert len({(await stores().open(NAME).get_manifest(made[0].digest)).content for _ in range(3)}) == 1


# policy


@pytest.mark.parametrize("permission", [Permission.PINNED, Permission.FORBID])
async def test_an_operator_may_refuse_conversions(stores: Stores, reopen: Reopen, permission: Permission) -> None:
    """Pinned, what was converted before is served as before; an image is chosen from an index all the same."""
    store = stores()
    await push_platforms(store, "linux/amd64")
    made = await convert(store, NAME, TAG, Form.SCHEMA2)
    strict = Store(reopen(), conversion_policy=ConversionPolicy(rules=(ConversionRule("team/*", permission),)))
    assert (await convert(strict, NAME, TAG, Form.OCI_MANIFEST)).media_type == media_types.OCI_MANIFEST
    with pytest.raises(ImpossibleConversion, match="settings of this registry"):
        await convert(strict, NAME, TAG, Form.SCHEMA1)
    if permission is Permission.PINNED:
        assert (await convert(strict, NAME, TAG, Form.SCHEMA2)).content == made.content
        assert await is_there(strict, NAME, made.digest)
    else:
        with pytest.raises(ImpossibleConversion, match="settings of this registry"):
            await convert(strict, NAME, TAG, Form.SCHEMA2)
        assert not await is_there(strict, NAME, made.digest)
    await strict.close()


async def test_where_conversions_are_forbidden_what_was_converted_is_pushed_like_any_other(
    stores: Stores, reopen: Reopen
) -> None:
    """A client that may not get it by its digest does not find it there when it pushes it, or a list that names it."""
    store = stores()
    await push_v1(store, NAME, TAG)
    made = await convert(store, NAME, TAG, Form.SCHEMA2)
    forbidding = ConversionPolicy(rules=(ConversionRule("team/*", Permission.FORBID),))
    strict = Store(reopen(), conversion_policy=forbidding)
    assert not await strict.open(NAME).has_manifest(made.digest)
    listed = list_of(made)
    with pytest.raises(RegistryError):
        await put_manifest_of(strict, NAME, "list", listed)
    assert await put_manifest_of(strict, NAME, "back", made.content) == made.digest
    assert await strict.tags.target(NAME, TagName("back")) == V2Target(made.digest)
    await put_manifest_of(strict, NAME, "list", listed)
    await forget_what_is_ours(store)
    assert len(await pulled(strict, NAME, made.digest)) == 1
    await strict.close()


async def test_where_nothing_may_be_written_nothing_new_is_made(stores: Stores, reopen: Reopen) -> None:
    store = stores()
    await push_v1(store, NAME, TAG)
    made = await convert(store, NAME, TAG, Form.SCHEMA2)
    read_only = Store(reopen(), writes=False)
    assert (await convert(read_only, NAME, TAG, Form.SCHEMA2)).content == made.content
    with pytest.raises(ImpossibleConversion, match="read-only"):
        await convert(read_only, NAME, TAG, Form.SCHEMA1)
    await read_only.close()


# what becomes of it when its source goes


@pytest.mark.parametrize("kind", [kind for kind in PUSHES if kind != "v1"])
async def test_it_goes_with_its_source(stores: Stores, kind: str) -> None:
    push, form = PUSHES[kind]
    store = stores()
    await push(store, NAME, TAG)
    made = [await convert(store, NAME, TAG, plan) for plan in plans_of(form)]
    target = await store.tags.target(NAME, TagName(TAG))
    assert isinstance(target, V2Target)
    derived = [each.digest for each in made if await store.conversions.find(NAME, each.digest) is not None]
    assert derived
    await store.open(NAME).delete_manifest(target.digest, actor=ACTOR)
    for again in (store, stores()):
        assert [digest for digest in derived if await is_there(again, NAME, digest)] == []
    assert [
        path for path in await everything(store.storage.driver) if path.startswith(f"{layout.derived(NAME)}/")
    ] == []


async def test_it_stays_when_only_the_tag_goes(stores: Stores) -> None:
    """A manifest without a tag can be asked for by its digest, and so can what was made of it."""
    store = stores()
    for kind in ("v1", "OCI"):
        await PUSHES[kind][0](store, NAME, TAG)
        made = await convert(store, NAME, TAG, Form.SCHEMA2)
        await store.open(NAME).delete_tag(TagName(TAG), actor=ACTOR)
        assert await is_there(stores(), NAME, made.digest)
        await pulled(stores(), NAME, made.digest)


@pytest.mark.parametrize("kind", PUSHES)
async def test_deleting_it_deletes_its_source(stores: Stores, kind: str) -> None:
    """skopeo asks for a tag with its own Accept, and deletes the digest that it is told."""
    push, _ = PUSHES[kind]
    store = stores()
    await push(store, NAME, TAG)
    await push(store, NAME, "same")
    await PUSHES["schema 2" if kind != "schema 2" else "OCI"][0](store, NAME, "another")
    form = Form.SCHEMA1 if kind != "schema 1" else Form.SCHEMA2
    made = await convert(store, NAME, TAG, form)
    await stores().open(NAME).delete_manifest(made.digest, actor=ACTOR)
    for again in (store, stores()):
        assert list(await again.open(NAME).tags()) == ["another"]
        assert not await is_there(again, NAME, made.digest)
    with pytest.raises(RegistryError):
        await store.open(NAME).delete_manifest(made.digest, actor=ACTOR)


async def test_where_its_source_cannot_be_deleted_it_is_not_said_to_be(
    stores: Stores, reopen: Reopen, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = stores()
    await PUSHES["OCI"][0](store, NAME, TAG)
    made = await convert(store, NAME, TAG, Form.SCHEMA2)
    assert isinstance(made.source, V2Target)
    monkeypatch.setattr("backends.registry.removal.exclusive_lock", partial(exclusive_lock, patience=0.1))
    async with reopen().locks.hold(layout.blob_lock(made.source.digest)):
        with pytest.raises(RegistryError, match="UNAVAILABLE"):
            await store.open(NAME).delete_manifest(made.digest, actor=ACTOR)
    assert await is_there(store, NAME, made.digest)
    await store.open(NAME).delete_manifest(made.digest, actor=ACTOR)
    assert not await is_there(store, NAME, made.digest)


@pytest.mark.parametrize("kind", PUSHES)
async def test_deleting_what_was_pushed_since_deletes_its_source_too(stores: Stores, kind: str) -> None:
    """A list that was pushed made it the repository's own; who deletes it must not find it there all the same."""
    store = stores()
    await PUSHES[kind][0](store, NAME, TAG)
    made = await convert(store, NAME, TAG, Form.SCHEMA2 if kind not in {"schema 2", "list"} else Form.OCI_MANIFEST)
    await put_manifest_of(stores(), NAME, "list", list_of(made))
    await stores().open(NAME).delete_manifest(made.digest, actor=ACTOR)
    for again in (store, stores()):
        assert not await is_there(again, NAME, made.digest)
        assert list(await again.open(NAME).tags()) == ["list"]


async def test_a_v1_image_outlives_the_deletion_of_what_was_made_of_it(stores: Stores) -> None:
    store = stores()
    images = v1_example()
    await push_v1(store, NAME, TAG, images)
    made = await convert(store, NAME, TAG, Form.SCHEMA2)
    await store.open(NAME).delete_manifest(made.digest, actor=ACTOR)
    await tag_v1(store, NAME, TAG, images[-1])
    assert (await convert(stores(), NAME, TAG, Form.SCHEMA2)).digest == made.digest
    assert (await convert(store, NAME, TAG, Form.SCHEMA2)).digest == made.digest
    assert await is_there(stores(), NAME, made.digest)


@pytest.mark.parametrize("kind", PUSHES)
async def test_it_goes_with_its_repository(stores: Stores, kind: str) -> None:
    push, _ = PUSHES[kind]
    store = stores()
    await push(store, NAME, TAG)
    await push(store, RepositoryName(f"{NAME}/below"), TAG)
    form = Form.SCHEMA1 if kind != "schema 1" else Form.SCHEMA2
    made = await convert(store, NAME, TAG, form)
    below = await convert(store, RepositoryName(f"{NAME}/below"), TAG, form)
    await store.deletions.delete(NAME, actor=ACTOR)
    assert not await is_there(store, NAME, made.digest)
    assert not await is_there(stores(), NAME, made.digest)
    await pulled(store, RepositoryName(f"{NAME}/below"), below.digest)
    with pytest.raises(RegistryError):
        await store.conversions.convert(NAME, made.source, Plan(form), tag=TAG, patience=None)


# what is pushed back


@pytest.mark.parametrize("kind", PUSHES)
async def test_a_derived_manifest_that_is_pushed_back_restores_its_source(stores: Stores, kind: str) -> None:
    push, form = PUSHES[kind]
    store = stores()
    await push(store, NAME, TAG)
    source = await store.tags.target(NAME, TagName(TAG))
    for plan in plans_of(form):
        made = await convert(store, NAME, TAG, plan)
        if await store.conversions.find(NAME, made.digest) is None:
            continue  # an image of an index, as it was pushed
        await put_manifest_of(stores(), NAME, "back", made.content)
        assert await store.tags.target(NAME, TagName("back")) == source, plan
        await stores().open(NAME).delete_tag(TagName("back"), actor=ACTOR)


@pytest.mark.parametrize("kind", PUSHES)
async def test_pushed_to_another_repository_it_is_an_image_like_any_other(stores: Stores, kind: str) -> None:
    """Its blobs are mounted from where they were derived; it stays when its source goes."""
    push, form = PUSHES[kind]
    store = stores()
    await push(store, NAME, TAG)
    made = await convert(store, NAME, TAG, Form.SCHEMA2 if form is not Form.SCHEMA2 else Form.OCI_MANIFEST)
    document = json.loads(made.content)
    for each in [document["config"], *document["layers"]]:
        assert await store.open(OTHER).mount(parse_digest(each["digest"]), NAME, actor=ACTOR)
    digest = await put_manifest_of(store, OTHER, TAG, made.content)
    assert await store.tags.target(OTHER, TagName(TAG)) == V2Target(digest)
    await store.deletions.delete(NAME, actor=ACTOR)
    await forget_what_is_ours(store)
    assert len(await pulled(stores(), OTHER, digest)) == 1


def list_of(made: DerivedManifest) -> bytes:
    """A manifest list of one image."""
    entry = {"mediaType": made.media_type, "size": made.size, "digest": str(made.digest), "platform": AMD64}
    return json.dumps({"schemaVersion": 2, "mediaType": media_types.MANIFEST_LIST, "manifests": [entry]}).encode()


async def forget_what_is_ours(store: Store) -> None:
    """Removes the derived store and v1's images: what must be v2's own by now has nothing else."""
    for path in (layout.DERIVED, layout.V1_IMAGES):
        with suppress(PathNotFound):
            await store.storage.driver.delete(path)


@pytest.mark.parametrize("kind", PUSHES)
async def test_what_a_pushed_manifest_names_is_its_repositorys_own(stores: Stores, kind: str) -> None:
    """A client finds blobs of a derived manifest here and does not send them with what it has built of them."""
    push, form = PUSHES[kind]
    store = stores()
    await push(store, NAME, TAG)
    made = await convert(store, NAME, TAG, Form.SCHEMA2 if form is not Form.SCHEMA2 else Form.OCI_MANIFEST)
    document = json.loads(made.content)
    built = json.dumps({**document, "built": "of it"}).encode()
    digest = await put_manifest_of(stores(), NAME, "built", built)
    await forget_what_is_ours(store)
    assert len(await pulled(stores(), NAME, digest)) == 1


@pytest.mark.parametrize("kind", PUSHES)
async def test_it_is_so_too_where_a_collector_has_left_links_without_content(stores: Stores, kind: str) -> None:
    """distribution's garbage collector removes a deleted manifest's layers, and leaves the repository's links."""
    push, form = PUSHES[kind]
    store = stores()
    await push(store, NAME, TAG)
    made = await convert(store, NAME, TAG, Form.SCHEMA2 if form is not Form.SCHEMA2 else Form.OCI_MANIFEST)
    document = json.loads(made.content)
    built = json.dumps({**document, "built": "of it"}).encode()
    digest = await put_manifest_of(stores(), NAME, "built", built)
    await store.open(NAME).delete_manifest(digest, actor=ACTOR)
    for each in [document["config"], *document["layers"]]:
        if await store.conversions.blob_size(NAME, parse_digest(each["digest"])) is not None:
            await store.storage.driver.delete(layout.blob_data(parse_digest(each["digest"])))
    await put_manifest_of(stores(), NAME, "built", built)
    await forget_what_is_ours(store)
    assert len(await pulled(stores(), NAME, digest)) == 1


@pytest.mark.parametrize("damage", ["lost", "cut off"])
@pytest.mark.parametrize("kind", ["v1", "zstd"])
async def test_lost_content_of_ours_is_made_again(stores: Stores, kind: str, damage: str) -> None:
    """A manifest is not shown with configuration or layers missing: who asks again by the tag gets all of it."""
    store = stores()
    await PUSHES[kind][0](store, NAME, TAG)
    made = await convert(store, NAME, TAG, Plan(Form.SCHEMA2, gzip_only=True))
    document = json.loads(made.content)
    damaged = 0
    for each in [document["config"], *document["layers"]]:
        path = layout.derived_blob(parse_digest(each["digest"]))
        with suppress(PathNotFound):
            content = await store.storage.driver.read(path)
            await store.storage.driver.delete(path)
            if damage == "cut off":
                await store.storage.driver.write(path, content[:-1])
            damaged += 1
    assert damaged
    with pytest.raises(RegistryError):
        await pulled(stores(), NAME, made.digest)
    assert not await is_there(store, NAME, made.digest)
    again = await convert(store, NAME, TAG, Plan(Form.SCHEMA2, gzip_only=True))
    assert again.digest == made.digest
    assert len(await pulled(stores(), NAME, again.digest)) == 1


@pytest.mark.parametrize("content", [b"", b"{", b"{}", b"\xff"])
@pytest.mark.parametrize("kind", ["v1", "schema 1", "zstd", "zstd index"])
async def test_where_what_is_kept_of_a_blob_is_damaged_all_of_it_is_made_again(
    stores: Stores, kind: str, content: bytes
) -> None:
    """The others that are pushed need nothing of ours for their blobs."""
    store = stores()
    await PUSHES[kind][0](store, NAME, TAG)
    plan = Plan(Form.SCHEMA2, gzip_only=True)
    made = await convert(store, NAME, TAG, plan)
    folder = f"{layout.derived(NAME)}/_blobs/"
    members = [path for path in await everything(store.storage.driver) if path.startswith(folder)]
    for path in members:
        await store.storage.driver.write(path, content)
    assert members
    for asked in (store, stores()):
        with pytest.raises(RegistryError):
            await pulled(asked, NAME, made.digest)
        assert not await is_there(asked, NAME, made.digest)
    again = await convert(store, NAME, TAG, plan)
    assert again.digest == made.digest
    for asked in (store, stores()):
        assert len(await pulled(asked, NAME, again.digest)) == 1


async def test_what_a_pushed_index_names_is_its_repositorys_own(stores: Stores) -> None:
    """`docker manifest create` makes a list of what it has pulled."""
    store = stores()
    await push_v1(store, NAME, TAG)
    made = await convert(store, NAME, TAG, Form.SCHEMA2)
    digest = await put_manifest_of(stores(), NAME, "list", list_of(made))
    await forget_what_is_ours(store)
    assert len(await pulled(stores(), NAME, digest)) == 1


async def test_a_blob_that_is_here_by_a_conversion_goes_with_the_image(stores: Stores) -> None:
    store = stores()
    await push_v1(store, NAME, TAG)
    made = await convert(store, NAME, TAG, Form.SCHEMA2)
    document = json.loads(made.content)
    refusals = {parse_digest(each["digest"]): "delete the image" for each in [document["config"], *document["layers"]]}
    for digest, words in {**refusals, EMPTY_LAYER_DIGEST: "every repository"}.items():
        with pytest.raises(RegistryError, match=words) as caught:
            await store.open(NAME).delete_blob(digest, actor=ACTOR)
        assert caught.value.code is ErrorCode.UNSUPPORTED
        assert caught.value.headers == {"Allow": "GET, HEAD"}
    await pulled(stores(), NAME, made.digest)
    other_form = await convert(store, NAME, TAG, Form.OCI_MANIFEST)
    await push_v1(store, OTHER, TAG)
    elsewhere = await convert(store, OTHER, TAG, Form.SCHEMA2)
    await store.open(NAME).delete_manifest(made.digest, actor=ACTOR)
    assert not await is_there(store, NAME, other_form.digest)
    await pulled(stores(), OTHER, elsewhere.digest)
    for digest in [*refusals, digest_of(b"never pushed")]:
        with pytest.raises(RegistryError) as caught:
            await stores().open(NAME).delete_blob(digest, actor=ACTOR)
        assert caught.value.code is ErrorCode.BLOB_UNKNOWN


# two roots


async def test_with_a_root_for_each_registry_all_of_it_holds(reopen: Reopen) -> None:
    v1_root = open_memory()
    store = Store(reopen(), v1_storage=v1_root)
    await push_v1(store, NAME, TAG)
    made = await convert(store, NAME, TAG, Form.OCI_MANIFEST)
    for form in (Form.SCHEMA1, Form.SCHEMA2, Form.OCI_MANIFEST):
        made = await convert(store, NAME, TAG, form)
        again = Store(reopen(), v1_storage=v1_root)
        [(config, contents)] = await pulled(again, NAME, made.digest)
        assert config in {None, expected_config("v1")}
        assert len(contents) == 2
        await again.close()
    built = json.dumps({**json.loads(made.content), "built": "of it"}).encode()
    digest = await put_manifest_of(store, NAME, "built", built)
    await v1_root.driver.delete(layout.V1_IMAGES)
    await v1_root.driver.delete(layout.BLOBS)
    await store.storage.driver.delete(layout.DERIVED)
    await pulled(store, NAME, digest)
    await store.close()


@pytest.mark.parametrize("is_cut_off", [False, True])
async def test_a_v1_layer_is_found_as_its_image_s_when_v2_has_lost_it(stores: Stores, *, is_cut_off: bool) -> None:
    """distribution's garbage collector removes what only a v1 image has from v2's blobs; its hard link stays."""
    store = stores()
    images = v1_example()
    await push_v1(store, NAME, TAG, images)
    made = await convert(store, NAME, TAG, Form.SCHEMA2)
    for image in images:
        await store.storage.driver.delete(layout.blob_data(digest_of(image.layer)))
    await pulled(stores(), NAME, made.digest)
    another = gzip_layer(b"another layer under the same id").stored
    there = another[:-4] if is_cut_off else another
    await store.storage.driver.write(layout.v1_image_layer(ImageId(images[0].id)), there)
    fresh = stores()
    with pytest.raises(RegistryError):
        await pulled(fresh, NAME, made.digest)
    assert not await is_there(stores(), NAME, made.digest)  # so nobody is shown it any more
    if is_cut_off:
        with pytest.raises(ImpossibleConversion, match="cannot be read"):
            await convert(fresh, NAME, TAG, Form.SCHEMA2)
        return
    again = await convert(fresh, NAME, TAG, Form.SCHEMA2)
    assert again.digest != made.digest
    await pulled(stores(), NAME, again.digest)
