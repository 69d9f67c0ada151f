"""Tokens of v1: good for one identity, one repository, one access and a while, in every spelling that clients have."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.auth.access_control import AccessControl, Unauthenticated
from backends.auth.credentials import V1Token, parse_authorization
from backends.auth.identity import ANONYMOUS, Caller, Identity
from backends.auth.own_tokens import OwnToken, issue
from backends.auth.rules import USERS_ALL
from backends.auth.schemes import Busy, Failure, WrongCredentials
from backends.auth.v1_tokens import V1_TOKEN_SECONDS, V1Access, V1Tokens
from backends.model.actions import Action
from backends.model.v1names import V1Name, parse_v1_name
from backends.storage.driver import StorageError

KEY = b"k" * 32
ALICE = Identity("alice", "htpasswd", frozenset({"devs"}), {"ref": frozenset({"main"})})
CALLER = Caller("127.0.0.1", "docker/1.5.0", "v1", "https://registry.example:5000")
APP = parse_v1_name("team/app")


class Clock:
    """Time that a test moves."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


async def get_key() -> bytes:
    return KEY


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def tokens(clock: Clock) -> V1Tokens:
    return V1Tokens(get_key, now=clock)


async def shown(tokens: V1Tokens, header: str, *, as_sent: str = "Token {}") -> Identity:
    """Sends a token back as a client does."""
    credentials = parse_authorization(as_sent.format(header))
    identity = await tokens.identify(credentials, CALLER)
    assert identity is not None
    return identity


@pytest.mark.parametrize("as_sent", ["Token {}", "{}", "token {}", "TOKEN  {}"])
async def test_it_says_who_somebody_is_however_a_client_sends_it_back(tokens: V1Tokens, as_sent: str) -> None:
    header = await tokens.issue(ALICE, APP, "write")
    assert header.startswith("Token signature=")
    assert header.endswith(',repository="team/app",access=write')
    identity = await shown(tokens, header, as_sent=as_sent)
    assert (identity.user, identity.scheme, identity.groups, identity.claims) == (
        "alice",
        "htpasswd",
        ALICE.groups,
        ALICE.claims,
    )


@pytest.mark.parametrize(
    ("access", "allowed"),
    [("read", {Action.PULL}), ("write", {Action.PULL, Action.PUSH}), ("delete", {Action.DELETE})],
)
async def test_it_reaches_what_was_begun_and_no_other_repository(
    tokens: V1Tokens, access: V1Access, allowed: set[Action]
) -> None:
    grants = (await shown(tokens, await tokens.issue(ALICE, APP, access))).grants
    assert grants is not None
    for action in (Action.PULL, Action.PUSH, Action.DELETE, Action.CATALOG, Action.SEARCH):
        assert grants.allow(action, "team/app") == (action in allowed)
        for other in ("team/ap", "team/app/x", "app", "library/app", ""):
            assert not grants.allow(action, other)


async def test_both_names_of_a_repository_are_one(tokens: V1Tokens) -> None:
    header = await tokens.issue(ALICE, parse_v1_name("busybox"), "read")
    assert 'repository="library/busybox"' in header
    for spelling in (header, header.replace("library/busybox", "busybox")):
        grants = (await shown(tokens, spelling)).grants
        assert grants is not None
        assert grants.allow(Action.PULL, "busybox")


@pytest.mark.parametrize("name", ["team/a b", "Team/App", "t,m/x", 'q"/x', "a+b/c+d", "deep/er/name", "a%b/c"])
async def test_names_that_only_v1_has_come_back_whole(tokens: V1Tokens, name: str) -> None:
    grants = (await shown(tokens, await tokens.issue(ALICE, parse_v1_name(name), "read"))).grants
    assert grants is not None
    assert grants.allow(Action.PULL, parse_v1_name(name).canonical)


async def refused(tokens: V1Tokens, header: str) -> None:
    with pytest.raises(WrongCredentials) as raised:
        await tokens.identify(parse_authorization(f"Token {header}"), CALLER)
    assert raised.value.failure in {Failure.TOKEN, Failure.EXPIRED}


@pytest.mark.parametrize(
    ("said", "instead"),
    [("team/app", "team/other"), ("access=read", "access=write"), ("signature=", "signature=x"), ("team/app", "..")],
)
async def test_what_was_changed_is_refused(tokens: V1Tokens, said: str, instead: str) -> None:
    header = await tokens.issue(ALICE, APP, "read")
    await shown(tokens, header)
    await refused(tokens, header.replace(said, instead))


async def test_it_ends(tokens: V1Tokens, clock: Clock) -> None:
    header = await tokens.issue(ALICE, APP, "read")
    clock.now += V1_TOKEN_SECONDS - 1
    await shown(tokens, header)
    clock.now += 1
    await refused(tokens, header)


async def test_one_that_was_got_for_another_ends_no_later(tokens: V1Tokens, clock: Clock) -> None:
    holder = await shown(tokens, await tokens.issue(ALICE, APP, "write"))
    clock.now += V1_TOKEN_SECONDS - 10
    again = await tokens.issue(holder, APP, "write")
    await shown(tokens, again)
    clock.now += 10
    await refused(tokens, again)


async def test_those_of_another_installation_and_of_another_kind_are_refused(tokens: V1Tokens, clock: Clock) -> None:
    async def other() -> bytes:
        return b"o" * 32

    await refused(tokens, await V1Tokens(other, now=clock).issue(ALICE, APP, "read"))
    bearer = OwnToken("bearer", "alice", "htpasswd", repository="team/app", access="read", expires=int(clock.now) + 60)
    await refused(tokens, f'signature={issue(KEY, bearer)},repository="team/app",access=read')
    await refused(tokens, 'signature=K4C6UUT6258IWYG3,repository="team/app",access=read')


@given(st.text(st.characters(codec="ascii"), max_size=80))
async def test_nothing_else_is_good(signature: str) -> None:
    with pytest.raises(WrongCredentials):
        await V1Tokens(get_key).identify(V1Token(signature, "team/app", "read"), CALLER)


async def test_anonymous_callers_stay_anonymous(tokens: V1Tokens) -> None:
    identity = await shown(tokens, await tokens.issue(ANONYMOUS, APP, "write"))
    control = AccessControl([tokens], lambda: USERS_ALL)
    assert not identity.user
    assert not control.may(identity, Action.PULL, "team/app")
    assert not control.may(identity, Action.PUSH, "team/app")


@pytest.mark.parametrize(("scheme", "knows"), [("htpasswd", True), ("token", False), ("none", True)])
async def test_only_a_token_server_says_nothing_of_other_repositories(
    tokens: V1Tokens,
    scheme: str,
    knows: bool,  # noqa: FBT001 - a case
) -> None:
    grants = (await shown(tokens, await tokens.issue(Identity("bob", scheme), APP, "write"))).grants
    assert getattr(grants, "knows_others", None) == knows


async def test_other_credentials_are_left_to_other_schemes(tokens: V1Tokens) -> None:
    for header in (None, "Basic YWxpY2U6c2VjcmV0", "Bearer abc"):
        assert await tokens.identify(parse_authorization(header), CALLER) is None


async def test_without_a_key_the_client_is_asked_to_come_again() -> None:
    async def none() -> bytes:
        raise StorageError("the disk is gone")

    tokens = V1Tokens(none)
    with pytest.raises(Busy) as raised:
        await tokens.identify(V1Token("x", "team/app", "read"), CALLER)
    assert raised.value.failure is Failure.UNAVAILABLE


async def test_the_challenge_is_docker_registrys_and_for_v1_alone(tokens: V1Tokens) -> None:
    assert tokens.challenge(CALLER, ()) == "Token"
    assert tokens.challenge(Caller("::1", "", "v2", "https://x"), ()) is None
    control = AccessControl([tokens], lambda: USERS_ALL)
    with pytest.raises(Unauthenticated) as raised:
        await control.identify('Token signature=abc,repository="team/app",access=read', CALLER)
    assert raised.value.scheme == "v1-token"


def test_a_name_is_written_as_it_is_stored() -> None:
    assert V1Name("a", "b/c").stored == "b%2Fc"
