"""A full disk in the middle of a push: 507 with a sentence, nothing half visible, reads go on, the push is repeated."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.mounts import fill_up, make_read_only, mounted_tmpfs
from tests.support.serving_here import Client, digest_of, make_manifest
from tests.support.trees import read_files, read_tree

NAME = "team/app"


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    with mounted_tmpfs(tmp_path / "disk") as folder:
        yield folder


def assert_full(answer: object, body: bytes) -> None:
    (error,) = json.loads(body)["errors"]
    assert "no room left" in error["detail"]["reason"], answer


@pytest.mark.parametrize("way", ["patch", "put", "post"])
async def test_a_layer_that_does_not_fit(registry: Client, other_worker: Client, root: Path, way: str) -> None:
    kept = await registry.push_image(NAME, "kept")
    visible = read_files(root)
    layer = os.urandom(6_000_000)
    place = await registry.begin(NAME)
    target = f"?digest={digest_of(layer)}"
    match way:
        case "patch":
            answer = await registry.ask("PATCH", place, chunks=[layer[:3_000_000], layer[3_000_000:]])
        case "put":
            answer = await registry.ask("PUT", place + target, body=layer)
        case _:
            answer = await registry.ask("POST", f"/v2/{NAME}/blobs/uploads/{target}", body=layer)
    assert answer.told == (507, "INSUFFICIENT_STORAGE")
    assert_full(answer, answer.body)
    for client in (registry, other_worker):
        assert (await client.ask("GET", f"/v2/{NAME}/manifests/kept")).body == kept
        assert (await client.ask("GET", f"/v2/{NAME}/blobs/{digest_of(layer)}")).status == 404
        assert (await client.ask("GET", f"/v2/{NAME}/tags/list")).json["tags"] == ["kept"]
    assert {path: text for path, text in read_files(root).items() if "/_uploads/" not in path} == visible
    # a smaller one fits after the client gave up the large one
    assert (await other_worker.ask("DELETE", place)).status == 204
    await registry.push_image(NAME, "later", seed="later")
    assert not [path for path in read_tree(root) if ".tmp" in path]


async def test_an_upload_goes_on_where_it_stands_when_there_is_room(
    registry: Client, other_worker: Client, root: Path
) -> None:
    filler = root / "filler"
    filler.write_bytes(bytes(3_000_000))
    layer = os.urandom(2_000_000)
    place = await registry.begin(NAME)
    answer = await registry.ask(
        "PATCH", place, chunks=[layer[at : at + 100_000] for at in range(0, len(layer), 100_000)]
    )
    assert answer.told == (507, "INSUFFICIENT_STORAGE")
    filler.unlink()
    stands = await registry.ask("GET", place)
    size = (root / "docker/registry/v2/repositories" / NAME / "_uploads" / stands["Docker-Upload-UUID"] / "data").stat()
    assert stands["Range"] == f"0-{max(0, size.st_size - 1)}"
    rest = {"Content-Range": f"{size.st_size}-{len(layer) - 1}"}
    assert (await registry.ask("PATCH", place, rest, body=layer[size.st_size :])).status == 202
    assert (await other_worker.ask("PUT", f"{place}?digest={digest_of(layer)}")).status == 201
    assert (await registry.ask("GET", f"/v2/{NAME}/blobs/{digest_of(layer)}")).body == layer


async def test_every_step_of_a_push_that_finds_no_room_can_be_repeated(registry: Client, root: Path) -> None:
    """The disk has room for a little more in each turn, so another step is the first that finds none."""
    kept = await registry.push_image(NAME, "kept")
    hit = set()
    for room in range(40):
        layer, config = os.urandom(3_000), b"config %d" % room
        manifest = make_manifest(config, layer)
        fill_up(root)
        with (root / "filler").open("r+b") as file:
            file.truncate((root / "filler").stat().st_size - room * 4096)
        failed = await _push(registry, layer, config, manifest)
        (root / "filler").unlink()
        tags = (await registry.ask("GET", f"/v2/{NAME}/tags/list")).json["tags"]
        answer = await registry.ask("GET", f"/v2/{NAME}/manifests/new")
        assert (answer.status == 200) == ("new" in tags)
        assert (await registry.ask("GET", f"/v2/{NAME}/manifests/kept")).body == kept
        if not failed:
            assert answer.body == manifest
            break
        hit.add(failed)
        if answer.status == 200:
            assert answer.body == manifest
            assert (await registry.ask("GET", f"/v2/{NAME}/blobs/{digest_of(layer)}")).body == layer
        assert await _push(registry, layer, config, manifest) == ""
        assert (await registry.ask("GET", f"/v2/{NAME}/manifests/new")).body == manifest
        assert (await registry.ask("DELETE", f"/v2/{NAME}/manifests/new")).status == 202
    else:
        raise AssertionError("the push never fits")
    assert {"layer POST", "layer PATCH", "layer PUT", "manifest"} <= hit, hit


async def _push(registry: Client, layer: bytes, config: bytes, manifest: bytes) -> str:
    """Returns the step that found no room, or nothing."""
    for step, blob in (("layer", layer), ("config", config)):
        answer = await registry.ask("POST", f"/v2/{NAME}/blobs/uploads/")
        if answer.status != 202:
            assert answer.told == (507, "INSUFFICIENT_STORAGE")
            return f"{step} POST"
        answer = await registry.ask("PATCH", (place := answer.path), body=blob)
        if answer.status != 202:
            assert answer.told == (507, "INSUFFICIENT_STORAGE")
            return f"{step} PATCH"
        answer = await registry.ask("PUT", f"{place}?digest={digest_of(blob)}")
        if answer.status != 201:
            assert answer.told == (507, "INSUFFICIENT_STORAGE")
            return f"{step} PUT"
    answer = await registry.put_manifest(NAME, "new", manifest)
    if answer.status != 201:
        assert answer.told == (507, "INSUFFICIENT_STORAGE")
        return "manifest"
    return ""


async def test_a_disk_that_became_read_only_is_read_on(registry: Client, root: Path) -> None:
    kept = await registry.push_image(NAME, "kept")
    make_read_only(root)
    assert (await registry.ask("POST", f"/v2/{NAME}/blobs/uploads/")).told == (503, "UNAVAILABLE")
    assert (await registry.put_manifest(NAME, "new", kept)).told == (503, "UNAVAILABLE")
    assert (await registry.ask("GET", f"/v2/{NAME}/manifests/kept")).body == kept
