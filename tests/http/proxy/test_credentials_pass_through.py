"""Credentials, challenges, tokens and cookies of registries elsewhere pass the proxy as they are, in both protocols."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bcrypt
import pytest
import yaml

from backends.http.certificate_header import HEADER as CERTIFICATE_HEADER
from proxy.routing import Backend
from tests.support.gated import basic
from tests.support.ports import free_port
from tests.support.programs import find_program, running
from tests.support.proxies import DOCKER, running_proxy
from tests.support.serving_here import Client
from tests.support.token_cases import write_files
from tests.support.tokens import ISSUER, SERVICE, Keys
from tests.support.upstreams import Peer, Registry

OLD = "docker/1.3.3 go/go1.3.3 git-commit/d344625 kernel/3.13.0 os/linux arch/amd64"
CHALLENGES = [
    'Bearer realm="https://elsewhere.example/token?a=b",service="s",scope="repository:a/b:pull"',
    'Basic realm="ours \\"quoted\\", with a comma"',
    "Negotiate",
]
COOKIES = ["sid=1; Path=/; HttpOnly", "sid=2; Path=/v2/; Secure"]
BODY = b'{"errors":[{"code":"UNAUTHORIZED" , "message":"as it is\\u00e4"}]}\n'


@pytest.mark.parametrize(
    ("backend", "path", "agent"),
    [(Backend.V2, "/v2/a/b/manifests/1", DOCKER), (Backend.V1, "/v1/repositories/a/b/images", OLD)],
    ids=["v2", "v1"],
)
async def test_all_that_is_said_of_credentials_passes(
    registry: Registry, backend: Backend, path: str, agent: str
) -> None:
    heads = []

    async def converse(peer: Peer) -> None:
        while True:
            heads.append(await peer.read_head())
            said = [f"WWW-Authenticate: {each}" for each in CHALLENGES] + [f"Set-Cookie: {each}" for each in COOKIES]
            token = 'X-Docker-Token: signature=0,repository="a/b",access=read'
            await peer.answer("401 Unauthorized", *said, token, "X-Docker-Size: 1", body=BODY)

    sent = {
        "Authorization": 'Token signature=0,repository="a/b",access=read',
        "Cookie": "sid=1; other=2",
        "X-Docker-Token": "true",
    }
    async with registry(converse) as upstream, running_proxy({backend: upstream.address}) as proxy:
        lines = [*(f"{name}: {value}" for name, value in sent.items()), f"{CERTIFICATE_HEADER}: of somebody else"]
        said = await proxy.ask("GET", path, *lines, agent=agent)
    (head,) = heads
    assert {name: head.values(name) for name in sent} == {name: [value] for name, value in sent.items()}
    assert head.values(CERTIFICATE_HEADER) == [], "nobody says this of himself, and it is told to nobody else"
    assert (said.status, said.body) == (401, BODY)
    assert said.head.values("WWW-Authenticate") == CHALLENGES
    assert said.head.values("Set-Cookie") == COOKIES
    assert said.head.values("X-Docker-Token") == ['signature=0,repository="a/b",access=read']


@pytest.fixture(params=["htpasswd", "token"])
def distribution(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[int]:
    """Debian's docker-registry that asks by a scheme; alice's password is her name."""
    port = free_port()
    if request.param == "htpasswd":
        line = bcrypt.hashpw(b"alice", bcrypt.gensalt(4)).decode().replace("$2b$", "$2y$")
        (tmp_path / "users").write_text(f"alice:{line}\n")
        auth: dict[str, Any] = {"htpasswd": {"realm": 'a "realm"', "path": str(tmp_path / "users")}}
    else:
        auth = {
            "token": {
                "realm": "https://tokens.example/token?a=b",
                "service": SERVICE,
                "issuer": ISSUER,
                "rootcertbundle": str(write_files(tmp_path, Keys()).bundle),
            }
        }
    settings = {
        "version": 0.1,
        "storage": {"filesystem": {"rootdirectory": str(tmp_path / "data")}},
        "http": {"addr": f"127.0.0.1:{port}"},
        "auth": auth,
    }
    config = tmp_path / "config.yml"
    config.write_text(yaml.safe_dump(settings))
    with running([find_program("docker-registry"), "serve", str(config)], tmp_path / "log", port=port):
        yield port


@pytest.mark.real
async def test_distribution_asks_its_clients_through_the_proxy_as_it_does_without(distribution: int) -> None:
    direct = Client("127.0.0.1", distribution)
    async with running_proxy({Backend.V2: f"http://127.0.0.1:{distribution}"}) as proxy:
        through = Client("127.0.0.1", proxy.port)
        statuses = set()
        for path in ("/v2/", "/v2/a/b/tags/list", "/v2/_catalog", "/v2/a/b/manifests/1"):
            for headers in ({}, basic("alice", "alice"), basic("alice", "wrong"), {"Authorization": "Bearer e.e.e"}):
                wanted, found = [
                    await each.ask("GET", path, {**headers, "User-Agent": DOCKER}) for each in (direct, through)
                ]
                own = {"Date", "Server", "X-Portside-Route"}
                heads = [
                    sorted((name.lower(), value) for name, value in each.head.headers if name not in own)
                    for each in (wanted, found)
                ]
                assert heads[0] == heads[1], path
                assert (wanted.status, wanted.body) == (found.status, found.body)
                statuses.add(found.status)
                if found.status == 401:
                    assert found.head.value("WWW-Authenticate")
                    assert json.loads(found.body)["errors"][0]["code"] == "UNAUTHORIZED"
        assert 401 in statuses
