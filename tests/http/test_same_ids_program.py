"""Two teams push the same ids to the whole program: over TLS, to two workers, on one root or two; then all may."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import bcrypt
import pytest

from tests.support.commands import running_command
from tests.support.gated import basic
from tests.support.layers import unpack
from tests.support.serving_here import Client
from tests.support.tenants import chain_of
from tests.support.v1_session import Session

RULES = "- {allow: [push, delete], to: alice, on: alice/**}\n- {allow: [push, delete], to: bob, on: bob/**}\n"
CHAINS = {user: chain_of(f"{user}'s", "1", "2") for user in ("alice", "bob")}
OCI = {"Accept": "application/vnd.oci.image.manifest.v1+json", "User-Agent": "docker/29.0.0 os/linux arch/amd64"}


@contextmanager
def serving(folder: Path, variables: Mapping[str, str], **more: str) -> Iterator[Client]:
    environment = {
        "REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY": str(folder / "data"),
        "REGISTRY_GATEWAY_WORKERS": "2",
        "REGISTRY_GATEWAY_CERTS": str(folder / "certs"),
        **{f"REGISTRY_GATEWAY_{each}ADDR": "127.0.0.1:0" for each in ("", "V1_", "V2_")},
        **variables,
        **more,
    }
    with running_command("serve", folder=folder, environment=environment) as running:
        trusted = ssl.create_default_context(cafile=folder / "certs" / "ca.crt")
        yield Client("127.0.0.1", running.port("proxy"), trusted)


async def unpacked(client: Client, user: str, login: Mapping[str, str]) -> list[bytes]:
    """What Docker 29 unpacks of a team's image, base first."""
    name = f"{user}/app"
    answer = await client.ask("GET", f"/v2/{name}/manifests/1.0", {**OCI, **login})
    assert answer.status == 200, answer
    found = []
    for layer in json.loads(answer.body)["layers"]:
        blob = await client.ask("GET", f"/v2/{name}/blobs/{layer['digest']}", {**OCI, **login})
        assert blob.status == 200, blob
        found.append(unpack(blob.body))
    return found


@pytest.mark.parametrize("roots", [1, 2])
async def test_each_team_has_its_own_images_while_access_is_controlled_and_after(tmp_path: Path, roots: int) -> None:
    lines = [f"{user}:{bcrypt.hashpw(user.encode(), bcrypt.gensalt(4)).decode()}\n" for user in CHAINS]
    (tmp_path / "users").write_text("".join(lines))
    (tmp_path / "rules").write_text(RULES)
    own_root = {"REGISTRY_GATEWAY_V1_STORAGEPATH": str(tmp_path / "v1")} if roots > 1 else {}
    guarded = {
        "REGISTRY_AUTH_HTPASSWD_REALM": "here",
        "REGISTRY_AUTH_HTPASSWD_PATH": str(tmp_path / "users"),
        "REGISTRY_GATEWAY_ACCESS": str(tmp_path / "rules"),
    }
    with serving(tmp_path, own_root, **guarded) as client:
        sessions = {user: Session(client, basic(user, user)) for user in CHAINS}
        await asyncio.gather(*[sessions[user].push(f"{user}/app", "1.0", CHAINS[user]) for user in CHAINS])
        for user, chain in CHAINS.items():
            assert await sessions[user].pull(f"{user}/app", "1.0") == chain
            assert await unpacked(client, user, basic(user, user)) == [unpack(image.layer) for image in chain]
    with serving(tmp_path, own_root) as client:
        for user, chain in CHAINS.items():
            assert await unpacked(client, user, {}) == [unpack(image.layer) for image in chain]
