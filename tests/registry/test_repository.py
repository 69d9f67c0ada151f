"""Repositories: membership is on disk, manifests come last, deletion is seen by every process at once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from typing_extensions import override

from backends.model import jws, media_types
from backends.model.digest import Digest
from backends.model.errors import ErrorCode, RegistryError
from backends.model.manifests import parse_manifest
from backends.model.names import RepositoryName, TagName
from backends.registry.store import Store
from backends.storage import layout
from backends.storage.storage import Storage
from tests.support.actors import ACTOR
from tests.support.drivers import Failing, ForwardingDriver, wrapped
from tests.support.serving_here import make_manifest

Reopen = Callable[[], Storage]

NAME, OTHER = RepositoryName("team/app"), RepositoryName("team/other")
TAG = TagName("latest")
CONFIG, LAYER = b"config", b"layer"
CONTENT = make_manifest(CONFIG, LAYER)
DIGEST = Digest.of(CONTENT)


class MeanwhileAtTag(ForwardingDriver):
    """A driver that lets others go on just before it writes a tag for the first time."""

    tag: str
    meanwhile: Callable[[], Awaitable[None]] | None

    @override
    async def write(self, path: str, content: bytes, *, durable: bool = True) -> None:
        if f"/tags/{self.tag}/" in path and self.meanwhile is not None:
            meanwhile, self.meanwhile = self.meanwhile, None
            await meanwhile()
        await super().write(path, content, durable=durable)


async def one(content: bytes) -> AsyncIterator[bytes]:
    yield content


async def push_blob(process: Store, content: bytes, name: RepositoryName = NAME) -> Digest:
    upload = await process.uploads.start(name)
    async with process.uploads.open(name, upload) as session:
        await session.append(one(content))
        return (await session.commit(Digest.of(content), actor=ACTOR)).digest


async def push(process: Store, tag: TagName | None = TAG, content: bytes = CONTENT) -> None:
    for blob in (CONFIG, LAYER):
        await push_blob(process, blob)
    await process.open(NAME).put_manifest(parse_manifest(content, ""), Digest.of(content), tag, actor=ACTOR)


async def test_a_manifest_is_seen_by_every_process(reopen: Reopen) -> None:
    first, second = Store(reopen()), Store(reopen())
    await push(first)
    for process in (first, second):
        for reference in (TAG, DIGEST):
            found = await process.open(NAME).get_manifest(reference)
            assert (found.content, found.media_type, found.digest) == (CONTENT, media_types.OCI_MANIFEST, DIGEST)
        assert list(await process.open(NAME).tags()) == ["latest"]


async def test_a_manifest_becomes_visible_last(reopen: Reopen) -> None:
    """Whatever change is the last that succeeds, what can be seen is whole."""
    for steps in range(12):
        name = RepositoryName(f"team/app-{steps}")
        process = Store(reopen())
        for blob in (CONFIG, LAYER):
            await push_blob(process, blob, name)
        full, _ = wrapped(reopen(), partial(Failing, steps=steps, dies=False))
        failing = Store(full)
        content = make_manifest(CONFIG, LAYER, annotations={"n": str(steps)})
        digest = Digest.of(content)
        try:
            await failing.open(name).put_manifest(parse_manifest(content, ""), digest, TAG, actor=ACTOR)
            whole = True
        except Exception:  # noqa: BLE001 - how it failed is another test's matter
            whole = False
        fresh = Store(reopen()).open(name)
        tagged = True
        try:
            tags = list(await fresh.tags())
        except RegistryError:
            tags = []
        try:
            assert (await fresh.get_manifest(TAG)).content == content
        except RegistryError:
            tagged = False
        assert tags == (["latest"] if tagged else [])
        assert tagged or not whole
        await process.open(name).put_manifest(parse_manifest(content, ""), digest, TAG, actor=ACTOR)
        assert (await fresh.get_manifest(TAG)).content == content
        if whole:
            assert steps >= 3
            return
    raise AssertionError("a manifest takes more steps than the test goes")


async def test_deletion_is_seen_by_a_process_that_has_it_in_memory(reopen: Reopen) -> None:
    first, second = Store(reopen()), Store(reopen())
    await push(first)
    assert (await second.open(NAME).get_manifest(TAG)).content == CONTENT
    await first.open(NAME).delete_manifest(DIGEST, actor=ACTOR)
    for reference in (TAG, DIGEST):
        with pytest.raises(RegistryError) as caught:
            await second.open(NAME).get_manifest(reference)
        assert caught.value.code is ErrorCode.MANIFEST_UNKNOWN
    # another repository that has the same manifest brings nothing back here
    for blob in (CONFIG, LAYER):
        await push_blob(first, blob, OTHER)
    await first.open(OTHER).put_manifest(parse_manifest(CONTENT, ""), DIGEST, TAG, actor=ACTOR)
    with pytest.raises(RegistryError):
        await second.open(NAME).get_manifest(DIGEST)


async def test_a_deletion_during_a_push_with_several_tags_leaves_none_that_names_nothing(reopen: Reopen) -> None:
    await push(Store(reopen()), None)
    others = Store(reopen())
    deletions: list[asyncio.Future[None]] = []

    async def delete() -> None:
        deletions.append(asyncio.ensure_future(others.open(NAME).delete_manifest(DIGEST, actor=ACTOR)))
        await asyncio.wait(deletions, timeout=0.3)

    storage, driver = wrapped(reopen(), MeanwhileAtTag)
    driver.tag, driver.meanwhile = "second", delete
    repository = Store(storage).open(NAME)
    tags = [TagName("second"), TagName("third")]
    await repository.put_manifest(parse_manifest(CONTENT, ""), DIGEST, TagName("first"), more_tags=tags, actor=ACTOR)
    await asyncio.gather(*deletions)
    assert not await others.tags.page(NAME, after="", limit=None)


async def test_blobs_belong_to_repositories_and_deletion_takes_one_of_them(reopen: Reopen) -> None:
    first, second = Store(reopen()), Store(reopen())
    digest = await push_blob(first, LAYER)
    with pytest.raises(RegistryError) as caught:
        await second.open(OTHER).open_blob(digest)
    assert caught.value.code is ErrorCode.BLOB_UNKNOWN
    assert await second.open(OTHER).mount(digest, NAME, actor=ACTOR)
    await first.open(NAME).delete_blob(digest, actor=ACTOR)
    assert not await second.open(NAME).has_blob(digest)
    assert await first.open(OTHER).has_blob(digest)
    assert not await first.open(RepositoryName("team/third")).mount(digest, NAME, actor=ACTOR)


@pytest.mark.parametrize("gone", ["link", "data"])
async def test_a_blob_of_which_half_is_missing_is_unknown_and_no_reference(reopen: Reopen, gone: str) -> None:
    storage = reopen()
    driver = storage.driver
    process = Store(storage)
    for blob in (CONFIG, LAYER):
        await push_blob(process, blob)
    digest = Digest.of(LAYER)
    await driver.delete(layout.layer_link(NAME, digest) if gone == "link" else layout.blob_data(digest))
    with pytest.raises(RegistryError) as caught:
        await process.open(NAME).open_blob(digest)
    assert caught.value.code is ErrorCode.BLOB_UNKNOWN
    with pytest.raises(RegistryError) as caught:
        await process.open(NAME).put_manifest(parse_manifest(CONTENT, ""), DIGEST, TAG, actor=ACTOR)
    assert caught.value.code is ErrorCode.MANIFEST_BLOB_UNKNOWN
    with pytest.raises(RegistryError):
        await process.open(NAME).tags()


@pytest.mark.parametrize("held", ["its own", "its own and a line's end", "another one", "damaged"])
async def test_a_blob_is_what_its_link_says(reopen: Reopen, held: str) -> None:
    storage = reopen()
    process = Store(storage)
    for blob in (CONFIG, LAYER):
        await push_blob(process, blob)
    digest = Digest.of(LAYER)
    text = {
        "its own": f"{digest}",
        "its own and a line's end": f"{digest}\n",
        "another one": f"{Digest.of(CONFIG)}",
        "damaged": f"{digest}"[:-1],
    }[held]
    await storage.driver.write(layout.layer_link(NAME, digest), text.encode())
    repository = process.open(NAME)
    if held == "damaged":
        assert not await repository.has_blob(digest)
        with pytest.raises(RegistryError) as caught:
            await repository.open_blob(digest)
        assert caught.value.code is ErrorCode.BLOB_UNKNOWN
        return
    wanted = CONFIG if held == "another one" else LAYER
    assert await repository.blob_size(digest) == len(wanted)
    found = await repository.open_blob(digest)
    assert b"".join([bytes(chunk) async for chunk in found.reader.chunks(0, found.size)]) == wanted
    found.reader.close()


async def test_missing_references_are_named_but_not_by_the_hundred(reopen: Reopen) -> None:
    content = make_manifest(CONFIG, *(b"layer %d" % number for number in range(200)))
    with pytest.raises(RegistryError) as caught:
        await (
            Store(reopen()).open(NAME).put_manifest(parse_manifest(content, ""), Digest.of(content), None, actor=ACTOR)
        )
    assert caught.value.code is ErrorCode.MANIFEST_BLOB_UNKNOWN
    assert str(Digest.of(CONFIG)) in caught.value.detail
    assert "more than 97 more" in caught.value.detail
    assert len(caught.value.detail) < 500
    named = [Digest.of(CONFIG), *(Digest.of(b"layer %d" % number) for number in range(100))]
    assert list(caught.value.each) == [str(digest) for digest in named]


def schema1() -> bytes:
    document = {
        "schemaVersion": 1,
        "name": "a/b",
        "tag": "t",
        "fsLayers": [{"blobSum": str(Digest.of(LAYER))}],
        "history": [{"v1Compatibility": "{}"}],
    }
    return jws.sign(json.dumps(document, indent=3).encode(), ec.generate_private_key(ec.SECP256R1()))


async def test_schema_1_that_a_volume_kept_without_signatures_is_signed_the_same_by_every_process(
    reopen: Reopen,
) -> None:
    payload = jws.verify(schema1())
    digest = Digest.of(payload)
    driver = reopen().driver
    await driver.write(layout.blob_data(digest), payload)
    await driver.write(layout.revision_link(NAME, digest), str(digest).encode())
    processes = [Store(reopen()) for _ in range(4)]
    found = await asyncio.gather(*(process.open(NAME).get_manifest(digest) for process in processes * 3))
    assert len({manifest.content for manifest in found}) == 1
    assert jws.verify(found[0].content) == payload
    assert (await Store(reopen()).open(NAME).get_manifest(digest)).content == found[0].content


async def test_schema_1_signed_by_two_pushers_goes_out_as_the_last_one_pushed_it(reopen: Reopen) -> None:
    process = Store(reopen())
    await push_blob(process, LAYER)
    documents = [schema1(), schema1()]
    manifests = [parse_manifest(document, "") for document in documents]
    digest = Digest.of(jws.verify(documents[0]))
    for manifest, document in zip(manifests, documents, strict=True):
        await process.open(NAME).put_manifest(manifest, digest, TAG, actor=ACTOR)
        assert (await process.open(NAME).get_manifest(TAG)).content == document


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"schemaVersion": 2, "mediaType": []}', b"\xff" * 100])
async def test_a_stored_manifest_that_is_damaged_is_unknown_and_named_so(reopen: Reopen, content: bytes) -> None:
    storage = reopen()
    driver = storage.driver
    process = Store(storage)
    await push(process)
    await driver.write(layout.blob_data(DIGEST), content)
    with pytest.raises(RegistryError) as caught:
        await Store(reopen()).open(NAME).get_manifest(TAG)
    assert caught.value.code is ErrorCode.MANIFEST_UNKNOWN
    assert "damaged" in caught.value.detail
    await push(process)
    assert (await Store(reopen()).open(NAME).get_manifest(TAG)).content == CONTENT


async def test_many_manifests_are_kept_within_a_bound_and_always_right(reopen: Reopen) -> None:
    process = Store(reopen())
    contents = [make_manifest(CONFIG, LAYER, annotations={"pad": f"{number}" * 40_000}) for number in range(10, 25)]
    for blob in (CONFIG, LAYER):
        await push_blob(process, blob)
    for content in contents:
        await process.open(NAME).put_manifest(parse_manifest(content, ""), Digest.of(content), None, actor=ACTOR)
    for content in contents * 2:
        assert (await process.open(NAME).get_manifest(Digest.of(content))).content == content


async def test_tags_are_deleted_one_by_one(reopen: Reopen) -> None:
    process = Store(reopen())
    await push(process)
    await push(process, TagName("other"))
    await process.open(NAME).delete_tag(TAG, actor=ACTOR)
    assert list(await process.open(NAME).tags()) == ["other"]
    with pytest.raises(RegistryError):
        await process.open(NAME).delete_tag(TAG, actor=ACTOR)
