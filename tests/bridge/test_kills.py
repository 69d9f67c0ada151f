"""A conversion that is killed with -9 at every operation on a file: what was shown stays, nothing half made is seen."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from tests.support import schema1
from tests.support.bridge_cells import asks, check_image, manifest_digest, pull_by
from tests.support.bridge_pushes import PUSHES, Place, Pushed
from tests.support.http_calls import Caller
from tests.support.images import digest_of
from tests.support.nursery import Nursery, open_nursery
from tests.support.wire import Address, BrokenConnectionError

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

MOST_OPERATIONS: Final = 40
ANY: Final = [("Accept", "*/*")]
CASES: Final = (
    ("v1 with plain, bzip2 and xz layers, gzip in members", "containerd 2"),
    ("schema 1 by Docker 1.6.2 (top twice)", "20.10.24"),
    ("OCI manifest, zstd", "1.13.1"),
    ("OCI manifest, zstd", "1.9.1"),
    ("OCI index with attestations, zstd", "19.03.15"),
)


@pytest.fixture
def nursery(tmp_path: Path) -> Iterator[Nursery]:
    with open_nursery(tmp_path / "data") as made:
        yield made


@dataclass(frozen=True, slots=True)
class Two:
    """A server's two ports; what is pushed by v1 goes to the one, all else to the other."""

    v1: Address
    v2: Address

    def push(self, kind: str, name: str) -> Pushed:
        return PUSHES[kind](Place(self.v1 if kind.startswith("v1") else self.v2, name, "b"))


def ask(address: Address, client: str, name: str) -> str:
    """Asks for the tag as the client does, and returns the digest that it is told; empty if the server died."""
    asked = asks(client)
    assert asked is not None
    agent, accepts = asked
    caller = Caller(address, agent)
    try:
        answer = caller.send("GET", f"/v2/{name}/manifests/b", [("Accept", line) for line in accepts])
    except BrokenConnectionError:
        return ""
    assert answer.status == 200, answer.body
    return manifest_digest(answer)


def check_shown(address: Address, name: str, digest: str, *, must_be_there: bool) -> None:
    """By its digest it is there with all that it names, or not at all."""
    caller = Caller(address, "a test")
    answer = caller.send("GET", f"/v2/{name}/manifests/{digest}", ANY)
    assert answer.status == 200 or (answer.status == 404 and not must_be_there), f"{answer.status} for {digest}"
    if answer.status == 404:
        return
    assert manifest_digest(answer) == digest
    document = json.loads(answer.body)
    if "manifests" in document:
        for child in document["manifests"]:
            check_shown(address, name, child["digest"], must_be_there=True)
        return
    for blob in _blobs(document, answer.body):
        got = caller.send("GET", f"/v2/{name}/blobs/{blob}")
        assert (got.status, digest_of(got.body)) == (200, blob), f"{blob} of {digest}: {got.status}"


def _blobs(document: dict[str, Any], content: bytes) -> list[str]:
    if "fsLayers" in document:
        return [entry.blob for entry in schema1.read_unverified(content).entries]
    return [document["config"]["digest"], *(layer["digest"] for layer in document["layers"])]


def push_in_advance(nursery: Nursery, two: Two, kind: str, count: int) -> dict[str, Pushed]:
    """Pushes images to as many repositories, each with layers of its own, by a server that lives."""
    nursery.start()
    pushed = {name: two.push(kind, name) for name in (f"team/image{number}" for number in range(count))}
    nursery.kill()
    return pushed


@pytest.mark.parametrize(("kind", "client"), CASES)
def test_killed_at_every_operation_on_a_file(kind: str, client: str, nursery: Nursery) -> None:
    two = Two(Address("127.0.0.1", nursery.v1), Address("127.0.0.1", nursery.v2))
    pushed = push_in_advance(nursery, two, kind, MOST_OPERATIONS)
    step = 3 if kind.startswith("OCI index") else 1  # it is two images, the second like the first
    stages: list[str] = []
    for number, (name, image) in enumerate(pushed.items()):
        nursery.start(1 + number * step)
        if ask(two.v2, client, name):
            nursery.kill()
            break
        stages.append(nursery.wait_dead())
        nursery.start()
        digest = ask(two.v2, client, name)
        check_shown(two.v2, name, digest, must_be_there=True)
        check_image(client, pull_by(client, two.v2, name, "b"), image)
        nursery.kill()
    else:
        pytest.fail(f"a conversion has {MOST_OPERATIONS} operations or more; the test must go further")
    assert len(stages) >= 4, stages


@pytest.mark.parametrize(("kind", "client"), CASES)
def test_what_was_shown_is_there_after_a_kill(kind: str, client: str, nursery: Nursery) -> None:
    two = Two(Address("127.0.0.1", nursery.v1), Address("127.0.0.1", nursery.v2))
    for name in push_in_advance(nursery, two, kind, 5):
        nursery.start()
        shown = ask(two.v2, client, name)
        nursery.kill()
        nursery.start()
        check_shown(two.v2, name, shown, must_be_there=True)
        nursery.kill()
