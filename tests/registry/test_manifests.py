"""Stored manifests: read typed, remembered within bounds, never wrong."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from typing_extensions import override

from backends.model import jws, media_types
from backends.model.digest import Digest
from backends.model.errors import ErrorCode, RegistryError
from backends.model.facts import F, ManifestFacts
from backends.model.manifests import Index, Manifest, OciManifest, Schema1, parse_manifest
from backends.model.names import RepositoryName, TagName
from backends.registry.facts import FactsInMemory
from backends.registry.manifests import CONTENT_BYTES, KEPT_WHOLE, PARSED_BYTES, PARSED_FACTOR, Manifests
from backends.registry.store import Store
from backends.storage import layout
from backends.storage.driver import PathNotFound
from backends.storage.storage import Storage
from tests.support.actors import ACTOR
from tests.support.drivers import ForwardingDriver, wrapped
from tests.support.serving_here import describe, make_manifest
from tests.support.stores import CONFIG, LAYER, put_blob, put_image

Reopen = Callable[[], Storage]

NAME = RepositoryName("team/app")
TAG = TagName("latest")
SMALL = make_manifest(CONFIG, LAYER)
LARGE = make_manifest(CONFIG, LAYER, annotations={"pad": "x" * (KEPT_WHOLE + 1)})


class CountingReads(ForwardingDriver):
    """Counts what is read below the blob store."""

    reads = 0

    @override
    async def read(self, path: str) -> bytes:
        self.reads += "/blobs/" in path
        return await super().read(path)


async def put(store: Store, content: bytes) -> tuple[Manifest, Digest]:
    manifest = parse_manifest(content, "")
    digest = Digest.of(manifest.payload if isinstance(manifest, Schema1) else content)
    await store.open(NAME).put_manifest(manifest, digest, None, actor=ACTOR)
    return manifest, digest


@pytest.mark.parametrize("content", [SMALL, LARGE], ids=["small", "large"])
async def test_a_stored_manifest_is_read_as_what_it_says(reopen: Reopen, content: bytes) -> None:
    store = Store(reopen())
    await put_image(store, NAME, TAG)
    pushed, digest = await put(store, content)
    for process in (store, Store(reopen())):
        for _ in range(2):
            assert await process.open(NAME).parse_manifest(digest) == pushed
    with pytest.raises(RegistryError) as caught:
        await store.open(RepositoryName("team/other")).parse_manifest(digest)
    assert caught.value.code is ErrorCode.MANIFEST_UNKNOWN


async def test_schema_1_is_read_without_verifying_again(reopen: Reopen) -> None:
    storage = reopen()
    store = Store(storage)
    layer = await put_blob(store, NAME, LAYER)
    texts = ['{"id": "b"}\n', "{}"]
    document = {
        "schemaVersion": 1,
        "name": "a/b",
        "tag": "t",
        "fsLayers": [{"blobSum": str(layer)}] * 2,
        "history": [{"v1Compatibility": text} for text in texts],
    }
    _, digest = await put(store, jws.sign(json.dumps(document).encode(), ec.generate_private_key(ec.SECP256R1())))
    await storage.driver.delete(layout.signed_schema1(NAME, digest))  # as distribution keeps it
    manifest = await Store(reopen()).open(NAME).parse_manifest(digest)
    assert isinstance(manifest, Schema1)
    assert (manifest.history, manifest.layers) == (tuple(texts), (layer, layer))


async def test_small_ones_are_read_once_and_large_ones_each_time_and_both_keep_their_type(reopen: Reopen) -> None:
    writing = Store(reopen())
    await put_image(writing, NAME, TAG)
    _, digest = await put(writing, LARGE)
    storage, driver = wrapped(reopen(), CountingReads)
    manifests = Manifests(Store(storage).blobs)
    for reference, content, reads in ((Digest.of(SMALL), SMALL, 1), (digest, LARGE, 3)):
        before = driver.reads
        for _ in range(3):
            assert await manifests.read(reference) == (content, media_types.OCI_MANIFEST)
        assert driver.reads - before == reads


async def test_what_one_is_needs_no_reading_once_it_is_known(reopen: Reopen) -> None:
    writing = Store(reopen())
    small = await put_image(writing, NAME, TAG)
    _, large = await put(writing, LARGE)
    facts = FactsInMemory()
    for reads in ({small: 1, large: 1}, {small: 1, large: 0}):  # two processes that share facts, and did not push it
        storage, driver = wrapped(reopen(), CountingReads)
        repository = Store(storage, facts=facts).open(NAME)
        for digest, content in ((small, SMALL), (large, LARGE)):
            before = driver.reads
            for _ in range(3):
                found = await repository.describe_manifest(digest)
                size = len(content)
                assert (found.media_type, found.size, found.length) == (media_types.OCI_MANIFEST, size, size)
            assert driver.reads - before == reads[digest]
    await writing.storage.driver.delete(layout.blob_data(large))
    with pytest.raises(RegistryError) as caught:
        await Store(reopen(), facts=facts).open(NAME).describe_manifest(large)
    assert caught.value.code is ErrorCode.MANIFEST_UNKNOWN


class Elsewhere(FactsInMemory):
    """Facts that others know, and this process must ask for."""

    @override
    def recall(self, digest: Digest, kind: type[F]) -> F | None:
        return None

    @override
    async def find(self, digest: Digest, kind: type[F]) -> F | None:
        return super().recall(digest, kind)


@pytest.mark.parametrize("damage", [LARGE[:-1], LARGE.replace(b"xx", b"xy")], ids=["cut", "changed"])
async def test_what_others_know_does_not_make_a_damaged_one_whole(reopen: Reopen, damage: bytes) -> None:
    storage = reopen()
    store = Store(storage)
    await put_image(store, NAME, TAG)
    _, digest = await put(store, LARGE)
    facts = Elsewhere()
    await facts.put(digest, ManifestFacts(media_types.OCI_MANIFEST, len(LARGE)))
    assert (await Store(reopen(), facts=facts).open(NAME).get_manifest(digest)).content == LARGE
    await storage.driver.write(layout.blob_data(digest), damage)
    with pytest.raises(RegistryError, match="damaged"):
        await Store(reopen(), facts=facts).open(NAME).get_manifest(digest)


@pytest.mark.parametrize("kind", ["image", "index", "schema 1"])
async def test_what_a_pushed_one_is_needs_no_parsing(
    reopen: Reopen, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts = FactsInMemory()
    store = Store(reopen(), facts=facts)
    await put_image(store, NAME, TAG)
    content = LARGE
    if kind == "index":
        entries = [describe(SMALL, media_types.OCI_MANIFEST)] * 300
        content = json.dumps({"schemaVersion": 2, "mediaType": media_types.OCI_INDEX, "manifests": entries}).encode()
    elif kind == "schema 1":
        content = jws.sign(
            json.dumps(
                {
                    "schemaVersion": 1,
                    "name": "a/b",
                    "tag": "t",
                    "fsLayers": [{"blobSum": str(Digest.of(LAYER))}],
                    "history": [{"v1Compatibility": json.dumps({"pad": "x" * 50_000})}],
                }
            ).encode(),
            ec.generate_private_key(ec.SECP256R1()),
        )
    pushed, digest = await put(store, content)
    known = facts.recall(digest, ManifestFacts)
    other = FactsInMemory()
    found = await Store(reopen(), facts=other).open(NAME).get_manifest(digest)
    assert other.recall(digest, ManifestFacts) == known == ManifestFacts(found.media_type, found.size)
    assert pushed.media_type == found.media_type
    monkeypatch.setattr("backends.registry.manifests.sniff_media_type", None)
    assert (await Store(reopen(), facts=facts).open(NAME).get_manifest(digest)).content == content


async def test_small_ones_ask_for_no_facts(reopen: Reopen) -> None:
    class Unwanted(FactsInMemory):
        @override
        async def find(self, digest: Digest, kind: type[F]) -> F | None:
            raise AssertionError("a small manifest is read and parsed faster")

    store = Store(reopen(), facts=Unwanted())
    small = await put_image(store, NAME, TAG)
    for _ in range(2):
        assert (await store.open(NAME).describe_manifest(small)).size == len(SMALL)
        assert (await store.open(NAME).get_manifest(small)).content == SMALL


async def test_one_that_was_cut_since_is_damaged_although_its_type_is_known(reopen: Reopen) -> None:
    storage = reopen()
    store = Store(storage)
    await put_image(store, NAME, TAG)
    _, digest = await put(store, LARGE)
    assert (await store.open(NAME).get_manifest(digest)).content == LARGE
    await storage.driver.write(layout.blob_data(digest), LARGE[:-10])
    with pytest.raises(RegistryError, match="damaged"):
        await store.open(NAME).get_manifest(digest)


async def test_a_manifest_that_nobody_has_is_not_remembered(reopen: Reopen) -> None:
    store = Store(reopen())
    manifests = Manifests(store.blobs)
    for ask in (manifests.read, manifests.parse):
        with pytest.raises(PathNotFound):
            await ask(Digest.of(SMALL))
    await put_image(store, NAME, TAG)
    assert (await manifests.read(Digest.of(SMALL)))[0] == SMALL


async def test_what_is_remembered_has_a_bound_in_bytes(reopen: Reopen) -> None:
    storage = reopen()
    manifests = Manifests(Store(storage).blobs)
    for number in range(80):
        content = make_manifest(CONFIG, LAYER, annotations={"pad": f"{number:05}" * 12_000})
        digest = Digest.of(content)
        await storage.driver.write(layout.blob_data(digest), content)
        for again in (1, 2):
            assert (await manifests.read(digest))[0] == content, again
            assert (await manifests.parse(digest)).content == content
        kept = [manifests._contents, manifests._contents._old]
        assert sum(len(content) for part in kept for content, _ in part.values()) <= CONTENT_BYTES
        parsed = [manifests._parsed, manifests._parsed._old]
        assert sum(PARSED_FACTOR * len(each.content) for part in parsed for each in part.values()) <= PARSED_BYTES


@pytest.mark.parametrize("media_type", [media_types.OCI_INDEX, media_types.MANIFEST_LIST])
async def test_an_index_entry_is_a_manifest_or_a_blob_of_the_same_repository(reopen: Reopen, media_type: str) -> None:
    """BuildKit up to 0.20 exports its cache as an index of blobs."""
    store = Store(reopen())
    await put_image(store, NAME, TAG)
    entries = [
        describe(SMALL, media_types.OCI_MANIFEST),
        describe(LAYER, "application/vnd.oci.image.layer.v1.tar+gzip"),
        describe(CONFIG, "application/vnd.buildkit.cacheconfig.v0"),
    ]

    def index(entries: list[dict[str, object]]) -> bytes:
        return json.dumps({"schemaVersion": 2, "mediaType": media_type, "manifests": entries}).encode()

    for each in (entries, entries[:1], entries[1:]):
        manifest, digest = await put(store, index(each))
        assert isinstance(manifest, Index)
        assert (await store.open(NAME).get_manifest(digest)).content == index(each)
    await put_blob(store, RepositoryName("team/other"), b"elsewhere")
    missing = describe(b"elsewhere", "application/octet-stream")
    with pytest.raises(RegistryError) as caught:
        await put(store, index([*entries, missing]))
    assert caught.value.code is ErrorCode.MANIFEST_BLOB_UNKNOWN
    assert caught.value.each == [missing["digest"]]


async def test_an_image_s_layer_is_a_blob_and_never_a_manifest(reopen: Reopen) -> None:
    store = Store(reopen())
    await put_image(store, NAME, TAG)
    other = make_manifest(CONFIG, LAYER, annotations={"n": "2"})
    await put(store, other)
    content = make_manifest(CONFIG, other)
    with pytest.raises(RegistryError) as caught:
        await put(store, content)
    assert caught.value.code is ErrorCode.MANIFEST_BLOB_UNKNOWN
    assert isinstance(parse_manifest(content, ""), OciManifest)
