"""A volume with awkward names goes from docker-registry 0.9.1 to Portside and back, and Docker finds its images."""

from __future__ import annotations

import asyncio
import json
from hashlib import sha256
from pathlib import Path
from urllib.parse import quote

import pytest

from backends.model.v1names import parse_v1_name
from backends.storage.factory import open_folder
from backends.web.settings import GateSettings
from tests.support.docker import Docker
from tests.support.docker_registry_0_9_1 import docker_registry_0_9_1
from tests.support.images import make_image
from tests.support.profiles import PROFILES
from tests.support.v1_awkward_names import NAMES, OF_OLD_DOCKER, TAGS, in_url
from tests.support.v1server import Pushed, RunningRegistry, make_pushed, running_v1
from tests.support.wire import Address

GATES = GateSettings(delete_enabled=True)
TAGGED = [tag for tag in TAGS if tag not in {"_x", "__x", "_", "_json", "x_json"}]
"""But for those whose files docker-registry confuses with one another."""


def image_of(text: str) -> Pushed:
    return make_pushed(sha256(text.encode()).hexdigest(), layer=text.encode())


async def put_tag(registry: RunningRegistry, name: str, tag: str, image: Pushed) -> None:
    answer = await registry.ask(
        "PUT", f"/v1/repositories/{in_url(name)}/tags/{quote(tag, safe='')}", body=json.dumps(image.id).encode()
    )
    assert (answer.status, answer.body) == (200, b"true"), (name, tag, answer.body)


async def tag_of(registry: RunningRegistry, name: str, tag: str) -> tuple[int, object]:
    answer = await registry.ask("GET", f"/v1/repositories/{in_url(name)}/tags/{quote(tag, safe='')}")
    return answer.status, answer.json


@pytest.mark.timeout(300)
async def test_what_either_pushes_the_other_has(tmp_path: Path) -> None:
    root = tmp_path / "volume"
    # Werkzeug takes neither an empty segment nor what leads above its root.
    names = [name for name in NAMES if "//" not in name]
    with docker_registry_0_9_1(tmp_path / "original", root=root) as original:
        theirs = RunningRegistry(original.port)
        for name in names:
            await theirs.push(in_url(name), "latest", [image_of(name)])
        for tag in TAGGED:
            await put_tag(theirs, "team/app", tag, image_of(names[0]))
        storage = open_folder(root)
        async with running_v1(storage, gates=GATES) as ours:
            for name in names:
                base = f"/v1/repositories/{in_url(name)}"
                for rest in ("images", "tags/latest", "tags/latest/json", "json", "properties"):
                    answers = [await each.ask("GET", f"{base}/{rest}") for each in (theirs, ours)]
                    assert answers[1].status == 200
                    assert answers[1].json == answers[0].json, (name, rest)
                assert (await ours.ask("GET", f"{base}/tags")).json == {"latest": image_of(name).id}, name
            found = (await ours.ask("GET", "/v1/search")).json["results"]
            every = {*map(parse_v1_name, names), parse_v1_name("team/app")}
            assert {each["name"] for each in found} == {name.v2 or name.text for name in every}
            tags = (await ours.ask("GET", "/v1/repositories/team/app/tags")).json
            assert tags == dict.fromkeys(TAGGED, image_of(names[0]).id)
            # And back: what Portside pushes, moves and deletes.
            for name in names:
                await ours.push_images([image_of(f"new {name}")])
                await put_tag(ours, name, "new", image_of(f"new {name}"))
                await put_tag(ours, name, "latest", image_of(f"new {name}"))
            for tag in TAGGED[::2]:
                await put_tag(ours, "team/app", tag, image_of(f"new {names[0]}"))
            for tag in TAGGED[1::2]:
                deleted = await ours.ask("DELETE", f"/v1/repositories/team/app/tags/{quote(tag, safe='')}")
                assert deleted.body == b"true"
            for name in names[1::2]:
                assert (await ours.ask("DELETE", f"/v1/repositories/{in_url(name)}/")).body == b"true"
        await storage.close()
        for number, name in enumerate(names):
            expected = (404, {"error": "Tag not found"}) if number % 2 else (200, image_of(f"new {name}").id)
            for tag in ("latest", "new"):
                assert await tag_of(theirs, name, tag) == expected, (name, tag)
        for number, tag in enumerate(TAGGED):
            new = image_of(f"new {names[0]}").id
            expected = (404, {"error": "Tag not found"}) if number % 2 else (200, new)
            assert await tag_of(theirs, "team/app", tag) == expected, tag


@pytest.mark.timeout(300)
async def test_where_0_9_1_is_wrong_about_its_own_volume_portside_is_right(tmp_path: Path) -> None:
    """A phantom tag, a tag that is listed without its id, and repositories that it cannot delete any more."""
    root, image = tmp_path / "volume", image_of("image")
    with docker_registry_0_9_1(tmp_path / "original", root=root) as original:
        theirs = RunningRegistry(original.port)
        await theirs.push_images([image])
        broken = {"team/under": "_x", "team/plus": "a+b", "team/blank": "a b", "team/dots": "..", "app_": "%"}
        for name, tag in broken.items():
            await put_tag(theirs, name, tag, image)
        assert set((await theirs.ask("GET", "/v1/repositories/team/under/tags")).json) == {"_x", "x_json"}
        assert (await theirs.ask("GET", "/v1/repositories/team/blank/tags")).json == {"a+b": None}
        for name in broken:
            assert (await theirs.ask("DELETE", f"/v1/repositories/{name}/")).status == 404, name
        for name, tag in broken.items():  # it has deleted some of it meanwhile
            await put_tag(theirs, name, tag, image)
        storage = open_folder(root)
        async with running_v1(storage, gates=GATES) as ours:
            for name, tag in broken.items():
                assert (await ours.ask("GET", f"/v1/repositories/{name}/tags")).json == {tag: image.id}
                assert (await ours.ask("DELETE", f"/v1/repositories/{name}/")).body == b"true"
        await storage.close()
        for name in broken:
            assert (await theirs.ask("GET", f"/v1/repositories/{name}/tags")).status == 404
    assert not list((root / "repositories").glob("*/*"))


def push_and_pull(version: str, one: int, other: int, name: str, tag: str) -> None:
    """Pushes by Docker to one registry and pulls by another Docker from the other: to the byte what was pushed."""
    image = make_image(f"{name}:{tag}:{one}")
    pushed = Docker(version, Address("127.0.0.1", one)).push(name, tag, image)
    assert (pushed.ok, pushed.protocol) == (True, "v1"), pushed.output
    pulled = Docker(version, Address("127.0.0.1", other)).pull(name, tag)
    assert (pulled.ok, pulled.protocol) == (True, "v1"), pulled.output
    profile = PROFILES[version]
    chain = image.v1_chain(final_newline=profile.json_newline, closing_blocks=profile.closing_blocks)
    (found,) = pulled.pulled
    assert found.layers == tuple(each.layer for each in chain)
    assert found.metadata == tuple(each.json for each in chain)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("version", ["1.0.1", "1.5.0"])
async def test_docker_finds_its_images_whichever_took_them(tmp_path: Path, version: str) -> None:
    root = tmp_path / "volume"
    with docker_registry_0_9_1(tmp_path / "original", root=root) as original:
        storage = open_folder(root)
        async with running_v1(storage, gates=GATES) as ours:
            both_ways = ((ours.port, original.port), (original.port, ours.port))
            todo = [(name, "a..b_", way) for name in OF_OLD_DOCKER[:5] for way in both_ways]
            if version == "1.0.1":  # it checks no tag; docker-registry lists this one without its id
                todo += [("_app", "1.0+build5", (one, ours.port)) for one in (ours.port, original.port)]
            for name, tag, (one, other) in todo:
                await asyncio.to_thread(push_and_pull, version, one, other, name, tag)
        await storage.close()
