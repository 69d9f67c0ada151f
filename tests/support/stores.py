"""Pushing to a store directly, without HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from backends.model.digest import Digest
from backends.model.manifests import parse_manifest
from backends.model.names import RepositoryName, TagName
from backends.registry.store import Store
from backends.registry.visible import Visible
from backends.storage import layout
from backends.storage.driver import PathNotFound, StorageDriver
from tests.support.actors import ACTOR
from tests.support.serving_here import make_manifest

CONFIG, LAYER = b"{}", b"a layer"


async def put_blob(store: Store, name: RepositoryName, content: bytes) -> Digest:
    """Pushes a blob in one piece."""

    async def chunks() -> AsyncIterator[bytes]:
        yield content

    return (await store.uploads.receive(name, chunks(), Digest.of(content), actor=ACTOR)).digest


async def put_image(store: Store, name: RepositoryName, tag: TagName | None) -> Digest:
    """Pushes a small OCI image and returns its digest."""
    for content in (CONFIG, LAYER):
        await put_blob(store, name, content)
    manifest = make_manifest(CONFIG, LAYER)
    digest = Digest.of(manifest)
    await store.open(name).put_manifest(parse_manifest(manifest, ""), digest, tag, actor=ACTOR)
    return digest


async def names_found(store: Store, term: str, *, visible: Visible | None = None) -> list[str]:
    """The names of all repositories that a search finds."""
    found = await store.search.find(term, start=0, limit=100_000, visible=visible)
    assert found.total == len(found.results)
    return [name for name, _ in found.results]


async def everything(driver: StorageDriver, path: str = "/") -> Sequence[str]:
    """All files below a path; temporary ones, the file of locks, hints and the index of a search are left out."""
    try:
        names = await driver.list(path)
    except PathNotFound:
        return [path]
    found = [await everything(driver, f"{path.rstrip('/')}/{name}") for name in names]
    own = (layout.TEMPORARY, layout.LOCKS, layout.UNSYNCED, layout.HOLDERS, layout.SEARCH)
    return [each for part in found for each in part if not each.startswith(own)]
