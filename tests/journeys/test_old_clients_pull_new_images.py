"""Docker before 1.6 pulls what v2 clients pushed, through the proxy, and pushes it back (FORMATS 3 and 7.1)."""

from __future__ import annotations

import gzip
import json
import uuid

import pytest

from tests.support.docker import Docker
from tests.support.formats import FORMATS, example, example_json
from tests.support.http_calls import Caller
from tests.support.images import Pulled, V1Image, digest_of, make_image
from tests.support.media_types import DOCKER_CONFIG, DOCKER_GZIP, MANIFEST, OCI_CONFIG, OCI_GZIP, OCI_ZSTD, SCHEMA2
from tests.support.raw_push import RawPush
from tests.support.wire import Address

FIRST_GENERATION = ("1.0.1", "1.3.3", "1.5.0")
TYPES = {
    "schema2-image": (SCHEMA2, DOCKER_CONFIG, DOCKER_GZIP),
    "oci-image": (MANIFEST, OCI_CONFIG, OCI_GZIP),
    "oci-zstd-image": (MANIFEST, OCI_CONFIG, OCI_ZSTD),
}


def push_example(address: Address, name: str, tag: str, folder: str) -> str:
    """Push an example's image as BuildKit does, and return its digest."""
    manifest_type, config_type, layer_type = TYPES[folder]
    push = RawPush(address, name)
    for blob in sorted((FORMATS / folder / "blobs").iterdir()):
        push.blob(blob.read_bytes(), layer_type)
    push.blob(example(f"{folder}/config.json"), config_type)
    return str(push.manifest(example(f"{folder}/manifest.json"), manifest_type, tag=tag)["digest"])


@pytest.mark.parametrize("folder", TYPES)
@pytest.mark.parametrize("version", FIRST_GENERATION)
def test_what_v2_clients_pushed_arrives_as_the_example_has_it(
    version: str, folder: str, portside_address: Address
) -> None:
    name = f"team/new-{uuid.uuid4().hex[:8]}"
    push_example(portside_address, name, "b", folder)
    outcome = Docker(version, portside_address).pull(name, "b")
    assert outcome.statement == "ok v1", outcome.output
    (pulled,) = outcome.pulled
    assert pulled.metadata == tuple(file.read_bytes() for file in sorted(FORMATS.glob(f"{folder}/expected-v1/[0-9]*")))
    empty = digest_of(bytes(1024))
    assert [digest_of(gzip.decompress(layer)) for layer in pulled.layers] == [
        each["layer"] or empty for each in example_json(f"{folder}/expected-v1/chain.json")
    ]


@pytest.mark.parametrize("version", FIRST_GENERATION)
def test_an_image_without_namespace_is_the_same_repository(version: str, portside_address: Address) -> None:
    name = f"new{uuid.uuid4().hex[:8]}"
    push_example(portside_address, name, "b", "schema2-image")
    outcome = Docker(version, portside_address).pull(name, "b")
    assert outcome.statement == "ok v1", outcome.output


@pytest.mark.parametrize("version", FIRST_GENERATION)
def test_all_tags_are_pulled_of_both_generations(version: str, portside_address: Address) -> None:
    name = f"team/new-{uuid.uuid4().hex[:8]}"
    push_example(portside_address, name, "new", "schema2-image")
    assert Docker("1.3.3", portside_address).push(name, "old", make_image(name)).ok
    push = RawPush(portside_address, name)
    config = push.blob(b"{}", "application/vnd.cncf.helm.config.v1+json")
    chart = {"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": []}
    push.manifest(json.dumps(chart).encode(), MANIFEST, tag="chart")
    outcome = Docker(version, portside_address).pull_all(name)
    assert outcome.ok, outcome.output
    assert {one.tag: len(one.layers) for one in outcome.pulled} == {"new": 7, "old": 3}


@pytest.mark.parametrize("version", FIRST_GENERATION)
def test_what_they_cannot_have_is_not_found(version: str, portside_address: Address) -> None:
    name = f"team/new-{uuid.uuid4().hex[:8]}"
    push = RawPush(portside_address, name)
    config = push.blob(b"{}", "application/vnd.cncf.helm.config.v1+json")
    chart = {"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": []}
    push.manifest(json.dumps(chart).encode(), MANIFEST, tag="chart")
    outcome = Docker(version, portside_address).pull(name, "chart")
    assert not outcome.ok
    assert "not found" in outcome.output


def as_kept(pulled: Pulled) -> tuple[V1Image, ...]:
    """The images that a client keeps of a pull, base first."""
    return tuple(
        V1Image(json.loads(text)["id"], text, layer) for text, layer in zip(pulled.metadata, pulled.layers, strict=True)
    )


def digest_by_tag(address: Address, name: str, tag: str) -> str | None:
    """What a v2 client is told that a tag names."""
    fields = [("Accept", each) for each in (SCHEMA2, MANIFEST)]
    answer = Caller(address, "buildkit/v0.32").send("HEAD", f"/v2/{name}/manifests/{tag}", fields)
    return answer.value("Docker-Content-Digest")


@pytest.mark.parametrize("version", FIRST_GENERATION)
def test_what_they_push_back_is_what_was_pushed(version: str, portside_address: Address) -> None:
    name = f"team/new-{uuid.uuid4().hex[:8]}"
    digest = push_example(portside_address, name, "b", "oci-zstd-image")
    client = Docker(version, portside_address)
    chain = as_kept(client.pull(name, "b").pulled[0])
    pushed = client.push_chain(name, "again", chain)
    assert pushed.ok, pushed.output
    assert not any(exchange.request.chunks for exchange in pushed.exchanges)
    assert digest_by_tag(portside_address, name, "again") == digest


@pytest.mark.parametrize("version", FIRST_GENERATION)
def test_what_they_build_on_it_comes_back(version: str, portside_address: Address) -> None:
    name, other = (f"team/new-{uuid.uuid4().hex[:8]}" for _ in range(2))
    push_example(portside_address, name, "b", "oci-zstd-image")
    client = Docker(version, portside_address)
    base = as_kept(client.pull(name, "b").pulled[0])
    child_id = uuid.uuid4().hex * 2
    text = json.dumps({"id": child_id, "parent": base[-1].id, "created": "2015-01-01T00:00:00Z"}).encode()
    chain = (*base, V1Image(child_id, text, make_image(name).layers[0].packed))
    for repository in (name, other):
        pushed = client.push_chain(repository, "child", chain)
        assert pushed.ok, pushed.output
    for repository in (name, other):
        pulled = Docker(version, portside_address).pull(repository, "child").pulled[0]
        assert pulled.metadata == tuple(image.json for image in chain)
        assert pulled.layers == tuple(image.layer for image in chain)
