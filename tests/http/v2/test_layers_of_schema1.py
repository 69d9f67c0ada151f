"""What a layer is, is found out while a client pushes it that pushes schema 1, which says nothing of its layers."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from backends.model.digest import Digest
from backends.model.layers import Compression, LayerFacts
from backends.storage import layout
from tests.support.serving_here import OCTETS, Client

RAW = b"the quick brown fox\n" * 20_000
LAYER = gzip.compress(RAW, mtime=0)
DIGEST = Digest.of(LAYER)


def note(root: Path) -> Path:
    return root / layout.layer_facts(DIGEST).lstrip("/")


@pytest.mark.parametrize(
    ("agent", "known"),
    [
        ("docker/1.6.2 go/go1.4.2 git-commit/7c8fca2 kernel/3.16.0 os/linux arch/amd64", True),
        ("docker/1.9.1 go/go1.4.3 git-commit/a34a1d5 kernel/4.4.0 os/linux arch/amd64", True),
        ("docker/1.10.3 go/go1.5.3 git-commit/20f81dd kernel/4.4.0 os/linux arch/amd64", False),
        ("docker/20.10.24 go/go1.18.10 git-commit/5d6db84 kernel/6.1.0 os/linux arch/amd64", False),
        ("containerd/2.0.0", False),
        ("", False),
    ],
)
@pytest.mark.parametrize("in_the_final_request", [True, False], ids=["one PUT", "PATCH and PUT"])
async def test_it_is_known_of_what_docker_1_6_to_1_9_push(
    client: Client, root: Path, agent: str, *, known: bool, in_the_final_request: bool
) -> None:
    headers = {**OCTETS, **({"User-Agent": agent} if agent else {})}
    place = (await client.ask("POST", "/v2/old/app/blobs/uploads/", headers)).path
    if in_the_final_request:
        answer = await client.ask("PUT", f"{place}?digest={DIGEST}", headers, chunks=[LAYER[:5], LAYER[5:]])
    else:
        answer = await client.ask("PATCH", place, headers, chunks=[LAYER[:5], LAYER[5:]])
        answer = await client.ask("PUT", f"{answer.path}?digest={DIGEST}", headers)
    assert answer.status == 201
    assert note(root).exists() is known
    if known:
        facts = LayerFacts(Compression.GZIP, Digest.of(RAW), len(RAW), is_empty=False)
        assert LayerFacts.decode(note(root).read_bytes()) == facts


async def test_it_is_known_when_another_worker_gets_the_final_request(
    registry: Client, other_worker: Client, root: Path
) -> None:
    headers = {**OCTETS, "User-Agent": "docker/1.8.3 go/go1.4.2"}
    place = (await registry.ask("POST", "/v2/old/app/blobs/uploads/", headers)).path
    answer = await registry.ask("PATCH", place, headers, body=LAYER)
    assert (await other_worker.ask("PUT", f"{answer.path}?digest={DIGEST}", headers)).status == 201
    assert LayerFacts.decode(note(root).read_bytes()).diff_id == Digest.of(RAW)
