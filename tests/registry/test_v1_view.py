"""What v1 clients see of v2's repositories: over two roots, under an operator's rules, after deletions."""

from __future__ import annotations

import json
import random
import time
from collections.abc import AsyncIterator, Sequence
from http import HTTPStatus
from pathlib import Path

import pytest

from backends.model.conversion.policy import ConversionPolicy, ConversionRule, Permission
from backends.model.descriptors import Platform
from backends.model.errors import RegistryError
from backends.model.layers import EMPTY_LAYER
from backends.model.manifests import OciManifest
from backends.model.names import ImageId, RepositoryName, TagName
from backends.model.targets import V1Target, V2Target
from backends.model.v1names import V1Name, parse_v1_name
from backends.registry.no_room import exists
from backends.registry.store import Store
from backends.registry.v1_view.choosing import choose_image
from backends.registry.v1_view.derived_images import LAYERS
from backends.registry.v1_view.viewer import Viewer
from backends.registry.validation import Validation
from backends.storage import layout
from backends.storage.driver import StorageError
from backends.storage.factory import open_folder, open_memory
from tests.support.actors import ACTOR
from tests.support.collector import collect
from tests.support.drivers import Failing, Unlinked, wrapped
from tests.support.formats import digest_of, inflated
from tests.support.layers import Compression, pack, unpack
from tests.support.pauses import CPU_SECONDS, pauses
from tests.support.pushed_examples import (
    OCI_INDEX,
    OCI_MANIFEST,
    ZSTD,
    Layer,
    config_of,
    expected_v1,
    gzip_layer,
    image_of,
    index_of,
    push_example,
    push_image,
    put_manifest,
)
from tests.support.schema1_pushes import push_schema1
from tests.support.stores import everything, put_blob
from tests.support.v1pushes import push
from tests.support.v1server import make_pushed

NAME, OTHER = RepositoryName("team/app"), RepositoryName("other/app")
V1_NAME, V1_OTHER = parse_v1_name(NAME), parse_v1_name(OTHER)
VIEWER = Viewer(patience=None)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    storage = open_folder(tmp_path / "root")
    opened = Store(storage)
    yield opened
    await opened.close()
    await storage.close()


async def tops(store: Store, name: V1Name = V1_NAME, viewer: Viewer = VIEWER) -> dict[str, str]:
    """All tags that v1 clients see; none where they see no repository."""
    try:
        return dict(await store.v1_view.repositories.tags(name, viewer))
    except RegistryError as error:
        if error.status != HTTPStatus.NOT_FOUND:
            raise
        return {}


async def contents(store: Store, top: str) -> Sequence[tuple[bytes, bytes]]:
    """JSON and layer of each image, base first."""
    found = []
    for image_id in reversed(await store.v1_view.images.ancestry(ImageId(top), VIEWER)):
        image = await store.v1_view.images.get(image_id, VIEWER)
        reader = await store.v1_view.images.open_layer(image_id, VIEWER)
        try:
            layer = b"".join([bytes(chunk) async for chunk in reader.chunks(0, reader.size)])
        finally:
            reader.close()
        assert image.layer_size == len(layer)
        found.append((image.content, layer))
    return found


# what they cannot have


async def test_what_v1_can_never_have_is_not_read_again(store: Store) -> None:
    """A page of tags may name thousands of signatures and charts."""
    config = b"\0 not an image's configuration"
    await push_image(store, NAME, "x", [gzip_layer(b"tar")], config=config)
    for _ in range(2):
        with pytest.raises(RegistryError, match=r"not an image's configuration.*; pull it with"):
            await store.v1_view.repositories.tag(V1_NAME, "x", VIEWER)
        if await store.open(NAME).has_blob(digest_of(config)):
            await store.open(NAME).delete_blob(digest_of(config), actor=ACTOR)


async def test_nobody_waits_while_an_index_is_looked_through_for_what_its_entries_leave_out(store: Store) -> None:
    """Where they say no platform, the images' configurations do, which may have megabytes."""
    layer = gzip_layer(b"tar")
    for tag, steps in (("small", 1), ("large", 60_000)):
        document = json.loads(config_of([layer]))
        empty = [{"created_by": "x", "empty_layer": True}] * steps
        config = json.dumps({**document, "history": [*empty, {"created_by": "x"}]}).encode()
        await push_image(store, NAME, tag, [layer], config=config)
        entry = {"mediaType": OCI_MANIFEST, "digest": str(digest_of(image_of(config, [layer]))), "size": 1}
        index = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [entry] * 2}).encode()
        digest = await put_manifest(store, NAME, tag, index)
        async with pauses() as seen:
            await choose_image(store.open(NAME), digest, Platform("amd64", "linux"))
        longest = max(cpu for cpu, _ in seen)
        assert tag == "small" or longest < CPU_SECONDS, f"the event loop worked for {longest:.3f} s at one go"


# two roots


@pytest.mark.parametrize("linked", [True, False], ids=["with hard links", "without"])
@pytest.mark.parametrize("roots", [1, 2])
async def test_v1_has_a_root_of_its_own_or_not(tmp_path: Path, roots: int, *, linked: bool) -> None:
    opened = [open_folder(tmp_path / f"{number}") for number in range(roots)]
    storages = opened if linked else [wrapped(storage, Unlinked)[0] for storage in opened]
    store = Store(storages[0], v1_storage=storages[-1])
    digest = await push_example(store, NAME, "1.0", "oci-zstd-image")
    expected = expected_v1("oci-zstd-image")
    top = expected[-1].image_id
    assert await tops(store) == {"1.0": top}
    served = await contents(store, top)
    assert [text for text, _ in served] == [image.text for image in expected]
    for name, v1_name, named in ((NAME, V1_NAME, V2Target(digest)), (OTHER, V1_OTHER, V1Target(ImageId(top)))):
        await store.v1_view.repositories.put_tag(v1_name, "2", ImageId(top), viewer=VIEWER, actor=ACTOR, now=1)
        assert await store.tags.target(name, TagName("2")) == named
    images = storages[-1].driver
    assert len(await images.list(layout.V1_IMAGES)) == len(expected)
    for image, (text, layer) in zip(expected, served, strict=True):
        assert await images.read(layout.v1_image_json(ImageId(image.image_id))) == text
        assert await images.read(layout.v1_image_layer(ImageId(image.image_id))) == layer
    assert await exists(storages[0].driver, layout.derived_v1_image(ImageId(top)))
    assert not await exists(storages[0].driver, layout.V1_IMAGES) or roots == 1
    await store.close()
    for storage in opened:
        await storage.close()


async def test_no_damaged_layer_is_copied_to_the_other_root() -> None:
    storages = [open_memory(), open_memory()]
    store = Store(storages[0], v1_storage=storages[-1])
    digest = await push_example(store, NAME, "1.0", "oci-image")
    (top,) = (await tops(store)).values()
    await contents(store, top)
    manifest = await store.open(NAME).parse_manifest(digest)
    assert isinstance(manifest, OciManifest)
    path = layout.blob_data(manifest.layers[0].digest)
    content = bytearray(await storages[0].driver.read(path))
    content[-1] ^= 1
    await storages[0].driver.write(path, bytes(content))
    with pytest.raises(StorageError, match="damaged"):
        await store.v1_view.repositories.put_tag(V1_OTHER, "2", ImageId(top), viewer=VIEWER, actor=ACTOR, now=1)
    assert not [each for each in await everything(storages[1].driver) if each.startswith(layout.TEMPORARY)]
    await store.close()


# an operator's rules


@pytest.mark.parametrize("permission", Permission)
async def test_an_operator_allows_pins_or_forbids_the_view_of_a_repository(
    store: Store, permission: Permission
) -> None:
    await push_example(store, NAME, "before", "schema2-image")
    top = expected_v1("schema2-image")[-1].image_id
    await contents(store, (await tops(store))["before"])
    await push_example(store, NAME, "after", "oci-image")
    policy = ConversionPolicy(rules=(ConversionRule("team/*", permission),))
    ruled = Store(store.storage, conversion_policy=policy)
    other = expected_v1("oci-image")[-1].image_id
    match permission:
        case Permission.ALLOW:
            assert await tops(ruled) == {"before": top, "after": other}
        case Permission.PINNED:
            assert await tops(ruled) == {"before": top}
            assert len(await contents(ruled, top)) == 7
            with pytest.raises(RegistryError, match="pinned"):
                await ruled.v1_view.repositories.tag(V1_NAME, "after", VIEWER)
        case Permission.FORBID:
            assert await tops(ruled) == {}
            for refused in (
                ruled.v1_view.repositories.tag(V1_NAME, "before", VIEWER),
                ruled.v1_view.repositories.images(V1_NAME, VIEWER),
                ruled.v1_view.images.ancestry(ImageId(top), VIEWER),
            ):
                with pytest.raises(RegistryError, match="forbid"):
                    await refused
    await ruled.close()


async def test_a_registry_that_is_read_only_shows_what_was_made_before(store: Store) -> None:
    await push_example(store, NAME, "before", "oci-zstd-image")
    (top,) = (await tops(store)).values()
    served = await contents(store, top)
    await push_example(store, NAME, "after", "oci-image")
    storage, driver = wrapped(store.storage, lambda inner: Failing(inner, 0, dies=True))
    fixed = Store(storage, writes=False)
    assert await tops(fixed) == {"before": top}
    assert await contents(fixed, top) == served
    with pytest.raises(RegistryError, match="read-only"):
        await fixed.v1_view.repositories.tag(V1_NAME, "after", VIEWER)
    assert not driver.failed
    await fixed.close()


# what goes


async def test_a_deleted_manifest_is_seen_no_more(store: Store) -> None:
    digest = await push_example(store, NAME, "1.0", "schema2-image")
    await push_example(store, NAME, "2.0", "oci-image")
    before = await tops(store)
    await contents(store, before["1.0"])
    await store.open(NAME).delete_manifest(digest, actor=ACTOR)
    assert await tops(store) == {"2.0": before["2.0"]}
    # Pushed again, it is there again.
    await push_example(store, NAME, "1.0", "schema2-image")
    assert await tops(store) == before


@pytest.mark.parametrize("restart", [False, True])
async def test_a_deleted_repository_is_seen_no_more(store: Store, *, restart: bool) -> None:
    await push_example(store, NAME, "1.0", "schema2-image")
    before = await tops(store)
    await contents(store, before["1.0"])
    await store.deletions.delete(NAME, actor=ACTOR)
    again = Store(store.storage) if restart else store
    assert await tops(again) == {}
    assert not await exists(store.storage.driver, layout.derived(NAME))
    await push_example(again, NAME, "1.0", "schema2-image")
    assert await tops(again) == before
    assert len(await contents(again, before["1.0"])) == 7


async def test_an_image_whose_layer_a_collector_has_removed_is_not_found(store: Store) -> None:
    await push_example(store, NAME, "1.0", "schema2-image")
    (top,) = (await tops(store)).values()
    await contents(store, top)
    removed = "bfc4a239da13a0fb7959fb543e81f456dc7d93e5c0b399b4c1951ea35f0e6ed0"
    await store.storage.driver.delete(f"{layout.BLOBS}/sha256/{removed[:2]}/{removed}")
    again = Store(store.storage)
    with pytest.raises(RegistryError, match="not stored in this registry any more"):
        await again.v1_view.images.ancestry(ImageId(top), VIEWER)
    with pytest.raises(RegistryError, match="not stored in this registry any more"):
        await again.v1_view.images.get(ImageId(expected_v1("schema2-image")[3].image_id), VIEWER)
    # A copy with the same content under another digest takes its place.
    await push_example(store, OTHER, "1.0", "oci-zstd-image")
    assert await tops(again, V1_OTHER) == {"1.0": top}
    assert len(await contents(again, top)) == 7
    await again.close()


@pytest.mark.parametrize("flags", [(), ("-m",)], ids=["plain", "-m"])
async def test_ordinary_images_outlive_their_manifest_and_its_collection(
    store: Store, tmp_path: Path, flags: Sequence[str]
) -> None:
    await push_image(store, RepositoryName("team/stays"), "1.0", [gzip_layer(b"stays".ljust(512, b"\0"))])
    digest = await push_image(store, NAME, "1.0", [gzip_layer(number.to_bytes(512)) for number in range(3)])
    (top,) = (await tops(store)).values()
    served = await contents(store, top)
    await store.v1_view.repositories.put_tag(V1_OTHER, "1.0", ImageId(top), viewer=VIEWER, actor=ACTOR, now=1)
    await store.open(NAME).delete_manifest(digest, actor=ACTOR)
    assert "3 blobs marked" in collect(tmp_path / "root", *flags)
    again = Store(store.storage)
    assert await tops(again) == {}
    assert await tops(again, V1_OTHER) == {"1.0": top}
    assert await contents(again, top) == served
    await again.close()


async def test_an_ordinary_image_that_copies_an_id_does_not_lend_its_layer(store: Store) -> None:
    layers = [gzip_layer(b"theirs".ljust(512, b"\0"))]
    digest = await push_image(store, NAME, "1.0", layers)
    (top,) = (await tops(store)).values()
    fake = make_pushed(top, layer=b"something else")
    await push(store.v1_images, [fake])
    await contents(store, top)
    await store.storage.driver.delete(layout.blob_data(digest_of(layers[0].stored)))
    with pytest.raises(RegistryError, match="not stored in this registry any more"):
        await Store(store.storage).v1_view.images.get(ImageId(top), VIEWER)
    assert await store.open(NAME).has_manifest(digest)


async def test_what_was_made_is_made_again_after_it_was_lost(store: Store) -> None:
    await push_example(store, NAME, "1.0", "schema2-image")
    (top,) = (await tops(store)).values()
    served = await contents(store, top)
    for folder in (f"{layout.DERIVED}/v1/images", f"{layout.DERIVED}/v1/sources", layout.derived(NAME)):
        await store.storage.driver.delete(folder)
        for process in (store, Store(store.storage)):
            assert await tops(process) == {"1.0": top}
            assert await contents(process, top) == served
    # A file that a power cut has cut short.
    base = ImageId(json.loads(served[0][0])["id"])
    for cut in (b"", b"{", b"[]", b'{"text": "x", "layers": []', b'{"text": 1, "layers": []}'):
        await store.storage.driver.write(layout.derived_v1_image(base), cut)
        assert await contents(Store(store.storage), top) == served


# what others must not get


async def test_a_digest_that_a_pusher_knows_gives_no_layer_of_another_repository(tmp_path: Path) -> None:
    storage = open_folder(tmp_path)
    store = Store(storage, validation=Validation(layers=False))
    secret = gzip_layer(b"a secret".ljust(512, b"\0"))
    await push_image(store, OTHER, "1.0", [secret])
    config = config_of([secret])
    await put_blob(store, NAME, config)
    await put_manifest(store, NAME, "1.0", image_of(config, [secret]))
    with pytest.raises(RegistryError, match="not stored in this registry"):
        await store.v1_view.repositories.tag(V1_NAME, "1.0", VIEWER)
    await store.close()
    await storage.close()


async def test_manifests_that_lie_about_a_layer_do_not_shut_out_the_one_that_does_not(store: Store) -> None:
    honest, top = gzip_layer(b"honest".ljust(512, b"\0")), ""
    for number in range(LAYERS + 2):
        lying = Layer(gzip_layer(number.to_bytes(700)).stored, honest.diff_id)
        liar = RepositoryName(f"evil/app{number}")
        await push_image(store, liar, "1.0", [lying])
        (top,) = (await tops(store, parse_v1_name(liar))).values()
        assert len(await store.v1_view.images.ancestry(ImageId(top), VIEWER)) == 1
    await push_image(store, NAME, "1.0", [honest])
    assert await tops(store) == {"1.0": top}
    for _ in range(3):  # a client tries again
        try:
            assert [layer for _, layer in await contents(store, top)] == [honest.stored]
        except RegistryError:
            continue
    assert [layer for _, layer in await contents(store, top)] == [honest.stored]
    # Once it is known what it holds, nobody waits for what others say.
    more = random.Random(1).randbytes(8 << 20)
    await push_image(store, OTHER, "1.0", [Layer(pack(more, Compression.GZIP), honest.diff_id)])
    assert await tops(store, V1_OTHER) == {"1.0": top}
    await store.v1_view.images.ancestry(ImageId(top), VIEWER)
    image = await store.v1_view.images.get(ImageId(top), Viewer(patience=0.0))
    assert image.layer_size == len(honest.stored)


# indexes


def variants() -> dict[str, list[Layer]]:
    return {
        "linux/amd64": [gzip_layer(b"amd64".ljust(512, b"\0"))],
        "linux/arm64": [Layer(pack(b"arm64", Compression.ZSTD), digest_of(b"arm64"), ZSTD)],
    }


async def test_an_index_within_an_index_is_searched_to_a_bound(store: Store) -> None:
    contents_by = {}
    for platform, layers in variants().items():
        await push_image(store, NAME, None, layers, config=config_of(layers, architecture=platform[6:]))
        contents_by[platform] = image_of(config_of(layers, architecture=platform[6:]), layers)
    content = index_of(contents_by)
    await put_manifest(store, NAME, "1", content)
    for depth in range(2, 5):
        document = json.loads(index_of({}))
        digest = str(digest_of(content))
        document["manifests"] = [{"mediaType": document["mediaType"], "digest": digest, "size": len(content)}]
        content = json.dumps(document).encode()
        await put_manifest(store, NAME, f"{depth}", content)
    for platform, layers in variants().items():
        found = await tops(store, viewer=Viewer(Platform(platform[6:], "linux"), None))
        assert found.keys() == {"1", "2", "3"}
        (top,) = set(found.values())
        ((_, layer),) = await contents(store, top)
        assert digest_of(inflated(layer)[1]) == layers[0].diff_id


@pytest.mark.parametrize("kind", ["artifact", "EROFS", "image"])
async def test_what_is_no_image_for_old_clients_does_not_hide_the_one_that_is(store: Store, kind: str) -> None:
    """As for clients that get schema 1 or 2 of an index: two entries may be for one platform."""
    layers = variants()["linux/amd64"]
    config = b"{}" if kind == "artifact" else config_of(layers, author="other")
    erofs = [Layer(layers[0].stored, layers[0].diff_id, "application/vnd.erofs.layer.v1")]
    others = erofs if kind == "EROFS" else layers
    for each, content in ((layers, config_of(layers)), (others, config)):
        await push_image(store, NAME, None, each, config=content)
    first, second = image_of(config, others), image_of(config_of(layers), layers)
    await put_manifest(store, NAME, "1", index_of({"linux/amd64": first, "linux/x86_64": second}))
    await put_manifest(store, NAME, "expected", first if kind == "image" else second)
    found = await tops(store)
    assert found["1"] == found["expected"]
    assert (await store.v1_view.repositories.tag(V1_NAME, "1", VIEWER)).image_id == found["1"]


async def test_a_layer_without_a_byte_goes_out_as_the_empty_one(store: Store) -> None:
    """Old clients take an answer without content for an error."""
    await push_image(store, NAME, "1", [gzip_layer(b"a".ljust(512, b"\0")), Layer(b"", digest_of(b""))])
    served = await contents(store, (await tops(store))["1"])
    assert served[-1][1] == EMPTY_LAYER


async def test_a_layer_of_oci_that_is_padded_with_zeros_goes_out_without_them(store: Store) -> None:
    """Docker from 1.8 on reads a layer to the end of its gzip, and calls zeros there an invalid header."""
    layer = gzip_layer(b"a".ljust(512, b"\0"))
    await push_image(store, NAME, "1", [Layer(layer.stored + bytes(512), layer.diff_id)])
    ((_, served),) = await contents(store, (await tops(store))["1"])
    assert digest_of(unpack(served)) == layer.diff_id


async def test_the_image_of_an_index_must_be_here(tmp_path: Path) -> None:
    storage = open_folder(tmp_path)
    store = Store(storage, validation=Validation(children=False))
    layers = variants()["linux/amd64"]
    await put_manifest(store, NAME, "1", index_of({"linux/amd64": image_of(config_of(layers), layers)}))
    with pytest.raises(RegistryError, match="not stored in this registry"):
        await store.v1_view.repositories.tag(V1_NAME, "1", VIEWER)
    await push_image(store, NAME, None, layers)
    assert (await tops(store)).keys() == {"1"}
    await store.close()
    await storage.close()


async def test_hostile_manifests_are_bounded_in_time(tmp_path: Path) -> None:
    storage = open_folder(tmp_path)
    store = Store(storage, validation=Validation(children=False))
    layers = variants()["linux/amd64"]
    entry = json.loads(index_of({"linux/s390x": image_of(config_of(layers), layers)}))["manifests"][0]
    document = json.loads(index_of({}))
    named = [{**entry, "digest": f"sha256:{number:064x}"} for number in range(15_000)]
    document["manifests"] = named
    await put_manifest(store, NAME, "many", json.dumps(document).encode())
    document["manifests"] = [{**each, "platform": {"os": "", "architecture": ""}} for each in named[:5000]]
    await put_manifest(store, NAME, "nameless", json.dumps(document).encode())
    document["manifests"] = [{**each, "mediaType": document["mediaType"]} for each in named[:10_000]]
    await put_manifest(store, NAME, "nested", json.dumps(document).encode())
    steps = [{"created_by": "x" * 100, "empty_layer": True}] * 10_000
    await push_image(store, NAME, "long", [], config=config_of([], history=steps))
    chain = [make_pushed(f"{number:064x}", layer=b"") for number in range(200)]
    await push_schema1(store, NAME, "schema1", chain)
    began, used = time.monotonic(), time.process_time()
    found = await tops(store)
    assert found.keys() == {"long"}
    assert len(await contents(store, found["long"])) == 1
    assert time.process_time() - used < 5, time.monotonic() - began
    for tag in ("many", "nameless", "nested", "schema1"):
        with pytest.raises(RegistryError) as refused:
            await store.v1_view.repositories.tag(V1_NAME, tag, VIEWER)
        assert refused.value.status == HTTPStatus.NOT_FOUND
    await store.close()
    await storage.close()
