"""After every client has pulled everything, Debian's docker-registry serves the volume, and collects its garbage.

What was pushed to v2 it serves to the byte. After its plain run every client gets what it got before, under the same
digests. With `-m` it deletes what no tag names, the images of a tagged index among it: that is 404 then, and nothing
is ever a manifest whose layers are gone.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from tests.support import schema1
from tests.support.bridge_cells import asks, cell, check_image, manifest_digest, pull_by
from tests.support.bridge_pushes import PUSHES, Place, Pushed
from tests.support.http_calls import Caller
from tests.support.portside import Form, running_portside
from tests.support.programs import docker_registry, find_program
from tests.support.wire import Address

KINDS: Final = (
    "v1 by Docker 1.0.1 (tars without end, empty layers of 23 bytes)",
    "v1 with plain, bzip2 and xz layers, gzip in members",
    "schema 1 by Docker 1.9.1",
    "schema 2 by Docker 1.10.3",
    "OCI manifest, zstd",
    "manifest list of amd64 and arm64",
    "OCI index with attestations, zstd",
)
LISTS: Final = KINDS[-2:]
CLIENTS: Final = (
    "1.0.1",
    "1.5.0",
    "1.6.2",
    "1.9.1",
    "1.10.3",
    "19.03.15",
    "20.10.24",
    "28.2.2",
    "containerd 2",
    "crane",
)
ANY: Final = [("Accept", "*/*")]


@dataclass(frozen=True, slots=True)
class Volume:
    """A folder, and what clients were shown of it.

    Attributes:
        pushed: By repository.
        cells: By repository and client.
        shown: The digests of manifests that a tag was answered with, by repository.
    """

    folder: Path
    pushed: Mapping[str, Pushed]
    cells: Mapping[tuple[str, str], str]
    shown: Mapping[str, frozenset[str]]


@pytest.fixture
def volume() -> Iterator[Volume]:
    with tempfile.TemporaryDirectory(prefix="portside-") as name:
        folder = Path(name)
        pushed: dict[str, Pushed] = {}
        cells: dict[tuple[str, str], str] = {}
        shown: dict[str, frozenset[str]] = {}
        with running_portside(Form.ONE, folder) as portside:
            for number, kind in enumerate(KINDS):
                repository = f"team/kind{number}"
                pushed[repository] = PUSHES[kind](Place(portside.address, repository, "b"))
                for client in CLIENTS:
                    cells[repository, client] = pull(client, portside.address, repository, pushed[repository])
                shown[repository] = frozenset(digests(portside.address, repository))
        yield Volume(folder, pushed, cells, shown)


def pull(client: str, address: Address, repository: str, pushed: Pushed) -> str:
    """Pull by tag, whole; the table's cell."""
    got = pull_by(client, address, repository, "b")
    assert got.form, f"{client} {repository}: {got.said}: {got.refusal}"
    check_image(client, got, pushed)
    return cell(got, pushed)


def digests(address: Address, repository: str) -> Iterator[str]:
    """Those of all manifests that the tag is answered with."""
    for client in CLIENTS:
        if (asked := asks(client)) is not None:
            agent, accepts = asked
            path = f"/v2/{repository}/manifests/b"
            yield manifest_digest(Caller(address, agent).send("GET", path, [("Accept", line) for line in accepts]))


def check_digest(address: Address, repository: str, digest: str, *, children_may_be_gone: bool) -> None:
    """A manifest is there by its digest, and all that it names."""
    caller = Caller(address, "a test")
    answer = caller.send("GET", f"/v2/{repository}/manifests/{digest}", ANY)
    assert answer.status == 200, f"{repository}@{digest}: {answer.status}"
    assert manifest_digest(answer) == digest
    document = json.loads(answer.body)
    if "manifests" in document:
        for child in document["manifests"]:
            there = caller.send("HEAD", f"/v2/{repository}/manifests/{child['digest']}", ANY).status == 200
            assert there or children_may_be_gone, f"{repository}@{child['digest']} of {digest}"
            if there:
                check_digest(address, repository, child["digest"], children_may_be_gone=False)
        return
    if "fsLayers" in document:
        named = [entry.blob for entry in schema1.read_unverified(answer.body).entries]
    else:
        named = [each["digest"] for each in [document["config"], *document["layers"]]]
    for blob in named:
        assert caller.send("HEAD", f"/v2/{repository}/blobs/{blob}").status == 200, f"{blob} of {repository}@{digest}"


def collect_garbage(folder: Path, *options: str) -> None:
    with docker_registry(folder):
        pass  # it writes its settings file
    command = [find_program("docker-registry"), "garbage-collect", *options, str(folder / "registry.yml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr


def test_it_serves_what_was_pushed_to_v2(volume: Volume) -> None:
    with docker_registry(volume.folder) as address:
        for repository, pushed in volume.pushed.items():
            if pushed.form != "v1":
                client = "1.9.1" if pushed.form == "schema 1" else "23.0.6"
                got = pull_by(client, address, repository, "b")
                check_image(client, got, pushed)
                assert got.pulled is not None
                assert got.pulled.digest == pushed.digest


def test_after_its_plain_collection_nothing_has_changed_for_anybody(volume: Volume) -> None:
    collect_garbage(volume.folder)
    with running_portside(Form.ONE, volume.folder) as portside:
        for repository, shown in volume.shown.items():
            for digest in shown:
                check_digest(portside.address, repository, digest, children_may_be_gone=False)
        for (repository, client), wanted in volume.cells.items():
            assert pull(client, portside.address, repository, volume.pushed[repository]) == wanted, client


def test_after_a_collection_of_untagged_manifests_nothing_is_served_in_part(volume: Volume) -> None:
    collect_garbage(volume.folder, "-m")
    lists = {repository for repository, kind in zip(volume.pushed, KINDS, strict=True) if kind in LISTS}
    with running_portside(Form.ONE, volume.folder) as portside:
        for (repository, client), wanted in volume.cells.items():
            pushed = volume.pushed[repository]
            if repository not in lists:
                assert pull(client, portside.address, repository, pushed) == wanted, client
                continue
            got = pull_by(client, portside.address, repository, "b")
            # The list is tagged and stays, as its conversions do; its images are gone, and so is what was made of them.
            assert got.pulled is None, client
            assert got.form in {"", "list", "index"}, client
        for repository in volume.shown.keys() - lists:
            for digest in volume.shown[repository]:
                check_digest(portside.address, repository, digest, children_may_be_gone=False)
        for repository in lists:
            for digest in volume.shown[repository]:
                path = f"/v2/{repository}/manifests/{digest}"
                if Caller(portside.address, "a test").send("HEAD", path, ANY).status == 200:
                    check_digest(portside.address, repository, digest, children_may_be_gone=True)
