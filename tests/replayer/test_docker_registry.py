"""Debian's docker-registry takes what the replayer pushes and serves it back to the same clients."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.certificate import make_certificate
from tests.support.docker import VERSIONS, Docker
from tests.support.images import make_image
from tests.support.profiles import PROFILES, V2Format
from tests.support.programs import docker_registry
from tests.support.wire import Address

pytestmark = pytest.mark.real

V2_VERSIONS = [version for version in VERSIONS if PROFILES[version].v2_format not in {V2Format.NONE, V2Format.PREVIEW}]


@pytest.fixture(scope="module", params=["plain", "tls"])
def registry(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Address]:
    folder = tmp_path_factory.mktemp("registry")
    certificate = make_certificate(folder) if request.param == "tls" else None
    with docker_registry(folder, certificate) as address:
        yield address


@pytest.mark.parametrize("version", V2_VERSIONS)
def test_it_takes_pushes_and_serves_them_back(version: str, registry: Address) -> None:
    name = f"team/by-{version}"
    image = make_image(name)
    pusher = Docker(version, registry)
    first = pusher.push(name, "b", image)
    assert (first.ok, first.protocol) == (True, "v2"), first.output
    again = pusher.push_all(name, {"a": image.parent(), "b": image})
    assert again.ok, again.output
    assert again.digests is not None
    assert first.digests is not None
    assert again.digests["b"] == first.digests["b"]
    assert not any(exchange.request.method == "PATCH" and exchange.request.body[:2] == b"\x1f\x8b"
                   for exchange in again.exchanges)  # fmt: skip
    puller = Docker(version, registry)
    pulled = puller.pull(name, "b")
    assert (pulled.ok, pulled.protocol) == (True, "v2"), pulled.output
    assert pulled.pulled[0].layers == tuple(layer.packed for layer in image.layers)
    uptodate = puller.pull(name, "b")
    assert uptodate.ok
    assert not any("/blobs/" in exchange.request.target for exchange in uptodate.exchanges)


@pytest.mark.parametrize("version", V2_VERSIONS)
def test_it_serves_a_manifest_by_the_digest_that_its_pusher_was_told(version: str, registry: Address) -> None:
    name = f"team/digest-{version}"
    image = make_image(name)
    digest = (Docker(version, registry).push(name, "b", image).digests or {})["b"]
    pulled = Docker(version, registry).pull(name, digest)
    assert pulled.ok, pulled.output
    assert pulled.pulled[0].digest == digest


@pytest.mark.parametrize("version", V2_VERSIONS)
def test_all_tags_and_missing_ones_end_as_they_did_in_reality(version: str, registry: Address) -> None:
    name = f"team/all-{version}"
    image = make_image(name)
    assert Docker(version, registry).push_all(name, {"a": image.parent(), "b": image}).ok
    pulled = Docker(version, registry).pull_all(name)
    # 1.6.2 cannot read the list of tags; nobody speaks v1 here.
    assert pulled.ok == (version != "1.6.2"), pulled.output
    if pulled.ok:
        assert {one.tag for one in pulled.pulled} == {"a", "b"}
    assert not Docker(version, registry).pull(name, "zz").ok
    assert not Docker(version, registry).pull("team/nope", "x").ok


def test_a_layer_of_another_repository_is_mounted_by_1_10_and_later(registry: Address) -> None:
    image = make_image("team/mounted")
    client = Docker("1.13.1", registry)
    assert client.push("team/mounted", "b", image).ok
    outcome = client.push("team/elsewhere", "b", image)
    assert outcome.ok, outcome.output
    posts = [exchange for exchange in outcome.exchanges if exchange.request.method == "POST"]
    mounts = [exchange for exchange in posts if "mount=" in exchange.request.target]
    assert [exchange.response.status for exchange in mounts if exchange.response] == [201, 201, 201]


def test_1_5_0_fails_on_v2_as_it_did_in_reality(registry: Address) -> None:
    outcome = Docker("1.5.0", registry).push("team/preview", "b", make_image("team/preview"))
    assert outcome.statement == "ERR v2"
    assert "Server error: 400 trying head request" in outcome.output
