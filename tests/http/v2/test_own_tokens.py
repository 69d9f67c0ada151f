"""Portside's own token endpoint: anonymous pull and authenticated push on one address."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

import pytest

from backends.auth.credentials import Bearer, Credentials
from backends.auth.identity import Caller, Identity
from backends.auth.own_bearers import OwnBearers
from backends.auth.rules import USERS_ALL
from backends.auth.schemes import Wanted, WrongCredentials
from tests.support.gated import Gated, Passwords, Tokens, basic, bearer, gated
from tests.support.serving_here import Answer

RULES = """
- {allow: pull, to: anyone}
- {allow: push, to: users}
- {deny: pull, to: anyone, on: secret/**}
"""
TOKEN = "/v2/_portside/token"
APP = "team/app"


@pytest.fixture
async def here() -> AsyncIterator[Gated]:
    async with gated(Passwords(), rules=RULES, has_tokens=True) as both:
        await both.open.push_image(APP, "t")
        yield both


async def token(here: Gated, headers: dict[str, str] | None = None) -> str:
    answer = await here.v2.ask("GET", f"{TOKEN}?service=x&scope=repository:{APP}:pull&account=alice", headers or {})
    assert answer.status == 200, answer.body
    assert answer["Cache-Control"] == "no-store"
    assert answer.json["token"] == answer.json["access_token"]
    assert answer.json["expires_in"] == 300
    return str(answer.json["token"])


def told(answer: Answer) -> tuple[int, list[str]]:
    return answer.status, answer.head.values("WWW-Authenticate")


async def test_where_anyone_may_something_the_challenge_is_bearer_alone(here: Gated) -> None:
    where = f'Bearer realm="http://{here.v2.authority}{TOKEN}",service="{here.v2.authority}"'
    assert told(await here.v2.ask("GET", "/v2/")) == (401, [where])
    assert told(await here.v2.ask("POST", f"/v2/{APP}/blobs/uploads/")) == (
        401,
        [f'{where},scope="repository:{APP}:pull,push"'],
    )
    assert (await here.v2.ask("GET", f"/v2/{APP}/manifests/t")).status == 200


async def test_v1_has_basic_all_the_same(here: Gated) -> None:
    answer = await here.v1.ask("PUT", f"/v1/repositories/{APP}/", body=b"[]")
    assert told(answer) == (401, ['Basic realm="here"', "Token"])


async def test_where_all_need_a_password_it_is_basic_as_ever() -> None:
    async with gated(Passwords(), rules="- {allow: push, to: users}", has_tokens=True) as here:
        assert told(await here.v2.ask("GET", "/v2/")) == (401, ['Basic realm="here"'])


async def test_a_token_says_who_has_asked_for_it_and_basic_says_the_same(here: Gated) -> None:
    for headers in (basic("alice"), bearer(await token(here, basic("alice")))):
        assert (await here.v2.ask("GET", "/v2/", headers)).status == 200
        assert (await here.v2.ask("POST", f"/v2/{APP}/blobs/uploads/", headers)).status == 202


async def test_nobody_gets_a_token_that_is_good_for_what_anyone_may(here: Gated) -> None:
    for asked in ({}, {"Authorization": "Basic Og=="}):
        headers = bearer(await token(here, asked))
        assert (await here.v2.ask("GET", f"/v2/{APP}/manifests/t", headers)).status == 200
        assert (await here.v2.ask("GET", "/v2/", headers)).status == 401
        assert (await here.v2.ask("POST", f"/v2/{APP}/blobs/uploads/", headers)).status == 401


async def test_a_wrong_password_gets_no_token(here: Gated) -> None:
    assert (await here.v2.ask("GET", TOKEN, basic("alice", "wrong"))).status == 401
    assert (await here.v2.ask("GET", TOKEN, basic("busy"))).status == 429


async def test_a_token_gets_no_other_one() -> None:
    async with gated(Tokens({"t": ("bob", [f"pull:{APP}"])}), Passwords(), rules=RULES, has_tokens=True) as here:
        for headers in (bearer(await token(here, basic("alice"))), bearer("t")):
            assert (await here.v2.ask("GET", TOKEN, headers)).status == 403


async def test_a_token_of_another_host_is_not_good_here(here: Gated) -> None:
    headers = bearer(await token(here, basic("alice")))
    async with gated(Passwords(), rules=RULES, has_tokens=True, storage=here.storage) as elsewhere:
        wrong = await elsewhere.v2.ask("GET", "/v2/", headers)
    assert wrong.status == 401
    assert wrong["WWW-Authenticate"].endswith(',error="invalid_token"')


async def test_a_forwarded_host_that_nobody_vouches_for_is_not_the_realms(here: Gated) -> None:
    forwarded = {"X-Forwarded-Host": "elsewhere.example", "X-Forwarded-Proto": "gopher", "Forwarded": "host=elsewhere"}
    challenge = (await here.v2.ask("GET", "/v2/", forwarded))["WWW-Authenticate"]
    assert challenge.startswith(f'Bearer realm="http://{here.v2.authority}{TOKEN}",')


async def test_it_is_not_there_without_access_control_or_tokens(here: Gated) -> None:
    assert (await here.open.ask("GET", TOKEN)).status == 404
    async with gated(Passwords(), rules=RULES) as without:
        assert (await without.v2.ask("GET", TOKEN)).status == 404


class Certificates:
    """Everybody has a certificate, of carol."""

    name = "certificate"

    async def identify(self, credentials: Credentials | None, caller: Caller) -> Identity | None:  # noqa: ARG002 - a scheme
        return Identity("carol", self.name) if credentials is None else None

    def challenge(self, caller: Caller, wanted: Sequence[Wanted], error: str = "") -> str | None:  # noqa: ARG002 - a scheme
        return None


async def test_a_certificate_is_never_made_a_token_of() -> None:
    async with gated(Passwords(), Certificates(), rules=RULES, has_tokens=True) as here:
        assert (await here.v2.ask("GET", "/v2/")).status == 200
        assert (await here.v2.ask("GET", "/v2/", bearer(await token(here)))).status == 401


async def test_one_that_is_remembered_is_no_better_elsewhere_or_later() -> None:
    now = [1_800_000_000.0]

    async def key() -> bytes:
        return b"k" * 32

    tokens = OwnBearers(key, lambda: USERS_ALL, now=lambda: now[0])
    caller = Caller("127.0.0.1", "", "v2", "https://here.example")
    shown = Bearer((await tokens.issue(Identity("alice", "htpasswd"), caller)).text)
    assert await tokens.identify(shown, caller) == Identity("alice", "htpasswd")
    with pytest.raises(WrongCredentials, match=r"issued for 'here\.example'"):
        await tokens.identify(shown, caller._replace(origin="https://there.example"))
    now[0] += 300
    with pytest.raises(WrongCredentials, match="expired"):
        await tokens.identify(shown, caller)


async def test_a_post_is_answered_405_so_that_clients_go_on_with_get(here: Gated) -> None:
    answer = await here.v2.ask("POST", TOKEN, body=b"grant_type=password&username=alice&password=x")
    assert answer.status == 405
