"""Tokens in the whole program: Portside's own, and a token server's, in every worker and after a restart."""

from __future__ import annotations

import asyncio
import signal
import ssl
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import bcrypt
import pytest

from tests.support.commands import RunningCommand, running_command
from tests.support.gated import basic, bearer
from tests.support.serving_here import Client
from tests.support.tokens import ISSUER, SERVICE, PrivateKey, make_claims, make_ec, make_token, public_pem, thumbprint

APP = "team/app"
TOKEN = "/v2/_portside/token"
COMPOSE = Path(__file__).parents[2] / "compose" / "portside.yml"
ANYONE = "- {allow: pull, to: anyone}\n- {allow: push, to: users}\n"
USERS = "- {allow: push, to: users}\n"
AGENT = {"User-Agent": "docker/24.0.7"}


@contextmanager
def running(
    folder: Path, settings: Mapping[str, str], *, compose: bool = False
) -> Iterator[tuple[Client, RunningCommand]]:
    """A Portside with two workers; in the compose form, its proxy and the v2 registry in processes of their own."""
    common = {
        "GATEWAY_CERTS": str(folder / "certs"),
        "GATEWAY_WORKERS": "2",
        "STORAGE_FILESYSTEM_ROOTDIRECTORY": str(folder / "data"),
        **{f"GATEWAY_{each}_ADDR": "127.0.0.1:0" for each in ("V1", "V2")},
        "GATEWAY_METRICS_ADDR": "127.0.0.1:0",
        **settings,
    }
    more = {f"REGISTRY_{name}": value for name, value in common.items()}
    proxy = {"REGISTRY_GATEWAY_ADDR": "127.0.0.1:0"}
    with ExitStack() as stack:

        def run(*words: str | Path, **variables: str) -> RunningCommand:
            place = folder / str(words[0])
            place.mkdir(exist_ok=True)
            return stack.enter_context(running_command(*words, folder=place, environment={**more, **variables}))

        if compose:
            sockets = {f"REGISTRY_GATEWAY_V2_{key}": f"{scheme}{folder}/v2.sock" for key, scheme in _KEYS.items()}
            registry = run("v2", COMPOSE, **sockets)
            front = run("proxy", COMPOSE, **sockets, **proxy)
        else:
            registry = front = run("serve", **proxy)
        trusted = ssl.create_default_context(cafile=folder / "certs" / "ca.crt")
        yield Client("127.0.0.1", front.port("proxy"), trusted), registry


_KEYS = {"UNIX": "", "UPSTREAM": "unix:"}


def users(folder: Path, rules: str) -> Mapping[str, str]:
    """Settings: alice, whose password is her name, and rules."""
    hashed = bcrypt.hashpw(b"alice", bcrypt.gensalt(4)).decode()
    (folder / "users").write_text(f"alice:{hashed}\n")
    (folder / "rules").write_text(rules)
    return {
        "AUTH_HTPASSWD_REALM": "here",
        "AUTH_HTPASSWD_PATH": str(folder / "users"),
        "GATEWAY_ACCESS": str(folder / "rules"),
    }


async def statuses(client: Client, path: str, headers: Mapping[str, str]) -> set[int]:
    """Of many requests, each on a connection of its own, so that every worker has some."""
    answers = await asyncio.gather(*(client.ask("GET", path, {**AGENT, **headers}) for _ in range(24)))
    return {answer.status for answer in answers}


async def challenge(client: Client) -> str:
    return (await client.ask("GET", "/v2/", AGENT))["WWW-Authenticate"]


@pytest.mark.parametrize("form", ["serve", "compose"])
async def test_own_tokens_are_asked_for_where_the_client_is_and_good_in_every_worker_and_after_a_restart(
    tmp_path: Path, form: str
) -> None:
    settings = users(tmp_path, ANYONE)
    with running(tmp_path, settings, compose=form == "compose") as (client, _):
        where = f"https://{client.authority}{TOKEN}"
        assert await challenge(client) == f'Bearer realm="{where}",service="{client.authority}"'
        text = (await client.ask("GET", TOKEN, {**AGENT, **basic("alice", "alice")})).json["token"]
        nobody = (await client.ask("GET", TOKEN, AGENT)).json["token"]
        assert await statuses(client, "/v2/", bearer(text)) == {200}
        assert await statuses(client, f"/v2/{APP}/tags/list", bearer(nobody)) == {404}
        assert await statuses(client, "/v2/", bearer(nobody)) == {401}
        host = {"X-Forwarded-Host": "registry.example", "X-Forwarded-Proto": "http"}
        assert (await client.ask("GET", "/v2/", {**AGENT, **host}))["WWW-Authenticate"].startswith(
            f'Bearer realm="{where}"'
        )
    with running(tmp_path, settings, compose=form == "compose") as (again, registry):
        said = await again.ask("GET", "/v2/", {**AGENT, **bearer(text)})
        # The port is another one, and the token was for the other; its signature is good all the same.
        assert said.status == 401
        assert said["WWW-Authenticate"].endswith(',error="invalid_token"')
        registry.wait_for_line(registry.err, f"it was issued for '{client.authority}'")


async def test_with_rules_that_let_nobody_in_it_is_basic_again_at_once(tmp_path: Path) -> None:
    with running(tmp_path, users(tmp_path, ANYONE)) as (client, registry):
        assert (await challenge(client)).startswith("Bearer ")
        (tmp_path / "rules").write_text(USERS)
        registry.process.send_signal(signal.SIGHUP)
        deadline = time.monotonic() + 45
        while await challenge(client) != 'Basic realm="here"':
            assert time.monotonic() < deadline
            await asyncio.sleep(0.05)


def token_by(key: PrivateKey, **changes: object) -> Mapping[str, str]:
    header = {"alg": "ES256", "kid": thumbprint(key)}
    return bearer(make_token(header, make_claims(time.time(), **changes), key))


async def test_a_token_servers_tokens_are_good_in_every_worker_and_new_keys_are_followed(tmp_path: Path) -> None:
    first, second = make_ec(), make_ec()
    (tmp_path / "keys.pem").write_bytes(public_pem(first))
    settings = {
        "AUTH_TOKEN_REALM": "https://tokens.example/token",
        "AUTH_TOKEN_SERVICE": SERVICE,
        "AUTH_TOKEN_ISSUER": ISSUER,
        "AUTH_TOKEN_ROOTCERTBUNDLE": str(tmp_path / "keys.pem"),
    }
    with running(tmp_path, settings) as (client, _):
        answer = await client.ask("GET", f"/v2/{APP}/tags/list", AGENT)
        assert answer["WWW-Authenticate"] == (
            f'Bearer realm="https://tokens.example/token",service="{SERVICE}",scope="repository:{APP}:pull"'
        )
        assert await statuses(client, f"/v2/{APP}/tags/list", token_by(first)) == {404}
        answer = await client.ask("GET", "/v2/team/other/tags/list", {**AGENT, **token_by(first)})
        assert answer["WWW-Authenticate"].endswith(',scope="repository:team/other:pull",error="insufficient_scope"')
        assert await statuses(client, "/v2/", token_by(second)) == {401}
        fresh = tmp_path / "fresh"
        fresh.write_bytes(public_pem(second))
        fresh.rename(tmp_path / "keys.pem")
        async with asyncio.timeout(30):  # it is looked at about once a second
            while await statuses(client, "/v2/", token_by(second)) != {200}:  # noqa: ASYNC110 - another process
                await asyncio.sleep(0.1)
        assert await statuses(client, "/v2/", token_by(first)) == {401}


async def test_a_realm_on_the_clients_host_believes_no_stranger(tmp_path: Path) -> None:
    (tmp_path / "keys.pem").write_bytes(public_pem(make_ec()))
    settings = {
        "AUTH_TOKEN_REALM": "https://tokens.example/token",
        "AUTH_TOKEN_AUTOREDIRECT": "true",
        "AUTH_TOKEN_SERVICE": SERVICE,
        "AUTH_TOKEN_ISSUER": ISSUER,
        "AUTH_TOKEN_ROOTCERTBUNDLE": str(tmp_path / "keys.pem"),
    }
    realms = []
    for trusted in ("192.0.2.0/24", "127.0.0.0/8"):
        with running(tmp_path, {**settings, "GATEWAY_TRUSTEDPROXIES": f"[{trusted}]"}) as (_, registry):
            plain = Client("127.0.0.1", registry.port("v2"))
            for headers in ({}, {"X-Forwarded-Proto": "http"}, {"X-Forwarded-Host": "elsewhere.example"}):
                asked = await plain.ask("GET", "/v2/", {**AGENT, **headers})
                realms.append(
                    asked["WWW-Authenticate"].partition('"')[2].partition('"')[0].replace(plain.authority, "HOST")
                )
    here = "https://HOST/auth/token"
    assert realms == [here, here, here, here, "http://HOST/auth/token", here]
