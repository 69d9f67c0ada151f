"""What the judge knows of other clients, against distribution: each pulls what it can use whole, and no more."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.bridge_pushes import PUSHES, Place
from tests.support.docker import Docker
from tests.support.images import digest_of, make_image
from tests.support.programs import docker_registry
from tests.support.pullers import PROGRAMS, Puller, PullError
from tests.support.seen import seen_in
from tests.support.wire import Address

pytestmark = pytest.mark.xdist_group("pullers")


@pytest.fixture(scope="module")
def distribution(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Address]:
    with docker_registry(tmp_path_factory.mktemp("registry")) as address:
        yield address


def repository(*words: str) -> str:
    return f"team/{digest_of(' '.join(words).encode())[7:19]}"


@pytest.mark.parametrize("kind", [
    "schema 2 by Docker 1.10.3",
    "schema 2 with plain layers",
    "manifest list of amd64 and arm64",
    "OCI manifest, gzip in members",
    "OCI manifest without history, with annotations",
    "OCI manifest, zstd with skippable frames, several frames",
    "OCI index with attestations, zstd",
])  # fmt: skip
@pytest.mark.parametrize("program", PROGRAMS)
def test_an_image_arrives_as_it_was_pushed(kind: str, program: str, distribution: Address) -> None:
    name = repository(kind, program)
    pushed = PUSHES[kind](Place(distribution, name, "b"))
    pulled = Puller(PROGRAMS[program], distribution).pull(name, "b")
    assert pulled.digest == pushed.digest
    assert seen_in(pulled) == pushed.image


@pytest.mark.parametrize("program", PROGRAMS)
def test_what_they_cannot_use_they_refuse(program: str, distribution: Address) -> None:
    name = repository(program)
    assert Docker("1.9.1", distribution).push(name, "old", make_image(name)).ok
    PUSHES["manifest list of windows/amd64"](Place(distribution, name, "windows"))
    with pytest.raises(PullError, match=r"unsupported media type|digest is"):
        Puller(PROGRAMS[program], distribution).pull(name, "old")
    with pytest.raises(PullError, match="linux/amd64"):
        Puller(PROGRAMS[program], distribution).pull(name, "windows")


@pytest.mark.parametrize("version", ["17.12.1", "18.09.9", "19.03.15", "23.0.6", "28.2.2", "29.0.0"])
def test_later_docker_pulls_what_it_takes(version: str, distribution: Address) -> None:
    place = Place(distribution, f"team/by-{version}", "b")
    pushed = PUSHES["manifest list of amd64 and arm64"](place)
    (pulled,) = Docker(version, distribution).pull(place.name, "b").pulled
    assert seen_in(pulled) == pushed.image


def test_only_later_docker_reads_zstd_and_only_early_docker_schema_1(distribution: Address) -> None:
    place = Place(distribution, "team/zstd", "b")
    PUSHES["OCI manifest, zstd"](place)
    assert "unexpected EOF" in Docker("20.10.24", distribution).pull(place.name, "b").output
    assert Docker("23.0.6", distribution).pull(place.name, "b").ok
    assert Docker("1.9.1", distribution).push("team/schema1", "b", make_image("team/schema1")).ok
    assert Docker("23.0.6", distribution).pull("team/schema1", "b").ok
    assert "schema 1 is no longer supported" in Docker("28.2.2", distribution).pull("team/schema1", "b").output
