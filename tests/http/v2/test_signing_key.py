"""Schema 1 documents that are signed with the operator's key, as distribution 2.8 signs them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from backends.model import jws
from backends.registry.store import Store
from backends.storage.factory import open_folder
from backends.v2.registry import Registry
from backends.v2.settings import V2Settings
from tests.support import schema1
from tests.support.ports import free_port
from tests.support.programs import find_program, running
from tests.support.serving_here import Client, digest_of, serving_here
from tests.support.signing_keys import as_json, as_pem, new_keys

NAME = "team/app"
SIGNED = "application/vnd.docker.distribution.manifest.v1+prettyjws"
LAYER = b"a layer"
KEYS = new_keys()
DOCUMENT = schema1.payload(
    NAME, "old", [schema1.Entry(digest_of(LAYER), json.dumps({"id": "a" * 64}))], version_first=True
)


async def serving(root: Path, key: Path) -> AsyncIterator[Client]:
    storage = open_folder(root)
    async with serving_here(Registry(Store(storage, signing_key=key), V2Settings()).handle) as client:
        yield client
    await storage.close()


async def documents(root: Path, key: Path) -> bytes:
    """What a start gives, of a volume that has only the payload."""
    async for client in serving(root, key):
        answer = await client.ask("GET", f"/v2/{NAME}/manifests/old")
        assert (answer.status, answer["Docker-Content-Digest"]) == (200, digest_of(DOCUMENT))
        again = await client.ask("GET", f"/v2/{NAME}/manifests/old")
        assert again.body == answer.body
        return answer.body
    raise AssertionError


@pytest.fixture
async def root(tmp_path: Path) -> Path:
    """A volume with a schema 1 manifest without its signatures, as distribution 2.3 to 2.8 leave one."""
    key = tmp_path / "first.pem"
    key.write_bytes(as_pem(KEYS["P-256"]))
    async for client in serving(tmp_path / "root", key):
        await client.push_blob(NAME, LAYER)
        signed = schema1.sign(DOCUMENT, schema1.new_key())
        assert (await client.put_manifest(NAME, "old", signed, SIGNED)).status == 201
    (tmp_path / f"root/docker/registry/portside/primary/schema1/{NAME}/_signed").rename(tmp_path / "away")
    return tmp_path / "root"


@pytest.mark.parametrize("kind", KEYS)
async def test_the_same_key_signs_the_same_at_each_start_and_none_is_made(
    root: Path, tmp_path: Path, kind: str
) -> None:
    path = tmp_path / "key.json"
    path.write_bytes(as_json(KEYS[kind]))
    one, other = [await documents(root, path) for _ in range(2)]
    assert one == other
    assert jws.verify(one) == DOCUMENT
    (signature,) = json.loads(one)["signatures"]
    assert signature["header"]["jwk"]["kid"] == jws.key_id(KEYS[kind].public_key())
    assert not (root / "docker/registry/portside/primary/keys").exists()


async def test_a_key_that_went_away_is_an_error_of_ours(root: Path, tmp_path: Path) -> None:
    async for client in serving(root, tmp_path / "gone.json"):
        assert (await client.ask("GET", f"/v2/{NAME}/manifests/old")).status == 500


@pytest.mark.real
@pytest.mark.parametrize("kind", KEYS)
async def test_distribution_takes_the_same_file_and_what_we_sign_with_it(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "key.json"
    path.write_bytes(as_json(KEYS[kind]))
    port = free_port()
    config = tmp_path / "registry.yml"
    config.write_text(
        f"""{{version: 0.1, storage: {{filesystem: {{rootdirectory: {tmp_path}/data}}}},
        http: {{addr: 127.0.0.1:{port}}},
        compatibility: {{schema1: {{enabled: true, signingkeyfile: {path}}}}}}}"""
    )
    program = find_program("docker-registry")
    with running([program, "serve", str(config)], tmp_path / "log", port=port):
        client = Client("127.0.0.1", port)
        await client.push_blob(NAME, LAYER)
        ours = jws.sign(DOCUMENT, KEYS[kind])
        assert (await client.put_manifest(NAME, "old", ours, SIGNED)).status == 201
        theirs = (await client.ask("GET", f"/v2/{NAME}/manifests/old")).body
    assert jws.verify(theirs) == DOCUMENT
    assert _key(theirs) == _key(ours), "signed with another key, or it names it otherwise"


def _key(document: bytes) -> dict[str, Any]:
    header = json.loads(document)["signatures"][0]["header"]
    assert isinstance(header, dict)
    return header
