"""A key that cannot be used to sign schema 1: answer and log name its file, and say what to do; then it is done."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from backends.model.names import RepositoryName
from backends.registry.store import Store
from backends.storage import layout
from backends.storage.factory import open_folder
from backends.storage.storage import Storage
from backends.v2.registry import Registry
from backends.v2.settings import V2Settings
from tests.support.derivations import PUSHES
from tests.support.serving_here import Answer, serving_here

NAME = RepositoryName("team/app")
SCHEMA1 = {"Accept": "application/vnd.docker.distribution.manifest.v1+prettyjws"}
KEY = layout.SCHEMA1_KEY.removeprefix("/")
DAMAGED = {
    "empty": b"",
    "cut off": b"-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMG",
    "no text": bytes(range(256)),
    "no private key": b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
}


async def pull(storage: Storage, kind: str, *, key: Path | None = None) -> Answer:
    """Pulls an image as schema 1 that is stored without signatures."""
    store = Store(storage, signing_key=key)
    await PUSHES[kind][0](store, NAME, "1")
    if kind == "schema 1":
        await storage.driver.delete(layout.all_signed_schema1(NAME))
    async with serving_here(Registry(store, V2Settings()).handle) as client:
        answer = await client.ask("GET", f"/v2/{NAME}/manifests/1", SCHEMA1)
        assert (await client.ask("HEAD", f"/v2/{NAME}/manifests/1", SCHEMA1)).status == answer.status
        if key is None and answer.status != 200:
            await storage.driver.delete(layout.SCHEMA1_KEY)
            assert (await client.ask("GET", f"/v2/{NAME}/manifests/1", SCHEMA1)).status == 200
    await store.close()
    return answer


def logged(caplog: pytest.LogCaptureFixture) -> str:
    records = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert records
    assert not any(record.exc_info for record in records)
    (line,) = {record.getMessage() for record in records}
    assert "\n" not in line
    return line


@pytest.mark.parametrize("damage", [*DAMAGED, "a folder"])
@pytest.mark.parametrize("kind", ["schema 1", "OCI"])
async def test_the_registry_s_own(tmp_path: Path, caplog: pytest.LogCaptureFixture, kind: str, damage: str) -> None:
    storage = open_folder(tmp_path)
    (tmp_path / KEY).parent.mkdir(parents=True)
    if damage == "a folder":
        (tmp_path / KEY).mkdir()
    else:
        (tmp_path / KEY).write_bytes(DAMAGED[damage])
    answer = await pull(storage, kind)
    await storage.close()
    assert answer.told == (500, "UNKNOWN")
    for said in (answer.json["errors"][0]["detail"]["reason"], logged(caplog)):
        assert KEY in said
        assert "restore it from the backup, or remove it" in said


@pytest.mark.parametrize("content", [*DAMAGED.values(), None])
@pytest.mark.parametrize("kind", ["schema 1", "OCI"])
async def test_the_operator_s(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, kind: str, content: bytes | None
) -> None:
    """It could be used at the start; where it lies is nobody's business but the log's."""
    key = tmp_path / "signing.key"
    if content is not None:
        key.write_bytes(content)
    storage = open_folder(tmp_path / "root")
    answer = await pull(storage, kind, key=key)
    await storage.close()
    assert answer.told == (500, "UNKNOWN")
    assert "compatibility.schema1.signingkeyfile" in answer.json["errors"][0]["detail"]["reason"]
    assert str(key) not in answer.body.decode()
    assert str(key) in logged(caplog)
