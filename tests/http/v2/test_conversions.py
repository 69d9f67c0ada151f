"""What a tag answers depends on its client, over a real socket: which form, what the answer says of itself, and for how
long a client waits. (What is in each form: `tests/registry/`; every client against every push: `tests/bridge/`.)"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from backends.model.conversion.policy import ConversionPolicy, ConversionRule, Permission
from backends.model.descriptors import Platform
from backends.model.events import Form
from backends.model.media_types import (
    MANIFEST_LIST,
    OCI_INDEX,
    OCI_MANIFEST,
    SCHEMA1_SIGNED,
    SCHEMA2,
    V1_IMAGE,
)
from backends.model.names import ImageId
from backends.model.v1names import parse_v1_name
from backends.registry.store import Store
from backends.registry.validation import Validation
from backends.storage import layout
from backends.storage.factory import open_folder
from backends.v2.registry import Registry
from backends.v2.settings import V2Settings
from proxy.routing import Backend
from proxy.settings import ProxySettings
from tests.support.actors import ACTOR
from tests.support.formats import example
from tests.support.kept_events import KeptEvents
from tests.support.loopback import serve
from tests.support.proxies import running_proxy
from tests.support.serving_here import Answer, Client, describe, digest_of
from tests.support.v1pushes import chunks_of, put_checksum, put_json
from tests.support.v1server import Pushed, make_pushed

NAME = "team/app"
HOST = " go/go1.4.1 git-commit/a8a31ef kernel/3.16 os/linux arch/amd64"
JSON = "application/json"

OLD = {"User-Agent": "docker/1.9.1" + HOST}
DOCKER_1_13 = {"User-Agent": "docker/1.13.1" + HOST, "Accept": f"{SCHEMA1_SIGNED}, {JSON}, {SCHEMA2}, {MANIFEST_LIST}"}
DOCKER_19 = {**DOCKER_1_13, "User-Agent": "docker/19.03.15" + HOST, "Accept": DOCKER_1_13["Accept"] + f", {OCI_INDEX}"}
ALL = f"{SCHEMA1_SIGNED}, {JSON}, {OCI_MANIFEST}, {SCHEMA2}, {MANIFEST_LIST}, {OCI_INDEX}"
DOCKER_20 = {"User-Agent": "docker/20.10.24" + HOST, "Accept": ALL}
DOCKER_28 = {"User-Agent": "docker/28.2.2" + HOST, "Accept": ALL}
CONTAINERD = {
    "User-Agent": "containerd/2.2.7",
    "Accept": f"{SCHEMA2}, {MANIFEST_LIST}, {OCI_MANIFEST}, {OCI_INDEX}, */*",
}
CURL = {"User-Agent": "curl/7.88.1", "Accept": "*/*"}
NOTHING = {"User-Agent": "Go-http-client/1.1"}
CLIENTS = {
    "docker 1.9": OLD,
    "docker 1.13": DOCKER_1_13,
    "docker 19.03": DOCKER_19,
    "docker 20.10": DOCKER_20,
    "docker 28": DOCKER_28,
    "containerd": CONTAINERD,
    "curl": CURL,
    "no Accept": NOTHING,
}


def path_of(reference: str, name: str = NAME) -> str:
    return f"/v2/{name}/manifests/{reference}"


def as_sent(headers: Mapping[str, str], method: str) -> list[tuple[str, str]]:
    """Docker sends a line for each type that it accepts, in another order each time; others send one."""
    pairs = [(name, value) for name, value in headers.items() if name != "Accept"]
    accept = headers.get("Accept", "")
    if headers.get("User-Agent", "").startswith("docker/"):
        types = accept.split(", ") if accept else []
        return [*pairs, *(("Accept", each) for each in (types if method == "GET" else reversed(types)))]
    return [*pairs, *([("Accept", accept)] if accept else [])]


Children = Sequence[tuple[bytes, str, dict[str, str]]]
"""Manifests, their types, their platforms."""


class World:
    """A registry over a folder, and what is pushed to it."""

    def __init__(self, store: Store, client: Client) -> None:
        self.store = store
        self.client = client

    async def get(self, tag: str, headers: Mapping[str, str], *, method: str = "GET") -> Answer:
        return await self.client.ask(method, path_of(tag), as_sent(headers, method))

    async def push(self, tag: str, folder: str, *, media_type: str) -> bytes:
        """Pushes one of the worked examples."""
        manifest = example(f"{folder}/manifest.json")
        document = json.loads(manifest)
        await self.client.push_blob(NAME, example(f"{folder}/config.json"))
        for layer in document["layers"]:
            digest = layer["digest"].removeprefix("sha256:")
            await self.client.push_blob(NAME, example(f"{folder}/blobs/{digest}"))
        answer = await self.client.put_manifest(NAME, tag, manifest, media_type)
        assert answer.status == 201, answer
        return manifest

    async def push_index(self, tag: str, children: Children, media_type: str) -> bytes:
        entries = [{**describe(child, kind), "platform": platform} for child, kind, platform in children]
        content = json.dumps({"schemaVersion": 2, "mediaType": media_type, "manifests": entries}).encode()
        assert (await self.client.put_manifest(NAME, tag, content, media_type)).status == 201
        return content

    async def push_v1(self, tag: str, images: Sequence[Pushed]) -> None:
        for image in images:
            await put_json(self.store.v1_images, image)
            await self.store.v1_images.put_layer(ImageId(image.id), chunks_of(image.layer, 1024 * 1024))
            await put_checksum(self.store.v1_images, image)
        image_id = ImageId(images[-1].id)
        await self.store.tags.move_v1(parse_v1_name(NAME), tag, image_id, actor=ACTOR, now=0, telling=None)


@contextlib.asynccontextmanager
async def running(root: Path, settings: V2Settings | None = None, **parts: Any) -> AsyncIterator[World]:
    storage = open_folder(root)
    store = Store(storage, **parts)
    async with serve(Registry(store, settings or V2Settings()).handle) as port:
        yield World(store, Client("127.0.0.1", port))
    await store.close()
    await storage.close()


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with running(tmp_path / "root") as made:
        yield made


AMD64, ARM64 = {"os": "linux", "architecture": "amd64"}, {"os": "linux", "architecture": "arm64"}
WINDOWS = {"os": "windows", "architecture": "amd64"}
EXAMPLE_V1 = "v1-pushed-by-docker-1.5.0"
EXAMPLE_IDS = ("0-272cfe373d33", "1-9d5c999b7921", "2-e46ba0e82218")


def v1_example() -> list[Pushed]:
    texts = [example(f"{EXAMPLE_V1}/{each}.json") for each in EXAMPLE_IDS]
    layers = [example(f"{EXAMPLE_V1}/{each}.layer") for each in EXAMPLE_IDS]
    return [Pushed(json.loads(text)["id"], text, layer) for text, layer in zip(texts, layers, strict=True)]


async def push_everything(world: World) -> None:
    """A tag for each form."""
    schema2 = await world.push("schema2", "schema2-image", media_type=SCHEMA2)
    oci = await world.push("oci", "oci-image", media_type=OCI_MANIFEST)
    zstd = await world.push("zstd", "oci-zstd-image", media_type=OCI_MANIFEST)
    await world.push_index("list", [(schema2, SCHEMA2, AMD64)], MANIFEST_LIST)
    await world.push_index("index", [(oci, OCI_MANIFEST, AMD64)], OCI_INDEX)
    await world.push_index("zstd-index", [(zstd, OCI_MANIFEST, AMD64)], OCI_INDEX)
    await world.push_v1("v1", v1_example())


# What each client gets of each tag; the rest of the rules: tests/unit/test_negotiation.py.
S1, S2, LIST, OCI, INDEX = SCHEMA1_SIGNED, SCHEMA2, MANIFEST_LIST, OCI_MANIFEST, OCI_INDEX
TAGS = ("v1", "schema2", "oci", "zstd", "list", "index", "zstd-index")
EXPECTED = {
    "docker 1.9": (S1, S1, S1, S1, S1, S1, S1),
    "docker 1.13": (S2, S2, S2, S2, LIST, LIST, LIST),
    "docker 19.03": (S2, S2, S2, S2, LIST, LIST, LIST),
    "docker 20.10": (S2, S2, OCI, OCI, LIST, INDEX, INDEX),
    "docker 28": (S2, S2, OCI, OCI, LIST, INDEX, INDEX),
    "containerd": (S2, S2, OCI, OCI, LIST, INDEX, INDEX),
    "curl": (S2, S2, OCI, OCI, LIST, INDEX, INDEX),
    "no Accept": (S1, S1, S1, S1, S1, S1, S1),
}
AS_PUSHED = {"schema2": S2, "oci": OCI, "zstd": OCI, "list": LIST, "index": INDEX, "zstd-index": INDEX}
NO_ZSTD = {"docker 1.9", "docker 1.13", "docker 19.03", "docker 20.10"}


def is_converted(client: str, tag: str, form: str) -> bool:
    return AS_PUSHED.get(tag) != form or ("zstd" in tag and client in NO_ZSTD)


def headers_of(answer: Answer) -> list[tuple[str, str]]:
    return [each for each in answer.head.headers if each[0] != "Date"]


async def named_blobs(world: World, content: bytes, headers: Mapping[str, str]) -> list[tuple[str, int]]:
    """The blobs that a manifest names, with their sizes (0 where it says none), those of its children too."""
    document = json.loads(content)
    if "manifests" in document:
        found: list[tuple[str, int]] = []
        for entry in document["manifests"]:
            child = await world.get(entry["digest"], headers)
            assert (child.status, len(child.body)) == (200, entry["size"]), entry
            assert child["Content-Type"] == entry["mediaType"]
            found += await named_blobs(world, child.body, headers)
        return found
    if "fsLayers" in document:
        return [(each["blobSum"], 0) for each in document["fsLayers"]]
    return [(each["digest"], each["size"]) for each in (document["config"], *document["layers"])]


@pytest.mark.parametrize("client", CLIENTS)
async def test_each_client_gets_what_it_reads_and_can_fetch_all_of_it(world: World, client: str) -> None:
    await push_everything(world)
    headers = CLIENTS[client]
    for tag, form in zip(TAGS, EXPECTED[client], strict=True):
        head = await world.get(tag, headers, method="HEAD")
        answer = await world.get(tag, headers)
        assert (answer.status, answer["Content-Type"]) == (200, form), (tag, answer)
        assert (head.status, head.body, headers_of(head)) == (200, b"", headers_of(answer)), tag
        assert answer["Vary"] == "Accept, User-Agent"
        digest = answer["Docker-Content-Digest"]
        assert answer["Etag"] == f'"{digest}"'
        # What was shown is there by its digest, whoever asks: for all, and to the byte.
        by_digest = await world.get(digest, NOTHING)
        assert (by_digest.status, by_digest.body, by_digest["Content-Type"]) == (200, answer.body, form), tag
        if form != S1:
            assert digest == digest_of(answer.body)
        converted = is_converted(client, tag, form)
        for each in (answer, by_digest):
            assert ("299 - " in (each.head.value("Warning") or "")) == converted, (tag, each)
            assert (each.head.value("X-Portside-Converted") is not None) == converted
        for blob, size in await named_blobs(world, answer.body, headers):
            found = await world.client.ask("HEAD", f"/v2/{NAME}/blobs/{blob}", headers)
            assert found.status == 200, (tag, blob)
            assert size in {0, int(found["Content-Length"])}
            content = (await world.client.ask("GET", f"/v2/{NAME}/blobs/{blob}", headers)).body
            assert digest_of(content) == blob
            assert not (client in NO_ZSTD and content.startswith(bytes.fromhex("28b52ffd")))


async def test_a_converted_answer_names_its_original_and_the_rule(world: World) -> None:
    await push_everything(world)
    answer = await world.get("v1", DOCKER_28)
    top = v1_example()[-1].id
    assert answer["X-Portside-Converted"] == f'from="{V1_IMAGE}"; digest="{top}"; rule="v1-to-schema2"'
    assert answer["Warning"] == f'299 - "converted for this client from {V1_IMAGE}, {top} (v1-to-schema2)"'
    native = await world.get("zstd", DOCKER_28)
    answer = await world.get("zstd", DOCKER_20)
    assert answer["X-Portside-Converted"] == (
        f'from="{OCI_MANIFEST}"; digest="{native["Docker-Content-Digest"]}"; rule="zstd-to-gzip"'
    )


async def test_a_condition_is_about_what_this_client_would_get(world: World) -> None:
    await world.push("x", "schema2-image", media_type=SCHEMA2)
    native, converted = await world.get("x", DOCKER_28), await world.get("x", OLD)
    for own, other, headers in ((native, converted, DOCKER_28), (converted, native, OLD)):
        for method in ("GET", "HEAD"):
            answer = await world.get("x", {**headers, "If-None-Match": own["Etag"]}, method=method)
            assert (answer.status, answer.body, answer["Etag"]) == (304, b"", own["Etag"])
            assert answer["Vary"] == "Accept, User-Agent"
            assert (await world.get("x", {**headers, "If-None-Match": other["Etag"]}, method=method)).status == 200


async def test_schema_1_names_its_repository_and_tag(world: World) -> None:
    await world.push("x", "schema2-image", media_type=SCHEMA2)
    assert (await world.client.put_manifest(NAME, "y", example("schema2-image/manifest.json"), SCHEMA2)).status == 201
    x, y = await world.get("x", OLD), await world.get("y", OLD)
    assert (x.json["name"], x.json["tag"], y.json["tag"]) == (NAME, "x", "y")
    assert x["Docker-Content-Digest"] != y["Docker-Content-Digest"]


ARTIFACT = {
    "schemaVersion": 2,
    "mediaType": OCI_MANIFEST,
    "artifactType": "application/vnd.example.sbom",
    "config": describe(b"{}", "application/vnd.oci.empty.v1+json"),
    "layers": [describe(b"an SBOM", "application/spdx+json")],
}


async def push_artifact(world: World, tag: str) -> bytes:
    for content in (b"{}", b"an SBOM"):
        await world.client.push_blob(NAME, content)
    content = json.dumps(ARTIFACT).encode()
    assert (await world.client.put_manifest(NAME, tag, content)).status == 201
    return content


@pytest.mark.parametrize(
    ("client", "reads"),
    [("docker 1.9", [SCHEMA1_SIGNED]), ("docker 1.13", [MANIFEST_LIST, SCHEMA2])],
)
async def test_what_cannot_be_converted_is_a_404_with_a_sentence_and_its_facts(
    world: World, client: str, reads: list[str]
) -> None:
    content = await push_artifact(world, "x")
    answer = await world.get("x", CLIENTS[client])
    assert answer.told == (404, "MANIFEST_UNKNOWN")
    (error,) = answer.json["errors"]
    assert error["detail"] == {
        "Tag": "x",
        "stored": {"mediaType": OCI_MANIFEST, "digest": digest_of(content)},
        "reads": sorted(reads),
    }
    assert "not a container image" in error["message"]
    assert "application/vnd.example.sbom" in error["message"]
    assert answer["Vary"] == "Accept, User-Agent"
    head = await world.get("x", CLIENTS[client], method="HEAD")
    assert (head.status, head["Content-Length"]) == (404, str(len(answer.body)))


@pytest.mark.parametrize("client", ["docker 19.03", "docker 28", "containerd", "curl", "no Accept"])
async def test_who_can_read_an_artifact_or_takes_anything_gets_it(world: World, client: str) -> None:
    content = await push_artifact(world, "x")
    answer = await world.get("x", CLIENTS[client])
    if client == "docker 19.03":  # it lists OCI's index only
        assert answer.status == 404
    else:
        assert (answer.status, answer.body, answer["Content-Type"]) == (200, content, OCI_MANIFEST)
        assert answer.head.value("X-Portside-Converted") is None


async def test_of_windows_alone_there_is_nothing_for_old_docker(world: World) -> None:
    schema2 = await world.push("x", "schema2-image", media_type=SCHEMA2)
    await world.push_index("windows", [(schema2, SCHEMA2, WINDOWS)], MANIFEST_LIST)
    answer = await world.get("windows", OLD)
    assert answer.told == (404, "MANIFEST_UNKNOWN")
    assert "windows/amd64" in answer.json["errors"][0]["message"]
    assert (await world.get("windows", NOTHING))["Content-Type"] == MANIFEST_LIST


async def test_an_index_whose_image_is_missing_is_a_404_that_says_so(tmp_path: Path) -> None:
    absent = json.dumps({"schemaVersion": 2, "config": describe(b"c", "a/b"), "layers": []}).encode()
    async with running(tmp_path, validation=Validation(children=False)) as world:
        index = await world.push_index("x", [(absent, OCI_MANIFEST, AMD64)], OCI_INDEX)
        for accept in (OCI_MANIFEST, SCHEMA2, SCHEMA1_SIGNED):
            answer = await world.get("x", {"Accept": accept})
            assert answer.told == (404, "MANIFEST_UNKNOWN")
            assert digest_of(absent) in answer.json["errors"][0]["message"]
        assert (await world.get("x", NOTHING)).body == index


async def test_who_accepts_only_what_is_not_there_hears_what_is(world: World) -> None:
    await world.push("x", "oci-image", media_type=OCI_MANIFEST)
    answer = await world.get("x", {"Accept": MANIFEST_LIST})
    assert answer.told == (404, "MANIFEST_UNKNOWN")
    assert OCI_MANIFEST in answer.json["errors"][0]["message"]


async def test_a_client_gets_the_image_for_its_machine_else_for_the_configured_one(tmp_path: Path) -> None:
    policy = ConversionPolicy(Platform("arm64", "linux"))
    async with running(tmp_path, conversion_policy=policy) as world:
        amd64 = await world.push("amd64", "schema2-image", media_type=SCHEMA2)
        arm64 = amd64 + b"\n"
        assert (await world.client.put_manifest(NAME, "arm64", arm64, SCHEMA2)).status == 201
        await world.push_index("x", [(amd64, SCHEMA2, AMD64), (arm64, SCHEMA2, ARM64)], MANIFEST_LIST)
        for agent, content in (("docker/1.13.1" + HOST, amd64), ("docker/1.13.1", arm64), ("curl/8", arm64)):
            answer = await world.get("x", {"User-Agent": agent, "Accept": SCHEMA2})
            assert (answer.body, answer["Content-Type"]) == (content, SCHEMA2), agent
            assert answer.head.value("X-Portside-Converted") is None
            assert answer["Docker-Content-Digest"] == digest_of(content)


async def test_what_is_shown_outlives_the_process_that_made_it(tmp_path: Path) -> None:
    async with running(tmp_path) as world:
        await push_everything(world)
        shown = [await world.get(tag, headers) for headers in (OLD, DOCKER_1_13, DOCKER_20) for tag in TAGS]
    async with running(tmp_path) as again:
        for answer in shown:
            found = await again.get(answer["Docker-Content-Digest"], CURL)
            assert (found.status, found.body) == (200, answer.body)


# waiting


@contextlib.asynccontextmanager
async def held(root: Path) -> AsyncIterator[None]:
    """Until the end of the block another process holds the repository, for which every conversion in it waits."""
    storage = open_folder(root)
    async with storage.locks.hold(layout.repository_lock(NAME)):
        yield
    await storage.close()


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_who_waits_long_is_sent_to_the_same_address_until_the_image_is_ready(tmp_path: Path, method: str) -> None:
    async with running(tmp_path, replace(V2Settings(), patience_seconds=0.004)) as world:
        await world.push_v1("x", [make_pushed("a")])
        origin = f"http://{world.client.authority}"
        target = f"/v2/{NAME}/manifests/x?ns=docker.io"
        async with held(tmp_path):
            for count in range(1, 9):
                answer = await world.client.ask(method, target, CONTAINERD)
                assert (answer.status, answer.body) == (307, b"")
                target = f"/v2/{NAME}/manifests/x?ns=docker.io&portside-wait={count}"
                assert answer["Location"] == f"{origin}{target}"
        target = f"/v2/{NAME}/manifests/x?ns=docker.io"
        while (answer := await world.client.ask(method, target, CONTAINERD)).status == 307:
            target = answer.path.replace("wait=8", "wait=7")
        assert (answer.status, answer["Content-Type"]) == (200, SCHEMA2)


async def test_after_eight_redirects_a_client_is_told_to_come_again(tmp_path: Path) -> None:
    async with running(tmp_path, replace(V2Settings(), patience_seconds=0.001)) as world:
        await world.push_v1("x", [make_pushed("a")])
        deadline = time.monotonic() + 60
        async with held(tmp_path):
            reason = ""
            while "layer 1 of 1" not in reason:  # before that, the conversion has only just begun
                assert time.monotonic() < deadline, reason
                answer = await world.client.ask("GET", path_of("x") + "?portside-wait=8", CONTAINERD)
                assert answer.told == (503, "UNAVAILABLE")
                assert int(answer["Retry-After"]) >= 1
                reason = answer.json["errors"][0]["detail"]["reason"]
        while (await world.get("x", CONTAINERD)).status != 200:  # the work goes on although nobody waited
            assert time.monotonic() < deadline


@pytest.mark.parametrize("form", [SCHEMA2, OCI_MANIFEST, MANIFEST_LIST, OCI_INDEX])
async def test_who_is_about_to_push_over_a_large_old_image_is_not_kept_waiting(tmp_path: Path, form: str) -> None:
    """containerd's pusher asks for its own form, or anything; it pushes after a 404 alone, and follows redirects."""
    async with running(tmp_path, replace(V2Settings(), patience_seconds=0.001)) as world:
        await world.push_v1("x", [make_pushed("a")])
        pusher = {"User-Agent": "containerd/2.2.7", "Accept": f"{form}, */*"}
        async with held(tmp_path):
            answer = await world.get("x", pusher, method="HEAD")
            assert (answer.status, answer["Vary"]) == (404, "Accept, User-Agent")
            if form in {SCHEMA2, OCI_MANIFEST}:  # who wants the image itself waits, as who asks for several forms
                assert (await world.get("x", pusher)).status == 307
            assert (await world.get("x", CONTAINERD, method="HEAD")).status == 307


@pytest.mark.parametrize("said", ["0", "-1", "9", "99999999999999999999", "x", "", "%31", "1&portside-wait=2"])
async def test_a_count_that_we_did_not_write_begins_anew(tmp_path: Path, said: str) -> None:
    async with running(tmp_path, replace(V2Settings(), patience_seconds=0.001)) as world:
        await world.push_v1("x", [make_pushed("a")])
        async with held(tmp_path):
            answer = await world.client.ask("GET", f"{path_of('x')}?portside-wait={said}", CONTAINERD)
        assert answer.status == 307
        assert answer.path in {f"{path_of('x')}?portside-wait={count}" for count in (1, 2)}


async def test_who_need_not_wait_is_not_asked_how_often_it_has(world: World) -> None:
    await world.push("x", "oci-image", media_type=OCI_MANIFEST)
    assert (await world.client.ask("GET", path_of("x") + "?portside-wait=8", DOCKER_28)).status == 200


# the proxy


@pytest.mark.parametrize("prefix", ["", "/registry"])
@pytest.mark.parametrize("here", [True, False], ids=["in one process", "in another"])
async def test_the_proxy_passes_redirects_and_what_is_said_of_a_conversion(
    tmp_path: Path,
    here: bool,  # noqa: FBT001 - a table's column
    prefix: str,
) -> None:
    settings = replace(V2Settings(), patience_seconds=0.004, prefix=prefix)
    storage = open_folder(tmp_path)
    store = Store(storage)
    handle = Registry(store, settings).handle
    async with serve(handle) as port:
        world = World(store, Client("127.0.0.1", port))
        await world.push_v1("x", [make_pushed("a")])
        upstream = handle if here else f"http://127.0.0.1:{port}"
        async with running_proxy({Backend.V2: upstream}, settings=ProxySettings(prefix=prefix)) as proxy:
            client = Client("127.0.0.1", proxy.port)
            target = f"{prefix}/v2/{NAME}/manifests/x"
            async with held(tmp_path):
                answer = await client.ask("GET", target, CONTAINERD)
            assert answer.status == 307
            while answer.status == 307:
                assert answer["Location"].startswith(f"http://{client.authority}{prefix}/v2/{NAME}/manifests/x?")
                answer = await client.ask("GET", answer.path.replace("wait=8", "wait=7"), CONTAINERD)
            assert (answer.status, answer["Content-Type"]) == (200, SCHEMA2)
            assert answer["Vary"] == "Accept, User-Agent"
            assert answer["Warning"].startswith('299 - "converted')
            assert "v1-to-schema2" in answer["X-Portside-Converted"]
    await store.close()
    await storage.close()


# events


async def test_the_event_of_a_pull_names_what_was_sent_and_what_it_was_made_of(tmp_path: Path) -> None:
    events = KeptEvents(includes_references=True)
    async with running(tmp_path, events=events) as world:
        await world.push("x", "oci-image", media_type=OCI_MANIFEST)
        native = (await world.get("x", DOCKER_28))["Docker-Content-Digest"]
        events.take()
        answer = await world.get("x", OLD)
        (event,) = [json.loads(each.to_json(Form.V2)) for each in events.take()]
        digest = answer["Docker-Content-Digest"]
        assert event["portside"] == {
            "conversion": {"mediaType": OCI_MANIFEST, "digest": native, "rule": "oci-to-schema1"}
        }
        target = event["target"]
        assert (target["mediaType"], target["digest"], target["tag"]) == (SCHEMA1_SIGNED, digest, "x")
        assert target["size"] < len(answer.body)  # of what the digest names: without signatures
        assert target["url"].endswith(f"/v2/{NAME}/manifests/{digest}")
        assert [each["digest"] for each in target["references"]] == [
            each["blobSum"] for each in answer.json["fsLayers"]
        ]
        await world.get(digest, OLD)
        (event,) = [json.loads(each.to_json(Form.V2)) for each in events.take()]
        assert event["portside"]["conversion"]["digest"] == native
        assert "tag" not in event["target"]


# what an operator forbids


def ruled(permission: Permission) -> ConversionPolicy:
    return ConversionPolicy(rules=(ConversionRule("team/*", permission),))


async def test_where_conversions_are_forbidden_there_are_none_and_the_sentence_says_so(tmp_path: Path) -> None:
    async with running(tmp_path) as world:
        await push_everything(world)
        shown = await world.get("oci", OLD)
    async with running(tmp_path, conversion_policy=ruled(Permission.FORBID)) as world:
        for tag in ("oci", "v1"):
            answer = await world.get(tag, OLD)
            assert answer.told == (404, "MANIFEST_UNKNOWN")
            assert "forbid" in answer.json["errors"][0]["message"]
            assert NAME in answer.json["errors"][0]["message"]
        assert (await world.get(shown["Docker-Content-Digest"], OLD)).status == 404
        # What is no conversion: what was pushed, and an image chosen from a list.
        assert (await world.get("oci", DOCKER_28))["Content-Type"] == OCI_MANIFEST
        assert (await world.get("oci", NOTHING))["Content-Type"] == OCI_MANIFEST
        assert (await world.get("list", {"Accept": SCHEMA2}))["Content-Type"] == SCHEMA2


async def test_where_conversions_are_pinned_those_that_were_made_stay_and_no_others_are_made(tmp_path: Path) -> None:
    async with running(tmp_path) as world:
        await push_everything(world)
        shown = await world.get("oci", OLD)
    async with running(tmp_path, conversion_policy=ruled(Permission.PINNED)) as world:
        answer = await world.get("oci", OLD)
        assert (answer.status, answer.body) == (200, shown.body)
        assert (await world.get(shown["Docker-Content-Digest"], OLD)).body == shown.body
        answer = await world.get("schema2", OLD)
        assert answer.told == (404, "MANIFEST_UNKNOWN")
        assert "gateway.conversions.rules: pinned" in answer.json["errors"][0]["message"]
        assert answer.json["errors"][0]["message"].endswith("portside inspect --convert")
        assert (await world.get("schema2", NOTHING))["Content-Type"] == SCHEMA2
