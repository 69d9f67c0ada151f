"""Passwords exchanged for tokens, at a real token server over TLS."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
from base64 import b64encode
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from backends.auth import exchange as module
from backends.auth import openid
from backends.auth.access_control import AccessControl, Unauthenticated
from backends.auth.asking import MAX_SECONDS
from backends.auth.credentials import Basic
from backends.auth.exchange import Exchange, PasswordExchange
from backends.auth.identity import Caller
from backends.auth.issuer_keys import FileKeys
from backends.auth.openid_settings import OpenIdSettings
from backends.auth.rules import USERS_ALL
from backends.auth.schemes import Busy, Failure, Wanted, WrongCredentials
from backends.auth.slowing import AT_ONCE, RECOVERY_SECONDS
from backends.auth.token import TokenScheme
from backends.auth.token_settings import TokenSettings
from backends.model.actions import Action
from tests.support.certificate import CertificateFiles, make_certificate
from tests.support.issuer import AUDIENCE, Issuer
from tests.support.token_server import TokenServer, running_token_server
from tests.support.tokens import ISSUER, SERVICE, make_ec, make_rsa, public_pem

HERE = "192.0.2.1"
CALLER = Caller(HERE, "docker/1.3.3", "v1", "https://registry.example")
ALICE, WRONG = Basic("alice", "secret"), Basic("alice", "wrong")
PULL, PUSH = (Wanted("repository", "team/app", ("pull",)),), (Wanted("repository", "team/app", ("pull", "push")),)
KEY = make_ec()


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> CertificateFiles:
    return make_certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture
async def server(certificate: CertificateFiles) -> AsyncIterator[TokenServer]:
    rights = {"": ["pull"], "alice": ["pull", "push"]}
    async with running_token_server(TokenServer(KEY, {"alice": "secret"}, rights), certificate) as running:
        yield running


@pytest.fixture
def clock() -> Clock:
    return Clock()


@contextlib.asynccontextmanager
async def asking(realm: str, certificate: CertificateFiles, clock: Clock) -> AsyncIterator[Exchange]:
    exchange = Exchange(realm, SERVICE, clock=clock)
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("SSL_CERT_FILE", str(certificate.ca))
        try:
            yield exchange
        finally:
            await exchange.close()


@pytest.fixture
async def exchange(server: TokenServer, certificate: CertificateFiles, clock: Clock) -> AsyncIterator[Exchange]:
    async with asking(server.realm, certificate, clock) as one:
        yield one


@pytest.fixture
def passwords(exchange: Exchange, server: TokenServer, tmp_path: Path) -> PasswordExchange:
    (tmp_path / "keys.pem").write_bytes(public_pem(KEY))
    settings = TokenSettings(server.realm, SERVICE, ISSUER, tmp_path / "keys.pem")
    return PasswordExchange(exchange, TokenScheme(settings))


async def test_a_token_of_an_issuer_is_never_shown_to_the_token_server(
    passwords: PasswordExchange, server: TokenServer, tmp_path: Path
) -> None:
    issuer, file = Issuer("https://issuer.example", tmp_path), tmp_path / "jwks.json"
    file.write_text(json.dumps(issuer.jwks()))
    known = openid.Issuer(OpenIdSettings(issuer.url, (AUDIENCE,)), FileKeys(file, what="jwks"))
    control = AccessControl([openid.OpenIdScheme([known])], lambda: USERS_ALL, exchange=passwords)

    def shown(user: str, password: str) -> str:
        return "Basic " + b64encode(f"{user}:{password}".encode()).decode()

    assert (await control.identify(shown("x", issuer.token(sub="job")), CALLER)).user == "job"
    for wrong in (issuer.token(exp=1), issuer.token(aud="other"), issuer.token(key=make_rsa())):
        with pytest.raises(Unauthenticated) as refused:
            await control.identify(shown("alice", wrong), CALLER)
        assert refused.value.scheme == "openid"
    assert server.asked == []
    assert (await control.identify(shown(ALICE.user, ALICE.password), CALLER, PUSH)).scheme == "token"
    assert len(server.asked) == 1


async def test_a_user_is_whom_the_token_names_and_may_what_it_grants(passwords: PasswordExchange) -> None:
    identity = await passwords.identify(ALICE, CALLER, PUSH)
    assert (identity.user, identity.scheme) == ("alice", "token")
    assert identity.grants is not None
    assert identity.grants.allow(Action.PUSH, "team/app")
    assert not identity.grants.allow(Action.PULL, "team/other")


async def test_nobody_in_particular_may_what_the_server_grants_to_all(passwords: PasswordExchange) -> None:
    identity = await passwords.identify(None, CALLER, PUSH)
    assert identity.user == ""
    assert identity.grants is not None
    assert identity.grants.allow(Action.PULL, "team/app")
    assert not identity.grants.allow(Action.PUSH, "team/app")


async def test_the_server_is_asked_as_docker_asks_it(exchange: Exchange, server: TokenServer) -> None:
    await exchange.get_token(ALICE, PUSH, address=HERE)
    assert server.asked == [("alice", ("repository:team/app:pull,push",))]
    assert server.methods == ["GET"]


async def test_a_wrong_password_is_refused_and_for_a_moment_not_asked_again(
    exchange: Exchange, server: TokenServer, clock: Clock
) -> None:
    for _ in range(3):
        with pytest.raises(WrongCredentials):
            await exchange.get_token(WRONG, PULL, address=HERE)
    assert len(server.asked) == 1
    clock.now += module.REFUSED_SECONDS
    with pytest.raises(WrongCredentials):
        await exchange.get_token(WRONG, PULL, address=HERE)
    assert len(server.asked) == 2


async def test_a_token_is_kept_until_shortly_before_it_ends(
    exchange: Exchange, server: TokenServer, clock: Clock
) -> None:
    server.seconds = 60
    first = await exchange.get_token(ALICE, PULL, address=HERE)
    clock.now += 54
    assert await exchange.get_token(ALICE, PULL, address=HERE) == first
    clock.now += 1
    await exchange.get_token(ALICE, PULL, address=HERE)
    assert len(server.asked) == 2


@pytest.mark.parametrize(("seconds", "kept"), [(None, 55), (1_000_000, MAX_SECONDS), (3, 0)])
async def test_it_is_kept_within_bounds_whatever_the_server_says(
    exchange: Exchange, server: TokenServer, clock: Clock, seconds: int | None, kept: int
) -> None:
    server.seconds = seconds
    await exchange.get_token(ALICE, PULL, address=HERE)
    clock.now += max(0.0, kept - 0.1)
    await exchange.get_token(ALICE, PULL, address=HERE)
    assert len(server.asked) == (1 if kept else 2)
    clock.now += 0.1
    await exchange.get_token(ALICE, PULL, address=HERE)
    assert len(server.asked) == (2 if kept else 3)


async def test_other_users_scopes_and_passwords_are_other_questions(exchange: Exchange, server: TokenServer) -> None:
    for credentials in (ALICE, None):
        for wanted in (PULL, PUSH, ()):
            await exchange.get_token(credentials, wanted, address=HERE)
    assert len(server.asked) == 6
    with pytest.raises(WrongCredentials):
        await exchange.get_token(WRONG, PULL, address=HERE)


async def test_the_same_is_asked_once_at_a_time_and_who_hangs_up_stops_nobody(
    exchange: Exchange, server: TokenServer
) -> None:
    first = asyncio.create_task(exchange.get_token(ALICE, PULL, address=HERE))
    others = [asyncio.create_task(exchange.get_token(ALICE, PULL, address=HERE)) for _ in range(20)]
    await asyncio.sleep(0)
    first.cancel()
    assert len(set(await asyncio.gather(*others))) == 1
    assert len(server.asked) == 1


async def test_too_many_questions_are_told_to_come_again(exchange: Exchange, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WAITING", 4)
    tasks = [asyncio.create_task(exchange.get_token(Basic(f"u{n}", "p"), PULL, address=HERE)) for n in range(3)]
    busy = [one for one in await asyncio.gather(*tasks, return_exceptions=True) if isinstance(one, Busy)]
    assert [one.failure for one in busy] == [Failure.BUSY]


async def test_one_client_leaves_room_for_others_and_they_take_turns(
    server: TokenServer, certificate: CertificateFiles, clock: Clock
) -> None:
    """Anybody may have questions asked, without any password; who has one is not kept waiting by that."""
    async with asking(server.realm, certificate, clock) as exchange:
        server.gate = asyncio.Event()
        scopes = [(Wanted("repository", f"r{n}", ("pull",)),) for n in range(2 * module.WAITING)]
        strangers = [asyncio.create_task(exchange.get_token(None, each, address="192.0.2.66")) for each in scopes]
        for _ in range(1000):
            if len(server.asked) == module.AT_ONCE:
                break
            await asyncio.sleep(0.01)
        alice = asyncio.create_task(exchange.get_token(ALICE, PULL, address=HERE))
        await asyncio.sleep(0)
        server.gate.set()
        assert await alice
        assert [user for user, _ in server.asked].index("alice") <= module.AT_ONCE + 1
        told = await asyncio.gather(*strangers, return_exceptions=True)
        assert sum(isinstance(one, str) for one in told) == module.WAITING * module.SHARE
        assert all(isinstance(one, str | Busy) for one in told)
        assert await exchange.get_token(None, scopes[-1], address="192.0.2.66")


async def test_who_guesses_passwords_is_slowed_by_its_address(
    exchange: Exchange, server: TokenServer, clock: Clock
) -> None:
    """The token server cannot: to it all come from here."""
    for number in range(3 * AT_ONCE):
        told = (WrongCredentials, "refuses") if number < AT_ONCE else (Busy, "too many wrong passwords")
        with pytest.raises(told[0], match=told[1]):
            await exchange.get_token(Basic("alice", f"guess {number}"), PULL, address="192.0.2.66")
    assert len(server.asked) == AT_ONCE
    assert await exchange.get_token(None, PULL, address="192.0.2.66")
    assert await exchange.get_token(ALICE, PULL, address=HERE)
    clock.now += RECOVERY_SECONDS
    assert await exchange.get_token(ALICE, PUSH, address="192.0.2.66")


async def test_guesses_at_the_same_time_are_not_more(exchange: Exchange, server: TokenServer) -> None:
    guesses = [Basic("alice", f"guess {number}") for number in range(60)]
    tasks = [asyncio.create_task(exchange.get_token(each, PULL, address="192.0.2.66")) for each in guesses]
    await asyncio.gather(*tasks, return_exceptions=True)
    assert len(server.asked) < AT_ONCE + module.AT_ONCE


@pytest.mark.parametrize("status", [301, 307, 404, 500, 503])
async def test_what_is_no_answer_is_not_taken_for_a_refusal_and_no_redirect_is_followed(
    exchange: Exchange, server: TokenServer, caplog: pytest.LogCaptureFixture, status: int
) -> None:
    server.status, server.headers = status, {"Location": server.realm}
    with pytest.raises(Busy) as caught:
        await exchange.get_token(ALICE, PULL, address=HERE)
    assert caught.value.failure is Failure.UNAVAILABLE
    assert len(server.asked) == 1
    assert f"it answers {status}" in caplog.text
    assert "secret" not in caplog.text
    server.status = 200
    assert await exchange.get_token(ALICE, PULL, address=HERE)


async def test_a_server_that_asks_for_patience_gets_it(exchange: Exchange, server: TokenServer) -> None:
    server.status, server.headers = 429, {"Retry-After": "7"}
    with pytest.raises(Busy) as caught:
        await exchange.get_token(ALICE, PULL, address=HERE)
    assert (caught.value.failure, caught.value.retry_after) == (Failure.BUSY, 7)


async def test_a_certificate_of_nobody_known_gets_no_password(
    server: TokenServer, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    stranger = Exchange(server.realm, SERVICE, clock=clock)
    with pytest.raises(Busy):
        await stranger.get_token(ALICE, PULL, address=HERE)
    await stranger.close()
    assert server.asked == []
    assert "its certificate is not trusted" in caplog.text


async def test_a_server_that_hangs_is_waited_for_so_long_and_no_longer(
    certificate: CertificateFiles, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "TIMEOUT_SECONDS", 0.3)

    async def wait(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(4096):
            pass
        writer.close()

    silent = await asyncio.start_server(wait, "127.0.0.1", 0)
    port = silent.sockets[0].getsockname()[1]
    async with silent, asking(f"http://127.0.0.1:{port}/token", certificate, clock) as exchange:
        began = time.monotonic()
        with pytest.raises(Busy):
            await exchange.get_token(ALICE, PULL, address=HERE)
        assert time.monotonic() - began < 5


async def test_a_server_that_is_not_there_is_said_to_be(
    certificate: CertificateFiles, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    async with asking("https://127.0.0.1:1/token?a=b", certificate, clock) as exchange:
        with pytest.raises(Busy, match="cannot be asked now"):
            await exchange.get_token(ALICE, PULL, address=HERE)
    assert "https://127.0.0.1:1/token cannot be asked: it cannot be reached (Connection refused)" in caplog.text


async def test_tokens_that_are_of_no_use_here_are_the_servers_fault_and_said(
    passwords: PasswordExchange, server: TokenServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)
    server.header = {"kid": "another"}
    with pytest.raises(Busy) as caught:
        await passwords.identify(ALICE, CALLER, PULL)
    assert caught.value.failure is Failure.UNAVAILABLE
    assert "of no use here: the token is not good: the key 'another'" in caplog.text


async def test_a_token_whose_key_has_changed_meanwhile_is_asked_for_again(
    passwords: PasswordExchange, server: TokenServer
) -> None:
    server.header = {"kid": "another"}
    with pytest.raises(Busy):
        await passwords.identify(ALICE, CALLER, PULL)
    server.header = None
    assert (await passwords.identify(ALICE, CALLER, PULL)).user == "alice"
