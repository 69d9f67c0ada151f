"""What storage answers at once, hundreds of times in one request, keeps nobody else waiting."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable
from contextlib import suppress

import pytest

from backends.model.digest import Digest
from backends.model.manifests import Index, parse_manifest
from backends.model.media_types import OCI_INDEX, OCI_MANIFEST
from backends.model.names import RepositoryName, TagName
from backends.registry.abandoned_uploads import AbandonedUploads
from backends.registry.links import write_link
from backends.registry.purging import Abandoned
from backends.registry.store import Store
from backends.registry.validation import Validation
from backends.registry.yielding import IN_A_ROW
from backends.storage import layout
from backends.storage.factory import open_memory
from tests.support.actors import ACTOR
from tests.support.serving_here import describe
from tests.support.stores import put_image

NAME = RepositoryName("team/app")
MANY = 12


async def turns_of_others(work: Awaitable[None]) -> int:
    """Awaits work; returns how often another task ran meanwhile."""
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(count())
    await work
    counting.cancel()
    with suppress(asyncio.CancelledError):
        await counting
    return turns


@pytest.mark.parametrize("required", [True, False], ids=["all required and here", "nothing required or here"])
async def test_an_index_of_many(*, required: bool) -> None:
    store = Store(open_memory(), validation=Validation(children=required))
    entries = [describe(b"%d" % number, OCI_MANIFEST) for number in range(MANY * IN_A_ROW)]
    content = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries}).encode()
    index = parse_manifest(content, "")
    assert isinstance(index, Index)
    if required:  # after a hundred that are missing nobody looks further
        for entry in index.manifests:
            await write_link(store.storage.driver, layout.revision_link(NAME, entry.digest), entry.digest)

    async def push() -> None:
        await store.open(NAME).put_manifest(index, Digest.of(content), None, actor=ACTOR)

    assert await turns_of_others(push()) >= (2 * MANY if required else MANY)


async def test_a_manifest_among_many_tags_is_deleted() -> None:
    store = Store(open_memory())
    digest = await put_image(store, NAME, None)
    other = Digest.of(b"another one")
    for number in range(MANY * IN_A_ROW):
        await store.tags.move(NAME, TagName(f"t{number}"), other, actor=ACTOR, telling=None)
    assert await turns_of_others(store.open(NAME).delete_manifest(digest, actor=ACTOR)) >= MANY


async def test_many_uploads_are_looked_at_by_the_purger() -> None:
    store = Store(open_memory())
    for _ in range(MANY * IN_A_ROW):
        await store.uploads.start(NAME)
    found: list[Abandoned] = []

    async def find() -> None:
        found.extend([each async for each in AbandonedUploads(store.storage).find()])

    assert await turns_of_others(find()) >= MANY
    assert len(found) == MANY * IN_A_ROW
