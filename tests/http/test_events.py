"""What requests of both protocols tell: who asked for what, where it can be read, and v1 in v2's words."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from backends.model.digest import Digest
from backends.model.events import Form
from backends.model.media_types import OCTET_STREAM, SCHEMA2, V1_IMAGE
from backends.registry.store import Store
from backends.storage import layout
from backends.storage.factory import open_folder
from backends.v1.registry import Registry as V1Registry
from backends.v1.settings import V1Settings
from backends.v2.registry import Registry as V2Registry
from backends.v2.settings import V2Settings
from backends.web.gates import make_gates
from backends.web.settings import GateSettings
from tests.support.event_steps import E, walk
from tests.support.formats import FORMATS, example
from tests.support.kept_events import KeptEvents, SlowEvents, UnwantedEvents
from tests.support.loopback import serve
from tests.support.pushed_examples import expected_v1
from tests.support.serving_here import OCI_MANIFEST, Client, digest_of, make_manifest
from tests.support.v1server import DOCKER, RunningRegistry, make_pushed

BASE = make_pushed("a", layer=b"base")
TOP = make_pushed("b", parent=BASE.id, layer=b"top")
GATES = make_gates(GateSettings(delete_enabled=True))


class World:
    """Both registries over one store on sockets of their own, and what they tell."""

    def __init__(self, v1: RunningRegistry, v2: Client, events: KeptEvents) -> None:
        self.v1 = v1
        self.v2 = v2
        self.events = events

    def take(self) -> list[dict[str, Any]]:
        """What came since it was last called, as it goes out."""
        return [json.loads(event.to_json(Form.V1)) for event in self.events.take()]


@contextlib.asynccontextmanager
async def running(
    root: Path, events: KeptEvents, v1: V1Settings | None = None, v2: V2Settings | None = None
) -> AsyncIterator[World]:
    storage = open_folder(root)
    store = Store(storage, events=events)
    v1_handle = V1Registry(store, v1 or V1Settings(), gates=GATES).handle
    v2_handle = V2Registry(store, v2 or V2Settings(), gates=GATES).handle
    async with serve(v1_handle) as v1_port, serve(v2_handle) as v2_port:
        yield World(RunningRegistry(v1_port), Client("127.0.0.1", v2_port), events)
    await storage.close()


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with running(tmp_path, KeptEvents()) as made:
        yield made


def without_ids(event: Mapping[str, Any]) -> dict[str, Any]:
    kept = dict(event)
    assert kept.pop("id")
    assert kept.pop("timestamp").endswith("Z")
    request = dict(kept["request"])
    assert request.pop("id")
    address, _, port = request.pop("addr").rpartition(":")
    assert (address, port.isdigit()) == ("127.0.0.1", True)
    return {**kept, "request": request}


SOURCE = {"addr": "node1:5000", "instanceID": "an-instance"}


async def test_a_v1_push_is_told_in_the_words_of_v2(world: World) -> None:
    await world.v1.push("busybox", "1.0", [BASE, TOP])
    base, top, tag = world.take()
    request = {"host": world.v1.authority, "method": "PUT", "useragent": DOCKER}
    origin = f"http://{world.v1.authority}"
    layer = str(Digest.of(b"top"))
    assert without_ids(base)["target"]["digest"] == str(Digest.of(b"base"))
    assert without_ids(top) == {
        "action": "push",
        "target": {
            "mediaType": OCTET_STREAM,
            "digest": layer,
            "size": 3,
            "length": 3,
            "url": f"{origin}/v1/images/{TOP.id}/layer",
        },
        "request": request,
        "actor": {},
        "source": SOURCE,
        "portside": {"generation": "v1", "imageID": TOP.id},
    }
    assert without_ids(tag) == {
        "action": "push",
        "target": {
            "mediaType": V1_IMAGE,
            "digest": layer,
            "size": 3,
            "length": 3,
            "repository": "busybox",
            "tag": "1.0",
            "url": f"{origin}/v1/images/{TOP.id}/json",
        },
        "request": request,
        "actor": {},
        "source": SOURCE,
        "portside": {"generation": "v1", "imageID": TOP.id},
    }
    for event in (top, tag):
        answer = await world.v1.ask("GET", event["target"]["url"].removeprefix(origin))
        assert answer.status == 200


@pytest.mark.parametrize(
    ("name", "told"),
    [("busybox", "busybox"), ("library/busybox", "busybox"), ("team/app", "team/app"), ("a/b/c", "a/b/c")],
)
async def test_v1_repositories_are_told_by_their_canonical_names(world: World, name: str, told: str) -> None:
    await world.v1.push(name, "1", [BASE])
    assert (
        await world.v1.ask("PUT", f"/v1/repositories/{name}/tags/2", body=json.dumps(BASE.id).encode())
    ).status == 200
    assert (await world.v1.ask("GET", f"/v1/repositories/{name}/images")).status == 200
    assert (await world.v1.ask("DELETE", f"/v1/repositories/{name}/tags/1")).status == 200
    assert (await world.v1.ask("DELETE", f"/v1/repositories/{name}/")).status == 200
    _, *events = world.take()
    assert [event["action"] for event in events] == ["push", "push", "pull", "delete", "delete", "delete"]
    assert {event["target"]["repository"] for event in events} == {told}
    assert events[-1]["target"] == {"repository": told}
    assert events[-1]["portside"] == {"generation": "v1"}


async def test_v1_pulls_are_told_at_their_start_by_tag_and_by_layer(world: World) -> None:
    await world.v1.push("team/app", "1", [BASE, TOP])
    world.take()
    layer, digest = f"/v1/images/{TOP.id}/layer", str(Digest.of(b"top"))
    image = {"mediaType": V1_IMAGE, "repository": "team/app"}
    origin = f"http://{world.v1.authority}"
    blob = {
        "mediaType": OCTET_STREAM, "digest": digest, "size": 3, "length": 3, "url": f"{origin}{layer}",
    }  # fmt: skip
    tagged = {"digest": digest, "size": 3, "length": 3, "tag": "1", "url": f"{origin}/v1/images/{TOP.id}/json"}
    for method in ("GET", "HEAD"):
        for path, headers, status, target in (
            ("/v1/repositories/team/app/images", (), 200, image),
            ("/v1/repositories/team/app/tags/1", (), 200, {**image, **tagged}),
            (layer, (), 200, blob),
            (layer, ("Range: bytes=1-3",), 206, blob),
            (layer, ("If-Modified-Since: Thu, 01 Jan 1970 00:00:00 GMT",), 304, blob),
            ("/v1/repositories/team/app/tags", (), 200, None),
            (f"/v1/images/{TOP.id}/json", (), 200, None),
            (f"/v1/images/{TOP.id}/ancestry", (), 200, None),
            ("/v1/repositories/team/app/tags/never", (), 404, None),
            ("/v1/repositories/team/never/images", (), 404, None),
            (f"/v1/images/{'c' * 64}/layer", (), 404, None),
            ("/v1/search?q=app", (), 200, None),
        ):
            assert (await world.v1.ask(method, path, *headers)).status == status
            told = world.take()
            assert [event["target"] for event in told] == ([target] if target else []), path
            assert [event["action"] for event in told] == ["pull"] * len(told)
            assert [event["request"]["method"] for event in told] == [method] * len(told)


async def test_v1_pulls_of_what_v2_clients_pushed_say_what_it_was(world: World) -> None:
    for file in sorted((FORMATS / "schema2-image/blobs").iterdir()):
        await world.v2.push_blob("team/app", file.read_bytes())
    await world.v2.push_blob("team/app", example("schema2-image/config.json"))
    content = example("schema2-image/manifest.json")
    assert (await world.v2.put_manifest("team/app", "1", content, SCHEMA2)).status == 201
    top, tagged = expected_v1("schema2-image")[-1].image_id, "/v1/repositories/team/app/tags/1"
    world.take()
    assert (await world.v1.ask("GET", "/v1/repositories/team/app/images")).status == 200
    told = await world.v1.ask("GET", tagged)
    made_of = f'from="{SCHEMA2}"; digest="{digest_of(content)}"; rule="schema2-to-v1"'
    assert told.head.value("X-Portside-Converted") == made_of
    assert (await world.v1.ask("GET", f"/v1/images/{top}/ancestry")).status == 200
    assert (await world.v1.ask("GET", f"/v1/images/{top}/layer")).status == 200
    begun, tag, layer = world.take()
    assert begun["target"] == {"mediaType": V1_IMAGE, "repository": "team/app"}
    assert tag["portside"] == {
        "generation": "v1",
        "imageID": top,
        "conversion": {"mediaType": SCHEMA2, "digest": digest_of(content), "rule": "schema2-to-v1"},
    }
    assert (tag["target"]["mediaType"], tag["target"]["tag"]) == (V1_IMAGE, "1")
    empty = {"digest": digest_of(example("empty-layer/empty.tar.gz")), "size": 32}
    assert layer["target"].items() >= empty.items()
    assert layer["portside"] == {"generation": "v1", "imageID": top}
    # Pushed back, it is the manifest that is told.
    back = "/v1/repositories/team/app/tags/2"
    assert (await world.v1.ask("PUT", back, body=json.dumps(top).encode())).status == 200
    (push,) = world.take()
    assert push["action"] == "push"
    expected = {"mediaType": SCHEMA2, "digest": digest_of(content), "tag": "2", "repository": "team/app"}
    assert push["target"].items() >= expected.items()


async def test_a_layer_whose_digest_nobody_knows_is_told_by_its_image(tmp_path: Path) -> None:
    quiet = KeptEvents()
    quiet.wanted = False
    async with running(tmp_path, quiet) as before:
        await before.v1.push("app", "1", [BASE])
    shutil.rmtree(f"{tmp_path}{layout.INDEX}")  # as docker-registry leaves a volume
    async with running(tmp_path, KeptEvents()) as world:
        await world.v1.ask("GET", f"/v1/images/{BASE.id}/layer")
        await world.v1.ask("GET", "/v1/repositories/app/tags/1")
        layer, tag = world.take()
        assert "digest" not in layer["target"]
        assert layer["target"]["size"] == 4
        assert layer["portside"]["imageID"] == BASE.id
        assert tag["target"].keys() == {"mediaType", "repository", "tag", "url"}
        await world.v1.ask("PUT", "/v1/repositories/app/tags/2", body=json.dumps(BASE.id).encode())
        await world.v1.ask("GET", f"/v1/images/{BASE.id}/layer")
        (push, layer) = world.take()
        assert push["target"]["digest"] == layer["target"]["digest"] == str(Digest.of(b"base"))


async def test_one_request_that_does_several_things_is_one_request_in_all_its_events(world: World) -> None:
    content = await world.v2.push_image("app", "1", "2")
    world.take()
    await world.v2.ask("DELETE", f"/v2/app/manifests/{digest_of(content)}")
    events = world.take()
    assert len(events) == 3
    assert len({event["request"]["id"] for event in events}) == 1
    assert len({event["id"] for event in events}) == 3


async def test_a_deleted_repository_is_told_with_the_request_that_did_it(world: World) -> None:
    await world.v2.push_image("app", "1")
    world.take()
    answer = await world.v2.ask("DELETE", "/v2/app/_portside/repository", {"User-Agent": "a client"})
    assert answer.status == 202
    events = world.take()
    assert [event["action"] for event in events] == ["delete"] * len(events)
    for event in events:
        request = {"host": world.v2.authority, "method": "DELETE", "useragent": "a client"}
        assert without_ids(event)["request"] == request


async def test_addresses_are_those_of_http_host_where_it_is_set(tmp_path: Path) -> None:
    host = "https://registry.example"
    v1, v2 = V1Settings(host=host), V2Settings(host=host)
    async with running(tmp_path, KeptEvents(), v1, v2) as world:
        await world.v1.push("app", "1", [BASE])
        await world.v2.push_image("app", "1")
        await world.v2.ask("GET", "/v2/app/manifests/1")
        events = world.take()
        assert len(events) == 6
        assert {event["target"]["url"].partition("/v")[0] for event in events} == {host}
        assert {event["request"]["host"] for event in events} == {world.v1.authority, world.v2.authority}


async def test_addresses_are_relative_where_location_is(tmp_path: Path) -> None:
    v2 = V2Settings(host="https://registry.example", relative_urls=True)
    async with running(tmp_path, KeptEvents(), v2=v2) as world:
        target = f"/v2/app/blobs/{digest_of(b'a')}"
        answer = await world.v2.ask("POST", f"/v2/app/blobs/uploads/?digest={digest_of(b'a')}", body=b"a")
        (event,) = world.take()
        assert event["target"]["url"] == answer["Location"] == target


async def test_what_a_stranger_says_of_a_proxy_is_not_told_to_others(world: World) -> None:
    """It is believed for `Location`, which only the stranger sees."""
    said = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "evil.example", "Forwarded": "host=evil.example",
            "X-Forwarded-For": "203.0.113.9", "X-Real-IP": "203.0.113.9"}  # fmt: skip
    digest = digest_of(b"a")
    answer = await world.v2.ask("POST", f"/v2/app/blobs/uploads/?digest={digest}", said, body=b"a")
    assert answer["Location"].startswith("https://evil.example/")
    await world.v1.ask("PUT", f"/v1/images/{BASE.id}/json", *[f"{k}: {v}" for k, v in said.items()], body=BASE.json)
    (event,) = world.take()
    assert event["target"]["url"] == f"http://{world.v2.authority}/v2/app/blobs/{digest}"
    assert without_ids(event)["request"]["method"] == "POST"


async def test_a_long_user_agent_is_cut_and_an_absent_one_is_empty(world: World) -> None:
    digest = digest_of(b"a")
    for agent, told in (({"User-Agent": "x" * 5000}, "x" * 1024), ({}, "")):
        await world.v2.ask("POST", f"/v2/app/blobs/uploads/?digest={digest}", agent, body=b"a")
        (event,) = world.take()
        assert event["request"]["useragent"] == told


async def test_tags_in_the_query_of_a_push_are_told_one_by_one(world: World) -> None:
    content = await world.v2.push_image("app")
    world.take()
    target = f"/v2/app/manifests/{digest_of(content)}?tag=a&tag=b"
    answer = await world.v2.ask("PUT", target, {"Content-Type": OCI_MANIFEST}, body=content)
    assert answer.status == 201
    assert [event["target"]["tag"] for event in world.take()] == ["a", "b"]


async def test_an_event_without_room_is_a_507_and_the_change_stays(world: World) -> None:
    config, layer = b"config", b"layer"
    for blob in (config, layer):
        await world.v2.push_blob("app", blob)
    world.events.is_full = True
    content = make_manifest(config, layer)
    answer = await world.v2.put_manifest("app", "1", content)
    assert (answer.status, answer.json["errors"][0]["code"]) == (507, "INSUFFICIENT_STORAGE")
    assert "to record this request for its notifications: send it again" in json.dumps(answer.json)
    assert (await world.v2.ask("GET", "/v2/app/manifests/1")).status == 200
    world.events.is_full = False
    world.take()
    assert (await world.v2.put_manifest("app", "1", content)).status == 201
    assert [event["target"]["tag"] for event in world.take()] == ["1"]


async def test_a_push_is_answered_once_it_is_told_and_told_though_the_client_hangs_up(tmp_path: Path) -> None:
    events = SlowEvents()
    async with running(tmp_path, events) as world:
        events.may_end.set()
        config, layer = b"config", b"layer"
        for blob in (config, layer):
            await world.v2.push_blob("app", blob)
        world.take()
        content = make_manifest(config, layer)
        for tag, hangs_up in (("stays", False), ("leaves", True)):
            events.begun.clear()
            events.may_end.clear()
            async with world.v2.connection() as peer:
                asking = asyncio.create_task(
                    world.v2.ask_on(
                        peer, "PUT", f"/v2/app/manifests/{tag}", {"Content-Type": OCI_MANIFEST}, body=content
                    )
                )
                await events.begun.wait()
                await asyncio.sleep(0.05)
                assert not asking.done()
                if hangs_up:
                    asking.cancel()
                    await asyncio.gather(asking, return_exceptions=True)
                else:
                    events.may_end.set()
                    assert (await asking).status == 201
            await asyncio.sleep(0.1)
            events.may_end.set()
            async with asyncio.timeout(5):
                await events.ended.wait()
            assert [event["target"]["tag"] for event in world.take()] == [tag]
            events.ended.clear()


async def test_where_nobody_wants_events_no_request_makes_one(tmp_path: Path) -> None:
    async with running(tmp_path, UnwantedEvents()) as world:
        await walk(world.v2)
        await world.v1.push("app", "1", [BASE, TOP])
        for path in ("images", "tags/1"):
            assert (await world.v1.ask("GET", f"/v1/repositories/app/{path}")).status == 200
        assert (await world.v1.ask("GET", f"/v1/images/{TOP.id}/layer")).status == 200
        assert (await world.v2.ask("GET", f"/v2/app/blobs/{E}")).status == 200
        assert (await world.v2.ask("GET", "/v2/app/manifests/index")).status == 200
        assert (await world.v1.ask("DELETE", "/v1/repositories/app/")).status == 200
