"""Conversions after distribution's own garbage collector has been over the volume, plain and with `-m`.

The real program of Debian (2.8.2). What it destroys itself is gone: a manifest without a tag, and with `-m` also the
manifests in a tagged index. All else is pulled in every form as before, and nothing is shown with layers missing.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from backends.model.conversion.impossible import ImpossibleConversion
from backends.model.conversion.plans import Form
from backends.model.digest import Digest
from backends.model.names import RepositoryName, TagName
from backends.registry.store import Store
from backends.storage import layout
from backends.storage.factory import open_folder
from tests.support.actors import ACTOR
from tests.support.collector import collect
from tests.support.derivations import PUSHES, convert, is_there, plans_of, pulled, push_v1, put_manifest_of, v1_example
from tests.support.formats import digest_of

NAME = RepositoryName("team/app")
TAG = "latest"


def name_of(kind: str) -> RepositoryName:
    """A repository for each kind, so that no tag of another one keeps what it needs."""
    return RepositoryName(f"team/{kind.replace(' ', '-').lower()}")


async def opened(root: Path, two_roots: Path | None = None) -> Store:
    storage = open_folder(root)
    return Store(storage, v1_storage=None if two_roots is None else open_folder(two_roots))


async def close(store: Store) -> None:
    await store.close()
    await store.storage.close()
    if store.v1_storage is not store.storage:
        await store.v1_storage.close()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "root"


async def push_all(store: Store) -> dict[str, list[Digest]]:
    """Pushes each kind, and has it pulled in every form; returns the digests of these."""
    shown: dict[str, list[Digest]] = {}
    for kind, (push, form) in PUSHES.items():
        await push(store, name_of(kind), TAG)
        shown[kind] = [(await convert(store, name_of(kind), TAG, plan)).digest for plan in plans_of(form)]
    return shown


async def require_as_before(store: Store, kind: str, digests: Sequence[Digest]) -> None:
    """Requires that a kind is pulled in every form, by tag and by the digests that were shown before."""
    for plan, digest in zip(plans_of(PUSHES[kind][1]), digests, strict=True):
        await pulled(store, name_of(kind), digest)
        assert (await convert(store, name_of(kind), TAG, plan)).digest == digest


@pytest.mark.parametrize("roots", [1, 2])
async def test_after_a_plain_run_every_view_works(root: Path, tmp_path: Path, roots: int) -> None:
    other = tmp_path / "v1" if roots == 2 else None
    store = await opened(root, other)
    shown = await push_all(store)
    await push_v1(store, NAME, TAG)
    await close(store)
    collect(root)
    if roots == 1:
        layer = v1_example()[0].layer
        assert not (root / layout.blob_data(digest_of(layer))[1:]).exists()  # it was only a v1 image's
    fresh = await opened(root, other)
    for kind in PUSHES:
        await require_as_before(fresh, kind, shown[kind])
    for form in (Form.SCHEMA1, Form.SCHEMA2, Form.OCI_MANIFEST):
        await pulled(fresh, NAME, (await convert(fresh, NAME, TAG, form)).digest)
    await close(fresh)


async def test_what_was_not_converted_before_is_converted_after_it(root: Path) -> None:
    store = await opened(root)
    for kind, (push, _) in PUSHES.items():
        await push(store, name_of(kind), TAG)
    await close(store)
    collect(root)
    fresh = await opened(root)
    for kind, (_, form) in PUSHES.items():
        for plan in plans_of(form):
            await pulled(fresh, name_of(kind), (await convert(fresh, name_of(kind), TAG, plan)).digest)
    await close(fresh)


async def test_after_a_run_with_m_nothing_is_shown_with_layers_missing(root: Path) -> None:
    """Images with a tag are as before; of tagged indexes this release deletes all that they name."""
    store = await opened(root)
    shown = await push_all(store)
    # One that loses its tag before, and what was made of it.
    await PUSHES["schema 2"][0](store, NAME, TAG)
    alone = await convert(store, NAME, TAG, Form.OCI_MANIFEST)
    await store.open(NAME).delete_tag(TagName(TAG), actor=ACTOR)
    await close(store)
    collect(root, "-m")
    fresh = await opened(root)
    assert not await is_there(fresh, NAME, alone.digest)
    for kind, (_, form) in PUSHES.items():
        if not form.is_index:
            await require_as_before(fresh, kind, shown[kind])
            continue
        for plan, digest in zip(plans_of(form), shown[kind], strict=True):
            if not plan.form.is_index:
                assert not await is_there(fresh, name_of(kind), digest)
                with pytest.raises(ImpossibleConversion, match="not stored in this registry"):
                    await convert(fresh, name_of(kind), TAG, plan)
    await close(fresh)


def _another(content: bytes) -> bytes:
    return json.dumps({**json.loads(content), "another": 1}).encode()


async def test_a_push_of_what_was_converted_outlives_a_collection(root: Path) -> None:
    """What it has taken over from a v1 image is the repository's own, as distribution sees it."""
    store = await opened(root)
    await push_v1(store, NAME, "v1")
    made = await convert(store, NAME, "v1", Form.SCHEMA2)
    digest = await put_manifest_of(store, NAME, "built", _another(made.content))
    await store.storage.driver.delete(layout.V1_IMAGES)
    await store.storage.driver.delete(layout.DERIVED)
    await close(store)
    collect(root, "-m")
    fresh = await opened(root)
    await pulled(fresh, NAME, digest)
    await close(fresh)
