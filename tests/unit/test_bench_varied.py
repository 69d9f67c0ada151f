"""Requests of bench/ that differ: nobody has asked before what is called new, and no two users show one token."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import jwt
import pytest

from bench.bearer_tokens import ISSUER, SERVICE, new_signer
from bench.contents import Blob, Contents
from bench.scale import QUICK
from bench.varied import Asked, asked_of


def asked(what: str) -> Asked:
    blobs = tuple(Blob(number, 4096, f"sha256:{number:064x}") for number in range(4))
    return asked_of(what, Contents("latest", blobs, b"{}"), QUICK)


@pytest.mark.parametrize("what", ["new", "new-blob"])
def test_what_is_new_is_asked_once_in_all_rounds(what: str) -> None:
    found = asked(what)
    assert found.once
    assert len(found.lines) == len(set(found.lines)) == QUICK.small_rounds * QUICK.new_requests


def test_a_new_blob_is_one_that_is_put_on_the_disk() -> None:
    found = asked("new-blob")
    assert found.blobs == len(found.lines)
    assert found.lines[3].endswith(f"/blobs/sha256:{hashlib.sha256((3).to_bytes(8)).hexdigest()}")


def test_a_tag_that_is_asked_for_is_one_that_is_put_on_the_disk() -> None:
    for what in ("tags", "new"):
        found = asked(what)
        assert [line.rpartition("/")[2] for line in found.lines] == list(found.tags)


def test_agents_differ_and_the_path_does_not() -> None:
    lines = [line.split("\t") for line in asked("agents").lines]
    assert len({agent for _, agent in lines}) == QUICK.varied
    assert len({path for path, _ in lines}) == 1


def test_tokens_differ_and_each_is_good(tmp_path: Path) -> None:
    signer = new_signer()
    key = jwt.PyJWK(json.loads(Path(signer.settings(tmp_path)["token"]["jwks"]).read_text())["keys"][0])
    headers = [signer.header("team/app", ["pull"], number=number) for number in range(3)]
    assert len(set(headers)) == len(headers)
    for number, header in enumerate(headers):
        token = header.removeprefix("Bearer ")
        claims = jwt.decode(token, key, algorithms=["ES256"], audience=SERVICE, issuer=ISSUER)
        assert claims["sub"] == f"user-{number}"
        assert claims["access"] == [{"type": "repository", "name": "team/app", "actions": ["pull"]}]
