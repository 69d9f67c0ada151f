"""Clients' credentials end at the proxy, and the registry wants tokens: the proxy gets them with its own password.

The registries are distribution 2.8.2 and 3.1.2 themselves.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typing_extensions import override

from tests.support.asking_proxy import PASSWORD, Site, me, push, running_distribution
from tests.support.certificate import CertificateFiles, make_certificate
from tests.support.commands import portside
from tests.support.programs import DISTRIBUTION
from tests.support.serving_here import OCI_MANIFEST, digest_of
from tests.support.token_server import TokenServer, running_token_server
from tests.support.tokens import ISSUER, SERVICE, certify, libtrust_id, make_ec, pem
from tests.support.upstreams import Peer, spoken_by_hand


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenSite(Site):
    """A registry that wants tokens, its token server, and what a proxy in front of it is told."""

    server: TokenServer
    files: CertificateFiles

    @override
    def settings(self, **credentials: Any) -> dict[str, Any]:
        own = {**self.credentials, "realm": self.server.realm, "service": SERVICE, **credentials}
        settings = Site.settings(self, **own)
        settings["gateway"]["v2"]["ca"] = str(self.files.ca)
        return settings


@pytest.fixture(params=DISTRIBUTION)
async def site(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[TokenSite]:
    key, files = make_ec(), make_certificate(tmp_path)
    all_of_it = ("pull", "push", "delete", "*")
    header = {"kid": libtrust_id(key)} if request.param == "2" else None
    server = TokenServer(key, {"portside": PASSWORD}, {"portside": all_of_it, "": ()}, header=header)
    async with running_token_server(server, files):
        bundle = tmp_path / "tokens.pem"
        bundle.write_bytes(pem(certify("tokens", key)))
        token = {"realm": server.realm, "service": SERVICE, "issuer": ISSUER, "rootcertbundle": str(bundle)}
        with running_distribution(request.param, tmp_path, {"token": token}) as address:
            yield TokenSite(tmp_path, address, server=server, files=files)


@pytest.mark.real
async def test_the_proxy_gets_tokens_for_what_it_has_judged(site: TokenSite) -> None:
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
async def test_a_token_is_asked_for_again_when_it_ends_or_is_not_taken(site: TokenSite) -> None:
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
async def test_a_token_server_that_refuses_or_is_down_is_a_sentence(site: TokenSite) -> None:
    with site.proxy(site.settings(user="stranger")) as (command, client):
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
        with TokenSite(tmp_path, registry.address, server=server, files=files).proxy() as (_, client):
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
    site = TokenSite(tmp_path, "https://registry.example", server=server, files=make_certificate(tmp_path))
    done = portside("proxy", site.write(site.settings(**change)), folder=tmp_path)
    assert done.returncode != 0
    assert sentence in done.stderr
