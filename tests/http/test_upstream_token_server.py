"""Clients' credentials end at the proxy, and the registry wants tokens: the proxy gets them with its own password.

The registries are distribution 2.8.2 and 3.1.2 themselves.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bcrypt
import pytest
import yaml

from tests.support.certificate import CertificateFiles, make_certificate
from tests.support.commands import RunningCommand, portside, running_command
from tests.support.gated import basic
from tests.support.ports import free_port
from tests.support.programs import find_program, running
from tests.support.serving_here import OCI_MANIFEST, OCTETS, Answer, Client, digest_of
from tests.support.token_server import TokenServer, running_token_server
from tests.support.tokens import ISSUER, SERVICE, certify, libtrust_id, make_ec, pem
from tests.support.upstreams import Peer, spoken_by_hand

PROGRAMS = {"2": "docker-registry", "3": "registry"}
RULES = """
- {allow: pull, to: users, on: team/*}
- {allow: [push, delete], to: alice}
"""
PASSWORD = "of the proxy at the token server"
CONFIG = b'{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}'


def hashed(password: str) -> str:
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(4)).decode().replace("$2b$", "$2y$")


def me(name: str) -> dict[str, str]:
    return basic(name, name)


@dataclass(frozen=True, slots=True)
class Site:
    """A registry that wants tokens, its token server, and what a proxy in front of it is told."""

    folder: Path
    upstream: str
    server: TokenServer
    files: CertificateFiles

    def settings(self, **credentials: Any) -> dict[str, Any]:
        own = {
            "user": "portside",
            "passwordfile": str(self.folder / "password"),
            "realm": self.server.realm,
            "service": SERVICE,
            **credentials,
        }
        return {
            "http": {"addr": "127.0.0.1:0", "secret": "of the proxies"},
            "gateway": {
                "workers": 2,
                "auth": {"htpasswd": {"realm": "front", "path": str(self.folder / "front.htpasswd")}},
                "access": str(self.folder / "rules.yml"),
                "v2": {"upstream": self.upstream, "ca": str(self.files.ca), "credentials": own},
            },
        }

    @contextlib.contextmanager
    def proxy(self, **credentials: Any) -> Iterator[tuple[RunningCommand, Client]]:
        (self.folder / "front.htpasswd").write_text("".join(f"{each}:{hashed(each)}\n" for each in ("alice", "bob")))
        (self.folder / "rules.yml").write_text(RULES)
        (self.folder / "password").write_text(f"{PASSWORD}\n")
        path = self.folder / "proxy.yml"
        path.write_text(yaml.safe_dump(self.settings(**credentials)))
        with running_command("proxy", path, folder=self.folder) as command:
            yield command, Client("127.0.0.1", command.port("proxy"))


@pytest.fixture(params=PROGRAMS)
async def site(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Site]:
    program, port = find_program(PROGRAMS[request.param]), free_port()
    key, files = make_ec(), make_certificate(tmp_path)
    all_of_it = ("pull", "push", "delete", "*")
    header = {"kid": libtrust_id(key)} if request.param == "2" else None
    server = TokenServer(key, {"portside": PASSWORD}, {"portside": all_of_it, "": ()}, header=header)
    async with running_token_server(server, files):
        (tmp_path / "tokens.pem").write_bytes(pem(certify("tokens", key)))
        token = {"realm": server.realm, "service": SERVICE, "issuer": ISSUER}
        settings = {
            "version": 0.1,
            "storage": {"filesystem": {"rootdirectory": str(tmp_path / "data")}, "delete": {"enabled": True}},
            "http": {"addr": f"127.0.0.1:{port}"},
            "auth": {"token": {**token, "rootcertbundle": str(tmp_path / "tokens.pem")}},
        }
        (tmp_path / "behind.yml").write_text(yaml.safe_dump(settings))
        with running([program, "serve", str(tmp_path / "behind.yml")], tmp_path / "behind.log", port=port):
            yield Site(tmp_path, f"http://127.0.0.1:{port}", server, files)


async def push(client: Client, name: str, *, content: bytes = b"layer", mount: str = "") -> Answer:
    """Pushes an image of one layer, or one that is mounted."""
    for blob in (CONFIG, content):
        query = f"?mount={digest_of(blob)}&from={mount}" if mount else ""
        begun = await client.ask("POST", f"/v2/{name}/blobs/uploads/{query}", me("alice"))
        if begun.status == 201:
            continue
        assert begun.status == 202, begun
        assert not mount, begun
        mark = "&" if "?" in begun.path else "?"
        target = f"{begun.path}{mark}digest={digest_of(blob)}"
        put = await client.ask("PUT", target, {**me("alice"), **OCTETS}, body=blob)
        assert put.status == 201, put
    config, layer = (
        f'"size":{len(blob)},"digest":"{digest_of(blob)}","mediaType":"application/vnd.oci.image.{kind}"'
        for blob, kind in ((CONFIG, "config.v1+json"), (content, "layer.v1.tar"))
    )
    manifest = f'{{"schemaVersion":2,"mediaType":"{OCI_MANIFEST}","config":{{{config}}},"layers":[{{{layer}}}]}}'
    head = {**me("alice"), "Content-Type": OCI_MANIFEST}
    return await client.ask("PUT", f"/v2/{name}/manifests/1", head, body=manifest.encode())


@pytest.mark.real
async def test_the_proxy_gets_tokens_for_what_it_has_judged(site: Site) -> None:
    with site.proxy() as (command, client):
        assert (await push(client, "team/app")).status == 201
        assert (await push(client, "secret/plan", mount="team/app")).status == 201
        head = {"Accept": OCI_MANIFEST}
        assert (await client.ask("GET", "/v2/team/app/manifests/1", {**me("bob"), **head})).status == 200
        assert (await client.ask("GET", "/v2/secret/plan/manifests/1", {**me("bob"), **head})).status == 404
        assert (await client.ask("GET", "/v2/_catalog", me("bob"))).json == {"repositories": ["team/app"]}
        listed = await client.ask("GET", "/v2/_catalog", me("alice"))
        assert listed.json == {"repositories": ["secret/plan", "team/app"]}
        gone = await client.ask("DELETE", f"/v2/team/app/blobs/{digest_of(b'layer')}", me("alice"))
        assert gone.status == 202
        log = command.err.read_text() + command.out.read_text()
    asked = {scopes for user, scopes in site.server.asked if user == "portside"}
    assert {
        ("repository:team/app:pull,push",),
        ("repository:secret/plan:pull,push", "repository:team/app:pull"),
        ("repository:team/app:pull",),
        ("registry:catalog:*",),
        ("repository:team/app:delete",),
    } <= asked
    assert {user for user, _ in site.server.asked} == {"portside"}
    # Each of the two workers asks once for each, however many requests there are.
    assert len(site.server.asked) <= 2 * len(asked)
    assert PASSWORD not in log
    assert "eyJ" not in log


@pytest.mark.real
async def test_a_token_is_asked_for_again_when_it_ends_or_is_not_taken(site: Site) -> None:
    site.server.seconds = 6  # kept for one second
    with site.proxy() as (_, client):
        assert (await push(client, "team/app")).status == 201
        path, head = "/v2/team/app/manifests/1", {**me("bob"), "Accept": OCI_MANIFEST}
        assert (await client.ask("GET", path, head)).status == 200
        before = len(site.server.asked)
        await asyncio.sleep(1.2)
        assert (await client.ask("GET", path, head)).status == 200
        assert len(site.server.asked) > before


@pytest.mark.real
async def test_a_token_server_that_refuses_or_is_down_is_a_sentence(site: Site) -> None:
    with site.proxy(user="stranger") as (command, client):
        answer = await client.ask("GET", "/v2/team/app/tags/list", me("bob"))
        assert answer.told == (502, "UNAVAILABLE")
        assert "does not take the user and password of gateway.v2.credentials" in answer.body.decode()
        site.server.status = 500
        answer = await client.ask("GET", "/v2/team/app/tags/list", me("bob"))
        assert "gives the proxy no token: it answers 500" in answer.body.decode()
        site.server.status = 302
        site.server.headers = {"Location": "http://127.0.0.1:1/"}
        answer = await client.ask("GET", "/v2/team/app/tags/list", me("bob"))
        assert "it answers 302" in answer.body.decode()
        assert PASSWORD not in command.err.read_text()
    site.server.status, site.server.rights = 200, {"portside": ()}
    with site.proxy() as (_, client):
        answer = await client.ask("GET", "/v2/team/app/tags/list", me("bob"))
        assert answer.told == (502, "UNAVAILABLE")
        assert "does not take the tokens of its token server" in answer.body.decode()


async def test_the_password_goes_to_the_configured_realm_alone(tmp_path: Path) -> None:
    """Whatever the registry says: it is shown the token, and asked twice at most."""
    heads, key, files = [], make_ec(), make_certificate(tmp_path)

    async def converse(peer: Peer) -> None:
        while True:
            heads.append(await peer.read_head())
            await peer.answer("401 Unauthorized", 'WWW-Authenticate: Bearer realm="http://127.0.0.1:1/t",service="s"')

    server = TokenServer(key, {"portside": PASSWORD}, {"portside": ("pull",)})
    async with running_token_server(server, files), spoken_by_hand(converse) as registry:
        with Site(tmp_path, registry.address, server, files).proxy() as (_, client):
            said = await client.ask("GET", "/v2/team/app/tags/list", me("bob"))
            pushed = await client.ask("PUT", "/v2/team/app/manifests/1", me("alice"), body=b"{}")
    assert {said.status, pushed.status} == {502}
    assert len(heads) == 3, "what has a body is not sent twice"
    shown = [each.value("Authorization") or "" for each in heads]
    assert all(each.startswith("Bearer eyJ") for each in shown)
    assert [scopes for _, scopes in server.asked] == [
        ("repository:team/app:pull",),
        ("repository:team/app:pull",),
        ("repository:team/app:pull,push",),
    ]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"service": ""}, "name realm and service"),
        ({"realm": ""}, "name realm and service"),
        ({"realm": "auth.example/token"}, "write it like https://auth.example.com/token"),
        ({"realm": "https://u:p@auth.example/token"}, "without user and password"),
        ({"realm": "http://auth.example/token"}, "over plain http"),
        ({"none": True, "user": "", "passwordfile": ""}, "it says that there are no credentials, and there are"),
    ],
)
def test_what_cannot_be_does_not_start(tmp_path: Path, change: dict[str, Any], sentence: str) -> None:
    server = TokenServer(make_ec(), {}, {}, port=1)
    site = Site(tmp_path, "https://registry.example", server, make_certificate(tmp_path))
    (tmp_path / "rules.yml").write_text(RULES)
    (tmp_path / "password").write_text(PASSWORD)
    (tmp_path / "proxy.yml").write_text(yaml.safe_dump(site.settings(**change)))
    done = portside("proxy", tmp_path / "proxy.yml", folder=tmp_path)
    assert done.returncode != 0
    assert sentence in done.stderr
