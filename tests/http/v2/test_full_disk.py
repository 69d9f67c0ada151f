"""A full disk in the middle of a push: 507 with a sentence, nothing of it is left, reads go on, a small push fits."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from backends.model import jws
from tests.support.mounts import fill_up, make_read_only, mounted_ext4, mounted_tmpfs
from tests.support.serving_here import Answer, Client, digest_of, make_manifest
from tests.support.trees import read_files, read_tree

NAME = "team/app"
SIGNED = "application/vnd.docker.distribution.manifest.v1+prettyjws"


@pytest.fixture(params=[mounted_tmpfs, mounted_ext4])
def root(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    mounted: Callable[[Path], AbstractContextManager[Path]] = request.param
    with mounted(tmp_path / "disk") as folder:
        yield folder


def assert_full(answer: Answer) -> None:
    assert answer.told == (507, "INSUFFICIENT_STORAGE")
    (error,) = answer.json["errors"]
    assert "no room left" in error["detail"]["reason"], answer
    assert "nothing of this upload was kept" in error["detail"]["reason"], answer


def uploads(root: Path) -> list[str]:
    """All that there is of uploads."""
    return [path for path in read_tree(root) if "/_uploads/" in path]


async def push_in_chunks(registry: Client, place: str, layer: bytes) -> Answer:
    """The first chunk fits, and the second one or the third does not."""
    size = 1_500_000
    for at in range(0, len(layer), size):
        chunk = layer[at : at + size]
        answer = await registry.ask("PATCH", place, {"Content-Range": f"{at}-{at + len(chunk) - 1}"}, body=chunk)
        if answer.status != 202:
            assert at
            return answer
    raise AssertionError("all of it fitted")


@pytest.mark.parametrize("way", ["patch", "chunks", "put", "post"])
async def test_a_layer_that_does_not_fit_leaves_nothing_and_a_small_push_fits(
    registry: Client, other_worker: Client, root: Path, way: str
) -> None:
    kept = await registry.push_image(NAME, "kept")
    visible = read_files(root)
    layer = os.urandom(9_000_000)
    place = await registry.begin(NAME)
    target = f"?digest={digest_of(layer)}"
    match way:
        case "patch":
            answer = await registry.ask("PATCH", place, chunks=[layer[:3_000_000], layer[3_000_000:]])
        case "chunks":
            answer = await push_in_chunks(registry, place, layer)
        case "put":
            answer = await registry.ask("PUT", place + target, body=layer)
        case _:
            assert (await registry.ask("DELETE", place)).status == 204
            answer = await registry.ask("POST", f"/v2/{NAME}/blobs/uploads/{target}", body=layer)
    assert_full(answer)
    assert read_files(root) == visible
    assert uploads(root) == []
    for client in (registry, other_worker):
        assert (await client.ask("GET", f"/v2/{NAME}/manifests/kept")).body == kept
        assert (await client.ask("GET", f"/v2/{NAME}/blobs/{digest_of(layer)}")).status == 404
        assert (await client.ask("GET", f"/v2/{NAME}/tags/list")).json["tags"] == ["kept"]
        assert (await client.ask("GET", place)).told == (404, "BLOB_UPLOAD_UNKNOWN")
    await other_worker.push_image(NAME, "later", seed="later")
    await other_worker.push_blob(NAME, os.urandom(2_000_000))
    assert uploads(root) == []
    assert not [path for path in read_tree(root) if ".tmp" in path]


async def test_many_that_fill_the_disk_together_leave_nothing_and_one_fits_then(
    registry: Client, other_worker: Client, root: Path
) -> None:
    visible = read_files(root) if await registry.push_image(NAME, "kept") else {}
    layers = [os.urandom(2_500_000) for _ in range(6)]
    pushes = [
        (registry, other_worker)[number % 2].ask(
            "POST", f"/v2/{NAME}/blobs/uploads/?digest={digest_of(layer)}", body=layer
        )
        for number, layer in enumerate(layers)
    ]
    answers = await asyncio.gather(*pushes)
    assert {answer.status for answer in answers} <= {201, 507}
    assert 507 in {answer.status for answer in answers}
    stored = {digest_of(layer) for layer, answer in zip(layers, answers, strict=True) if answer.status == 201}
    assert uploads(root) == []
    left = {path for path in read_files(root) if path not in visible and "/index/holders/" not in path}  # hints
    hexes = {digest.partition(":")[2] for digest in stored}
    assert all(any(text in path for text in hexes) for path in left), left
    for digest in stored:
        assert digest_of((await registry.ask("GET", f"/v2/{NAME}/blobs/{digest}")).body) == digest


async def test_what_is_in_the_way_of_a_full_disk_can_be_deleted(registry: Client, root: Path) -> None:
    """Also where our folder for temporary files is gone, and there is no room to make it."""
    await registry.push_image(NAME, "kept")
    layer = os.urandom(500_000)
    digest = await registry.push_blob(NAME, layer)
    begun = await registry.begin(NAME)
    assert (await registry.ask("PATCH", begun, body=bytes(100_000))).status == 202
    (root / "docker/registry/portside/tmp").rmdir()
    fill_up(root)
    assert (await registry.ask("DELETE", begun)).status == 204
    assert (await registry.ask("DELETE", f"/v2/{NAME}/blobs/{digest}")).status == 202
    assert (await registry.ask("DELETE", f"/v2/{NAME}/manifests/kept")).status == 202


async def test_every_step_of_a_push_that_finds_no_room_can_be_repeated(registry: Client, root: Path) -> None:
    """The disk has room for a little more in each turn, so another step is the first that finds none."""
    kept = await registry.push_image(NAME, "kept")
    hit = set()
    for room in range(60):
        layer, config = os.urandom(30_000), b"config %d" % room
        manifest = make_manifest(config, layer)
        fill_up(root)
        with (root / "filler").open("r+b") as file:
            file.truncate((root / "filler").stat().st_size - room * 4096)
        failed = await _push(registry, root, layer, config, manifest)
        (root / "filler").unlink()
        assert uploads(root) == []
        assert not [path for path in read_tree(root) if ".tmp" in path]
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
        assert await _push(registry, root, layer, config, manifest) == ""
        assert (await registry.ask("GET", f"/v2/{NAME}/manifests/new")).body == manifest
        assert (await registry.ask("DELETE", f"/v2/{NAME}/manifests/new")).status == 202
    else:
        raise AssertionError("the push never fits")
    assert {"layer POST", "layer PATCH", "manifest"} <= hit, hit
    assert hit & {"layer PUT", "config PUT"}, hit


async def _push(registry: Client, root: Path, layer: bytes, config: bytes, manifest: bytes) -> str:
    """Returns the step that found no room, or nothing."""
    for step, blob in (("layer", layer), ("config", config)):
        answer = await registry.ask("POST", f"/v2/{NAME}/blobs/uploads/")
        if answer.status != 202:
            assert_full(answer)
            return f"{step} POST"
        answer = await registry.ask("PATCH", (place := answer.path), body=blob)
        if answer.status != 202:
            assert_full(answer)
            return f"{step} PATCH"
        answer = await registry.ask("PUT", f"{place}?digest={digest_of(blob)}")
        if answer.status != 201:
            assert_full(answer)
            left = [path for path in read_tree(root) if digest_of(blob).partition(":")[2] in path]
            assert left == []
            return f"{step} PUT"
    answer = await registry.put_manifest(NAME, "new", manifest)
    if answer.status != 201:
        assert_full(answer)
        marks = (digest_of(manifest).partition(":")[2], "/tags/new")
        assert [path for path in read_tree(root) if any(mark in path for mark in marks)] == []
        return "manifest"
    return ""


async def test_who_pulls_what_there_is_no_room_to_convert_is_not_told_to_push(registry: Client, root: Path) -> None:
    tar = bytes(1024)
    config = json.dumps({"os": "linux", "rootfs": {"type": "layers", "diff_ids": [digest_of(tar)]}}).encode()
    for blob in (config, tar):
        await registry.push_blob(NAME, blob)
    assert (await registry.put_manifest(NAME, "new", make_manifest(config, tar))).status == 201
    fill_up(root)
    before = read_files(root)
    schema2 = {"Accept": "application/vnd.docker.distribution.manifest.v2+json"}
    answer = await registry.ask("GET", f"/v2/{NAME}/manifests/new", schema2)
    assert answer.told == (507, "INSUFFICIENT_STORAGE")
    (error,) = answer.json["errors"]
    assert "pull again" in error["detail"]["reason"], answer
    assert "push" not in error["detail"]["reason"], answer
    assert read_files(root) == before
    (root / "filler").unlink()
    assert (await registry.ask("GET", f"/v2/{NAME}/manifests/new", schema2)).status == 200


async def test_a_disk_that_became_read_only_is_read_on(registry: Client, root: Path) -> None:
    kept = await registry.push_image(NAME, "kept")
    make_read_only(root)
    assert (await registry.ask("POST", f"/v2/{NAME}/blobs/uploads/")).told == (503, "UNAVAILABLE")
    assert (await registry.put_manifest(NAME, "new", kept)).told == (503, "UNAVAILABLE")
    assert (await registry.ask("GET", f"/v2/{NAME}/manifests/kept")).body == kept


@pytest.mark.parametrize("trouble", [make_read_only, fill_up])
async def test_schema_1_without_a_kept_signature_is_pulled_though_no_key_can_be_kept(
    registry: Client, root: Path, trouble: Callable[[Path], object]
) -> None:
    await registry.push_blob(NAME, b"layer")
    document = {
        "schemaVersion": 1,
        "name": NAME,
        "tag": "old",
        "architecture": "amd64",
        "fsLayers": [{"blobSum": digest_of(b"layer")}],
        "history": [{"v1Compatibility": json.dumps({"id": "a" * 64})}],
    }
    content = jws.sign(json.dumps(document).encode(), ec.generate_private_key(ec.SECP256R1()))
    assert (await registry.put_manifest(NAME, "old", content, SIGNED)).status == 201
    # as a volume of distribution 2.3 and later has none
    (root / f"docker/registry/portside/primary/schema1/{NAME}/_signed").rename(root / "away")
    trouble(root)
    for _ in range(2):
        answer = await registry.ask("GET", f"/v2/{NAME}/manifests/old")
        assert answer.status == 200
        assert jws.verify(answer.body) == jws.verify(content)
    if trouble is fill_up:
        (root / "filler").unlink()
        bodies = {(await registry.ask("GET", f"/v2/{NAME}/manifests/old")).body for _ in range(2)}
        assert len(bodies) == 1
        assert (root / "docker/registry/portside/primary/keys/schema1.pem").exists()
