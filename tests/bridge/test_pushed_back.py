"""A client that pushes back what it was given in another form restores what was pushed: for everybody, to the byte."""

from __future__ import annotations

import json
import uuid
from typing import Any, Final

import pytest

from tests.support.bridge_cells import asks, is_native, manifest_digest, pull_by
from tests.support.bridge_pushes import PUSHES, Place
from tests.support.http_calls import Caller
from tests.support.portside import RunningPortside

CASES: Final = (
    ("OCI manifest", "1.13.1", "containerd 2"),
    ("OCI manifest, zstd", "1.13.1", "containerd 2"),
    ("OCI manifest, zstd", "20.10.24", "containerd 2"),
    ("OCI manifest", "1.9.1", "containerd 2"),
    ("OCI index with attestations, zstd", "19.03.15", "containerd 2"),
    ("schema 2 by Docker 1.10.3", "1.9.1", "1.10.3"),
    ("schema 1 by Docker 1.9.1", "20.10.24", "1.9.1"),
    ("v1 by Docker 1.5.0", "20.10.24", "1.5.0"),
    ("v1 with plain, bzip2 and xz layers, gzip in members", "containerd 2", "1.5.0"),
    ("v1 by Docker 1.0.1 (tars without end, empty layers of 23 bytes)", "1.9.1", "1.0.1"),
)
"""What was pushed, who pulls and pushes it back, and who reads it as it was pushed."""


@pytest.mark.parametrize(("kind", "between", "native"), CASES)
def test_what_was_pushed_is_there_again(kind: str, between: str, native: str, portside: RunningPortside) -> None:
    name = f"team/{uuid.uuid4().hex[:12]}"
    address = portside.address
    pushed = PUSHES[kind](Place(address, name, "b"))
    asked = asks(between)
    assert asked is not None
    agent, accepts = asked
    caller = Caller(address, agent)
    given = caller.send("GET", f"/v2/{name}/manifests/b", [("Accept", line) for line in accepts])
    assert given.status == 200
    # Under another tag, after the first has moved on to something else.
    PUSHES["schema 2 by Docker 20.10.24"](Place(address, name, "b"))
    for blob in _blobs(json.loads(given.body)):
        assert caller.send("HEAD", f"/v2/{name}/blobs/{blob}").status == 200, "it would be sent again"
    typed = [("Content-Type", given.value("Content-Type") or "")]
    done = caller.send("PUT", f"/v2/{name}/manifests/again", typed, given.body)
    assert done.status == 201, done.body
    assert done.value("Docker-Content-Digest") == manifest_digest(given)

    got = pull_by(native, address, name, "again")
    assert is_native(got, pushed), f"{native} gets {got.form}: {got.said} {got.refusal}"
    answer = caller.send("GET", f"/v2/{name}/manifests/again", [("Accept", line) for line in accepts])
    assert _without_signatures(answer.body) == _without_signatures(given.body), f"{between} gets another"


def _blobs(document: dict[str, Any]) -> list[str]:
    if "fsLayers" in document:
        return [layer["blobSum"] for layer in document["fsLayers"]]
    if "manifests" in document:
        return []
    return [document["config"]["digest"], *(layer["digest"] for layer in document["layers"])]


def _without_signatures(content: bytes) -> Any:
    """Schema 1 has its tag in its text, and is signed anew."""
    document = json.loads(content)
    return {key: value for key, value in document.items() if key not in {"signatures", "tag"}}
