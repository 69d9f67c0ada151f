"""A name is one repository, whichever generation writes it and however: found before anything is decided by it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from aiohttp.web import BaseRequest

from backends.model.actions import Action
from backends.model.names import RepositoryName
from backends.model.v1names import V1Name
from backends.registry.store import Store
from backends.storage import layout
from backends.storage.factory import open_folder, open_memory
from backends.storage.storage import Storage
from backends.v1.registry import Registry as V1Registry
from backends.v1.settings import V1Settings
from backends.v2.registry import Registry as V2Registry
from backends.v2.settings import V2Settings
from backends.web.gates import Gate
from backends.web.operations import Operation, RepositoryAccess, Values
from tests.support.pushed_examples import expected_v1, push_example
from tests.support.serving_here import Client, digest_of, serving_here
from tests.support.v1server import RunningRegistry, make_pushed

APP, OWN = RepositoryName("app"), RepositoryName("library/app")


@dataclass
class Seen:
    """What a gate was asked about."""

    names: list[str] = field(default_factory=list)

    async def note(self, operation: Operation, values: Values, request: BaseRequest) -> None:
        accesses = operation.accesses(values, request)
        self.names += [each.name for each in accesses if isinstance(each, RepositoryAccess)]

    def take(self) -> Sequence[str]:
        names, self.names = self.names, []
        return names

    @property
    def gates(self) -> Sequence[Gate]:
        return [Gate(frozenset(Action), self.note)]


@asynccontextmanager
async def both(storage: Storage, seen: Seen) -> AsyncIterator[tuple[Client, RunningRegistry]]:
    store = Store(storage)
    v2, v1 = (
        V2Registry(store, V2Settings(), gates=seen.gates).handle,
        V1Registry(store, V1Settings(), gates=seen.gates).handle,
    )
    async with serving_here(v2) as client, serving_here(v1) as old:
        yield client, RunningRegistry(old.port)


async def own_folder(storage: Storage) -> None:
    """Makes `library/app` a repository of its own, as distribution does that knows of no other name for it."""
    await storage.driver.write(f"{layout.manifests(OWN)}/tags/old/current/link", digest_of(b"x").encode())


async def test_library_x_is_x_in_v2_too() -> None:
    storage, seen = open_memory(), Seen()
    async with both(storage, seen) as (client, _):
        begun = await client.ask("POST", "/v2/library/app/blobs/uploads/")
        assert begun.path.startswith("/v2/app/blobs/uploads/")
        content = await client.push_image("library/app", "1")
        assert set(seen.take()) == {"app"}
        for name in ("app", "library/app"):
            assert (await client.ask("GET", f"/v2/{name}/manifests/1")).body == content
            assert (await client.ask("GET", f"/v2/{name}/tags/list")).json == {"name": "app", "tags": ["1"]}
        assert set(seen.take()) == {"app"}
        assert (await client.ask("GET", "/v2/_catalog")).json["repositories"] == ["app"]
        # What is deeper is a name of its own.
        await client.push_image("library/app/below", "1")
        assert set(seen.take()) == {"library/app/below"}
        assert (await client.ask("GET", "/v2/library/app/manifests/1")).body == content
        assert (await client.ask("GET", "/v2/_catalog")).json["repositories"] == ["app", "library/app/below"]


async def test_a_library_x_that_the_volume_has_is_one_of_its_own() -> None:
    storage, seen = open_memory(), Seen()
    await own_folder(storage)
    async with both(storage, seen) as (client, _):
        await client.push_image("app", "1", seed="one")
        other = await client.push_image("library/app", "1", seed="other")
        assert set(seen.take()) == {"app", "library/app"}
        assert (await client.ask("GET", "/v2/library/app/manifests/1")).body == other
        assert (await client.ask("GET", "/v2/app/manifests/1")).body != other
        assert (await client.ask("GET", "/v2/library/app/tags/list")).json["tags"] == ["1", "old"]
        assert (await client.ask("GET", "/v2/_catalog")).json["repositories"] == ["app", "library/app"]


async def test_a_mount_names_its_source_by_either_name() -> None:
    seen = Seen()
    async with both(open_memory(), seen) as (client, _):
        digest = await client.push_blob("app", b"a layer")
        seen.take()
        answer = await client.ask("POST", f"/v2/team/new/blobs/uploads/?mount={digest}&from=library/app")
        assert answer.status == 201
        assert seen.take() == ["team/new", "app"]
        answer = await client.ask("POST", f"/v2/library/new/blobs/uploads/?mount={digest}&from=app")
        assert answer["Location"].endswith(f"/v2/new/blobs/{digest}")
        assert seen.take() == ["new", "app"]


async def test_v1_and_v2_push_to_one_repository_and_one_name_guards_it() -> None:
    seen = Seen()
    image = make_pushed("a")
    async with both(open_memory(), seen) as (client, old):
        await old.push("app", "v1", [image])
        assert set(seen.take()) == {"app"}
        await client.push_image("app", "v2")
        seen.take()
        for path in ("app", "library/app"):
            assert (await old.ask("GET", f"/v1/repositories/{path}/tags/v1")).json == image.id
        assert set(seen.take()) == {"app"}
        for name in ("app", "library/app"):
            assert (await client.ask("GET", f"/v2/{name}/tags/list")).json["tags"] == ["v1", "v2"]


async def test_v1_reads_v2s_own_library_x_only_where_there_is_no_x() -> None:
    storage, seen = open_memory(), Seen()
    await own_folder(storage)
    store, name = Store(storage), V1Name("library", "app")
    found = await store.names.resolve_v1(name)
    assert (found.falls_back, found.v2, found.canonical) == (True, OWN, "library/app")
    async with both(storage, seen) as (client, old):
        await old.ask("GET", "/v1/repositories/app/tags")
        assert seen.take() == ["library/app"]  # which is judged as `app`
        await old.ask("DELETE", "/v1/repositories/library/app/images")
        assert seen.take() == ["library/app"]
        await old.ask("PUT", "/v1/repositories/library/app/", body=b"[]")
        assert seen.take() == ["app"]  # what v1 pushes is `app`
        await old.ask("GET", "/v1/repositories/app/tags")
        assert seen.take() == ["app"]
        assert (await client.ask("GET", "/v2/library/app/tags/list")).json["tags"] == ["old"]
    other = open_memory()
    await own_folder(other)
    await other.driver.write(f"{layout.manifests(APP)}/tags/old/current/link", digest_of(b"y").encode())
    assert not (await Store(other).names.resolve_v1(name)).falls_back
    assert not (await Store(open_memory()).names.resolve_v1(name)).falls_back


async def test_v1_pulls_and_deletes_v2s_own_library_x_where_there_is_no_x(tmp_path: Path) -> None:
    storage, seen = open_folder(tmp_path), Seen()
    await own_folder(storage)
    store = Store(storage)
    await push_example(store, OWN, "new", "schema2-image")
    image_id = expected_v1("schema2-image")[-1].image_id
    async with both(storage, seen) as (client, old):
        tags = await old.ask("GET", "/v1/repositories/library/app/tags")
        assert tags.json == {"new": image_id}
        assert (await old.ask("GET", "/v1/repositories/app/tags/new")).json == image_id
        assert (await old.ask("GET", f"/v1/images/{image_id}/ancestry")).json[0] == image_id
        assert (await old.ask("GET", f"/v1/images/{image_id}/json")).status == 200
        assert (await old.ask("DELETE", "/v1/repositories/app/tags/new")).status == 200
        assert (await client.ask("GET", "/v2/library/app/tags/list")).json["tags"] == ["old"]
        assert (await old.ask("DELETE", "/v1/repositories/app/")).status == 200
        assert (await client.ask("GET", "/v2/library/app/tags/list")).told == (404, "NAME_UNKNOWN")
    await store.close()
    await storage.close()


async def test_a_name_that_only_v1_can_have_is_guarded_by_itself() -> None:
    storage, seen = open_memory(), Seen()
    odd = V1Name("Team", "app_")
    await storage.driver.write(layout.v1_tag(odd.namespace, odd.stored, "1"), make_pushed("a").id.encode())
    async with both(storage, seen) as (client, old):
        assert (await old.ask("GET", "/v1/repositories/Team/app_/tags/1")).json == make_pushed("a").id
        assert seen.take() == ["Team/app_"]
        assert (await client.ask("GET", "/v2/Team/app_/tags/list")).told == (400, "NAME_INVALID")
        assert (await client.ask("GET", "/v2/_catalog")).json["repositories"] == []
