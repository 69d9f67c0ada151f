"""Whatever docker-registry took for a name or a tag is pushed, read and deleted, and v2 never hears of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from hashlib import sha256
from pathlib import Path
from urllib.parse import quote

import pytest

from backends.model.names import RepositoryName, is_tag
from backends.model.v1names import parse_v1_name
from backends.registry.store import Store
from backends.storage.factory import open_folder
from backends.v1.registry import Registry as V1Registry
from backends.v1.search import ONLY_V1
from backends.v1.settings import V1Settings
from backends.v2.registry import Registry as V2Registry
from backends.v2.settings import V2Settings
from tests.support.pushed_examples import push_example
from tests.support.serving_here import Client, serving_here
from tests.support.trees import read_tree
from tests.support.v1_awkward_names import NAMES, OF_OLD_DOCKER, TAGS, TAGS_OF_V1_ALONE, in_url
from tests.support.v1server import Pushed, RunningRegistry, make_pushed

IMAGE = make_pushed("a", layer=b"a layer")


def image_of(text: str) -> Pushed:
    """An image of its own for each text."""
    return make_pushed(sha256(text.encode()).hexdigest(), layer=text.encode())


@asynccontextmanager
async def both(root: Path) -> AsyncIterator[tuple[RunningRegistry, Client, Store]]:
    storage = open_folder(root)
    store = Store(storage)
    async with (
        serving_here(V1Registry(store, V1Settings()).handle) as old,
        serving_here(V2Registry(store, V2Settings()).handle) as new,
    ):
        yield RunningRegistry(old.port), new, store
    await store.close()
    await storage.close()


@pytest.mark.parametrize("name", NAMES)
async def test_a_repository_of_any_name_lives_and_dies(registry: RunningRegistry, root: Path, name: str) -> None:
    await registry.push_images([IMAGE])
    base = f"/v1/repositories/{in_url(name)}"
    parsed = parse_v1_name(name)
    announced = json.dumps([{"id": IMAGE.id}]).encode()
    begun = await registry.ask("PUT", f"{base}/", body=announced)
    assert (begun.status, begun.body) == (200, b'""')
    token = begun.value("X-Docker-Token") or ""
    assert f'repository="{quote(parsed.namespace, safe="").replace("%20", "+").replace("~", "%7E")}/' in token
    assert (await registry.ask("PUT", f"{base}/tags/latest", body=json.dumps(IMAGE.id).encode())).status == 200
    assert (await registry.ask("PUT", f"{base}/images", body=b"[]")).status == 204
    assert (await registry.ask("PUT", f"{base}/auth")).body == b'"OK"'
    assert (await registry.ask("GET", f"{base}/images")).json == [{"id": IMAGE.id}]
    assert (await registry.ask("GET", f"{base}/tags")).json == {"latest": IMAGE.id}
    assert (await registry.ask("GET", f"{base}/tags/latest")).json == IMAGE.id
    for target in ("tags/latest/json", "json"):
        assert (await registry.ask("GET", f"{base}/{target}")).json["docker_version"] == "1.5.0"
    assert (await registry.ask("PUT", f"{base}/properties", body=b'{"access": "private"}')).body == b"true"
    assert (await registry.ask("GET", f"{base}/properties")).json == {"access": "private"}
    found = (await registry.ask("GET", f"/v1/search?q={quote(parsed.repository, safe='')}")).json
    assert found["results"] == [{"name": parsed.canonical if parsed.v2 else parsed.text, "description": ONLY_V1}]
    assert (await registry.ask("DELETE", f"{base}/images")).status == 204
    assert (await registry.ask("DELETE", f"{base}/tags/latest")).body == b"true"
    assert (await registry.ask("GET", f"{base}/tags")).told == (404, "Repository not found")
    assert (await registry.ask("PUT", f"{base}/tags/again", body=json.dumps(IMAGE.id).encode())).status == 200
    assert (await registry.ask("DELETE", f"{base}/")).body == b"true"
    assert (await registry.ask("DELETE", f"{base}/")).told == (404, "Repository not found")
    # Folders of namespaces stay, as docker-registry's.
    assert not list((root / "repositories").glob("*/*"))
    assert [path for path in root.parent.iterdir() if path != root] == []


async def test_all_of_them_are_kept_apart(root: Path) -> None:
    names = {parse_v1_name(name): name for name in NAMES}
    async with both(root) as (old, new, _):
        for name in names.values():
            await old.push(in_url(name), "latest", [image_of(name)])
        for name in names.values():
            base = f"/v1/repositories/{in_url(name)}"
            assert (await old.ask("GET", f"{base}/tags")).json == {"latest": image_of(name).id}, name
            assert (await old.ask("GET", f"{base}/images")).json == [{"id": image_of(name).id}], name
        found = [each["name"] for each in (await old.ask("GET", "/v1/search")).json["results"]]
        assert sorted(found) == sorted(parsed.text for parsed in names)
        assert (await new.ask("GET", "/v2/_catalog")).json == {"repositories": []}
        gone = set[str]()
        for parsed, name in names.items():
            assert (await old.ask("DELETE", f"/v1/repositories/{in_url(name)}/")).status == 200
            gone.add(parsed.text)
            found = [each["name"] for each in (await old.ask("GET", "/v1/search")).json["results"]]
            assert set(found) == {each.text for each in names} - gone


@pytest.mark.parametrize("name", [*OF_OLD_DOCKER, "Team/App", "UPPER", "team/.."])
async def test_v2_has_no_such_repository_and_no_folder_of_it(root: Path, name: str) -> None:
    async with both(root) as (old, new, _):
        await old.push(in_url(name), "latest", [IMAGE])
        await old.push("team/app", "latest", [image_of("app")])
        for rest in ("tags/list", "manifests/latest"):
            assert (await new.ask("GET", f"/v2/{in_url(name)}/{rest}")).told == (400, "NAME_INVALID")
        assert (await new.ask("GET", "/v2/_catalog")).json == {"repositories": ["team/app"]}
    assert not (root / "docker/registry/v2/repositories").exists()


async def test_a_push_by_another_spelling_is_to_the_same_repository(registry: RunningRegistry) -> None:
    """As in docker-registry, whose server decodes an address before it looks at slashes."""
    await registry.push("team/a%2FB", "latest", [IMAGE])
    for spelt in ("team/a/B", "team%2Fa%2fB", "team/a/B/", "team/%61/%42"):
        assert (await registry.ask("GET", f"/v1/repositories/{spelt}/tags")).json == {"latest": IMAGE.id}, spelt
    assert (await registry.ask("GET", "/v1/repositories/team/a%252FB/tags")).status == 404
    await registry.push("%2E%2E/r", "latest", [image_of("r")])
    for spelt in ("../r", "%252E%252E/r"):
        assert (await registry.ask("GET", f"/v1/repositories/{spelt}/tags")).json == {"latest": image_of("r").id}


@pytest.mark.parametrize("name", ["team/app", "team/app_", "app", ".."])
async def test_tags_of_any_name_are_kept_apart(root: Path, name: str) -> None:
    base = f"/v1/repositories/{in_url(name)}"
    async with both(root) as (old, new, _):
        for number, tag in enumerate(TAGS):
            await old.push_images([image_of(tag)])
            put = await old.ask("PUT", f"{base}/tags/{quote(tag, safe='')}", body=json.dumps(image_of(tag).id).encode())
            assert (put.status, put.body) == (200, b"true"), tag
            all_so_far = {each: image_of(each).id for each in TAGS[: number + 1]}
            assert (await old.ask("GET", f"{base}/tags")).json == all_so_far
        for tag in TAGS:
            assert (await old.ask("GET", f"{base}/tags/{quote(tag, safe='')}")).json == image_of(tag).id
        if parse_v1_name(name).v2 is not None:
            listed = (await new.ask("GET", f"/v2/{name}/tags/list")).json["tags"]
            assert listed == sorted(tag for tag in TAGS if is_tag(tag))
        for number, tag in enumerate(TAGS, 1):
            deleted = await old.ask("DELETE", f"{base}/tags/{quote(tag, safe='')}")
            assert (deleted.status, deleted.body) == (200, b"true"), tag
            assert (await old.ask("GET", f"{base}/tags/{quote(tag, safe='')}")).told == (404, "Tag not found")
            left = await old.ask("GET", f"{base}/tags")
            if number < len(TAGS):
                assert left.json == {each: image_of(each).id for each in TAGS[number:]}
            else:
                assert left.told == (404, "Repository not found")
    assert not list((root / "repositories").glob("*/*"))


async def test_who_set_a_tag_is_told_but_where_another_tag_has_that_file(registry: RunningRegistry) -> None:
    """docker-registry's file for who set `_x` is that of the tag `x_json`, and the tag is worth more."""
    await registry.push("team/app", "latest", [IMAGE])
    base = "/v1/repositories/team/app/tags"

    async def version(tag: str) -> str | None:
        found: str | None = (await registry.ask("GET", f"{base}/{tag}/json")).json["docker_version"]
        return found

    put = json.dumps(IMAGE.id).encode()
    for first, second in (("_x", "x_json"), ("x_json", "_x")):
        for tag in (first, second):
            assert (await registry.ask("PUT", f"{base}/{tag}", body=put)).status == 200
        assert (await registry.ask("GET", base)).json == dict.fromkeys(["latest", "_x", "x_json"], IMAGE.id)
        assert (await version("_x"), await version("x_json")) == (None, "1.5.0")
        assert (await registry.ask("DELETE", f"{base}/_x")).status == 200
        assert (await registry.ask("GET", base)).json == dict.fromkeys(["latest", "x_json"], IMAGE.id)
        assert (await registry.ask("DELETE", f"{base}/x_json")).status == 200
        assert (await registry.ask("GET", base)).json == {"latest": IMAGE.id}
    assert (await registry.ask("PUT", f"{base}/_x", body=put)).status == 200
    assert await version("_x") == "1.5.0"
    for method in ("GET", "DELETE"):  # it is a file that begins like a tag's, and none
        assert (await registry.ask(method, f"{base}/x_json")).status == 404
    assert await version("_x") == "1.5.0"


async def test_pushes_of_both_at_once_lose_neither(registry: RunningRegistry) -> None:
    await registry.push("team/app", "latest", [IMAGE])
    base, put = "/v1/repositories/team/app/tags", json.dumps(IMAGE.id).encode()
    for _ in range(10):
        told = await asyncio.gather(
            *(registry.ask("PUT", f"{base}/{tag}", body=put) for tag in ("_x", "x_json", "__x", "_x_json"))
        )
        assert [each.status for each in told] == [200] * 4
        assert set((await registry.ask("GET", base)).json) == {"latest", "_x", "x_json", "__x", "_x_json"}
        await asyncio.gather(*(registry.ask("DELETE", f"{base}/{tag}") for tag in ("_x", "__x")))
        assert set((await registry.ask("GET", base)).json) == {"latest", "x_json", "_x_json"}


@pytest.mark.parametrize("tag", TAGS_OF_V1_ALONE)
async def test_v1_gives_v2s_image_a_tag_that_v2_cannot_have(root: Path, tag: str) -> None:
    """The image becomes an ordinary one of v1: nothing of v2's has such a name on disk."""
    async with both(root) as (old, new, store):
        await push_example(store, RepositoryName("team/app"), "good", "schema2-image")
        image_id = (await old.ask("GET", "/v1/repositories/team/app/tags/good")).json
        at = f"/v1/repositories/team/app/tags/{quote(tag, safe='')}"
        assert (await old.ask("GET", f"/v1/images/{image_id}/ancestry")).status == 200
        assert (await old.ask("PUT", at, body=json.dumps(image_id).encode())).body == b"true"
        assert (await old.ask("GET", at)).json == image_id
        assert (await old.ask("GET", "/v1/repositories/team/app/tags")).json == {"good": image_id, tag: image_id}
        assert (await new.ask("GET", "/v2/team/app/tags/list")).json["tags"] == ["good"]
        told = await new.ask("GET", f"/v2/team/app/manifests/{quote(tag, safe='')}")
        assert told.told == ((400, "DIGEST_INVALID") if ":" in tag else (404, "MANIFEST_UNKNOWN"))
    links = root / "docker/registry/v2/repositories/team/app/_manifests/tags"
    assert [path.name for path in links.iterdir()] == ["good"]


async def test_only_what_names_an_image_is_a_tag(root: Path) -> None:
    async with both(root) as (old, new, _):
        for name in ("team/app", "team/app_"):
            await old.push(name, "good", [image_of(name)])
            folder = root / "repositories" / name
            for entry, content in (
                ("tag_empty", ""), ("tag_text", "no id"), ("tag_short", "abc"), ("tag_UPPER", IMAGE.id.upper()),
                ("tag_a%2fb", IMAGE.id), ("tag_x_json", '{"last_update": 1}'), ("tag_\u00e4", IMAGE.id),
            ):  # fmt: skip
                (folder / entry).write_text(content)
            (folder / "tag_folder").mkdir()
            base = f"/v1/repositories/{name}"
            tags = (await old.ask("GET", f"{base}/tags")).json
            assert {tag: tags[tag] for tag in tags if tag != "a%2fb"} == {"good": image_of(name).id}
            for tag in ("empty", "text", "short", "UPPER", "x_json", "folder"):
                assert (await old.ask("GET", f"{base}/tags/{tag}")).told == (404, "Tag not found")
            assert (await old.ask("DELETE", f"{base}/tags/text")).body == b"true"
            assert not (folder / "tag_text").exists()
        listed = (await new.ask("GET", "/v2/team/app/tags/list")).json["tags"]
        assert "x_json" not in listed
        for tag in {*listed} - {"good"}:  # a list of v2 does not read each file
            assert (await new.ask("GET", f"/v2/team/app/manifests/{tag}")).status == 404
        for name in ("team/app", "team/app_"):
            assert (await old.ask("DELETE", f"/v1/repositories/{name}/")).body == b"true"
    assert not list((root / "repositories").glob("*/*"))


@pytest.mark.parametrize("name", ["r" * 256, f"team/{'r' * 256}", quote("?" * 52), "team/" + quote("?" * 52)])
async def test_a_name_that_no_folder_can_have_is_refused_with_a_sentence(
    registry: RunningRegistry, root: Path, name: str
) -> None:
    before = read_tree(root)
    for rest, body in (("/", b"[]"), ("/images", b"[]"), ("/tags/x", json.dumps(IMAGE.id).encode())):
        status, sentence = (await registry.ask("PUT", f"/v1/repositories/{name}{rest}", body=body)).told
        assert status == 400
        assert "too long for the registry's file system" in sentence
    assert read_tree(root) == before
