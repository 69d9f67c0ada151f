"""Tokens of issuers: which are taken, as whose, and which are left to other schemes."""

from __future__ import annotations

import json
import time
from base64 import b64encode
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from backends.auth import followed_file
from backends.auth.credentials import Basic, Bearer, Credentials, Unreadable, V1Token
from backends.auth.identity import Caller
from backends.auth.issuer_keys import FileKeys
from backends.auth.openid import Issuer, OpenIdScheme
from backends.auth.openid_settings import OpenIdSettings
from backends.auth.remote_keys import RemoteKeys
from backends.auth.schemes import Busy, Failure, Wanted, WrongCredentials
from backends.model.base64url import decode, encode
from portside.fetching_keys import fetch_keys
from tests.support import issuer as issuers
from tests.support.held import texts_held_by
from tests.support.issuer import AUDIENCE, page, running_issuer
from tests.support.tokens import make_rsa, make_token, public_jwk

CALLER = Caller("192.0.2.1", "", "v2", "https://registry.example")


class Clock:
    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead


@pytest.fixture
async def issuer(tmp_path: Path) -> AsyncIterator[issuers.Issuer]:
    async with running_issuer(tmp_path / "issuer") as running:
        yield running


def scheme_of(*running: issuers.Issuer, clock: Clock | None = None, **settings: Any) -> OpenIdScheme:
    made = []
    for each in running:
        said = OpenIdSettings(each.url, **{"audiences": (AUDIENCE,), "ca": each.ca, **settings})
        keys = RemoteKeys(partial(fetch_keys, said), issuer=each.url, clock=clock or time.monotonic)
        made.append(Issuer(said, keys))
    return OpenIdScheme(made, clock=clock or time.time)


async def refused(scheme: OpenIdScheme, token: str) -> WrongCredentials:
    with pytest.raises(WrongCredentials) as wrong:
        await scheme.identify(Bearer(token), CALLER)
    assert token not in wrong.value.reason
    return wrong.value


GITHUB = {
    "sub": "repo:octo-org/octo-repo:environment:prod",
    "environment": "prod",
    "ref": "refs/heads/main",
    "repository": "octo-org/octo-repo",
    "repository_owner": "octo-org",
    "repository_id": "74",
    "run_attempt": "2",
    "workflow": "example-workflow",
    "job_workflow_ref": "octo-org/automation/.github/workflows/oidc.yml@refs/heads/main",
}
GITLAB = {
    "sub": "project_path:my-group/my-project:ref_type:branch:ref:feature-branch-1",
    "namespace_id": "72",
    "namespace_path": "my-group",
    "project_path": "my-group/my-project",
    "ref": "feature-branch-1",
    "ref_protected": "false",
    "groups_direct": ["my-group", "my-group/sub"],
    "user_identities": [{"provider": "github", "extern_uid": "2435223452345"}],
}
KUBERNETES = {
    "aud": ["https://kubernetes.default.svc.cluster.local", AUDIENCE],
    "sub": "system:serviceaccount:ci:builder",
    "kubernetes.io": {
        "namespace": "ci",
        "pod": {"name": "builder-5d9", "uid": "5e0bd49b-f040-43b0-99b7-22765a53f7f3"},
        "serviceaccount": {"name": "builder", "uid": "14ee3fa4-a7e2-420f-9f9a-dbc4507c3798"},
    },
}


@pytest.mark.parametrize(
    ("claims", "settings", "user", "groups", "said"),
    [
        (GITHUB, {}, "repo:octo-org/octo-repo:environment:prod", set(), {"repository_owner": {"octo-org"}}),
        (GITHUB, {"user": "repository", "prefix": "github:"}, "github:octo-org/octo-repo", set(),
         {"ref": {"refs/heads/main"}}),
        (GITLAB, {"user": "project_path", "groups": "groups_direct", "prefix": "gl:"}, "gl:my-group/my-project",
         {"gl:my-group", "gl:my-group/sub"}, {"ref_protected": {"false"}, "namespace_id": {"72"}}),
        (KUBERNETES, {"prefix": "k8s:"}, "k8s:system:serviceaccount:ci:builder", set(),
         {"kubernetes.io.namespace": {"ci"}, "kubernetes.io.serviceaccount.name": {"builder"}}),
        (KUBERNETES, {"user": "kubernetes.io.serviceaccount.name"}, "builder", set(), {}),
        ({"groups": "one"}, {}, "alice", {"one"}, {}),
        ({"groups": ["a", "b"]}, {"groups": ""}, "alice", set(), {"groups": {"a", "b"}}),
        ({"groups": {"nested": "x"}}, {}, "alice", set(), {"groups.nested": {"x"}}),
    ],
)  # fmt: skip
async def test_whom_tokens_name_as_issuers_shape_them(
    claims: dict[str, Any], settings: dict[str, Any], user: str, groups: set[str], said: dict[str, set[str]],
    issuer: issuers.Issuer,
) -> None:  # fmt: skip
    scheme = scheme_of(issuer, **settings)
    identity = await scheme.identify(Bearer(issuer.token(**claims)), CALLER)
    assert identity is not None
    assert (identity.user, identity.scheme, identity.grants) == (user, "openid", None)
    assert identity.groups == groups
    assert {name: identity.claims[name] for name in said} == said


async def test_a_token_is_a_bearer_and_a_password_whatever_the_user_is_called(issuer: issuers.Issuer) -> None:
    scheme, token = scheme_of(issuer), issuer.token()
    for credentials in (Bearer(token), Basic("anything", token), Basic("", token), Basic("bob", token)):
        identity = await scheme.identify(credentials, CALLER)
        assert identity is not None
        assert identity.user == "alice"


def foreign(issuer: issuers.Issuer) -> list[Credentials | None]:
    token = issuer.token()
    head, payload, signature = token.split(".")
    return [
        None,
        Basic("alice", "a password"),
        Basic("alice", "a.password.with-dots"),
        Basic(token, ""),
        Bearer("opaque"),
        Bearer(issuer.token(iss="https://other.example")),
        Bearer(issuer.token(iss=f"{issuer.url}/")),
        Bearer(issuer.token(iss=issuer.url.upper())),
        Bearer(issuer.token(iss=...)),
        Bearer(issuer.token(iss=[issuer.url])),
        Basic("alice", f"{head}.{payload}"),
        Basic("alice", f"{head}.{payload}.{signature}.more"),
        Basic("alice", f"{token}\udcff"),
        Basic("alice", issuer.token(more="x" * 9000)),
        Unreadable("of no kind"),
        V1Token(token, "x", "read"),
    ]


async def test_what_is_of_no_issuer_here_is_left_to_others_and_nobody_is_asked(issuer: issuers.Issuer) -> None:
    scheme = scheme_of(issuer)
    for credentials in foreign(issuer):
        assert await scheme.identify(credentials, CALLER) is None, credentials
    assert issuer.asked == []


async def test_a_token_that_is_not_good_is_refused(issuer: issuers.Issuer) -> None:
    now, stranger = int(time.time()), make_rsa()
    secret = json.dumps(public_jwk(issuer.keys["one"])).encode()
    scheme = scheme_of(issuer)
    cases = [
        (issuer.token(exp=now - 61), "it has expired", Failure.EXPIRED),
        (issuer.token(exp=...), "it has no exp", Failure.EXPIRED),
        (issuer.token(exp=str(now + 60)), "its exp is not a whole number", Failure.TOKEN),
        (issuer.token(nbf=now + 90), "it is not good before", Failure.TOKEN),
        (issuer.token(aud="other"), "its audience is 'other', not 'registry.example'", Failure.TOKEN),
        (issuer.token(aud=[]), "its audience is", Failure.TOKEN),
        (issuer.token(aud=...), "its audience is", Failure.TOKEN),
        (issuer.token(aud=[AUDIENCE, 7]), "its audience is neither", Failure.TOKEN),
        (issuer.token(aud=AUDIENCE.upper()), "its audience is", Failure.TOKEN),
        (issuer.token(sub=...), "it has no sub", Failure.TOKEN),
        (issuer.token(sub=""), "it has no sub", Failure.TOKEN),
        (issuer.token(sub=["alice", "bob"]), "its sub has several values", Failure.TOKEN),
        (issuer.token(sub="line\nbreak"), "some cannot be printed", Failure.TOKEN),
        (issuer.token(sub="x" * 256), "longer than 255", Failure.TOKEN),
        (issuer.token(key=stranger), "its signature is not one", Failure.TOKEN),
        (issuer.token({"kid": "two"}), "the key 'two' is not one", Failure.TOKEN),
        (issuer.token({"kid": ...}), "names no key", Failure.TOKEN),
        (issuer.token({"kid": ""}), "names no key", Failure.TOKEN),
        (issuer.token({"jwk": public_jwk(stranger), "kid": "one"}, stranger), "its signature is not", Failure.TOKEN),
        (issuer.token({"alg": "none"}), "the algorithm 'none'", Failure.TOKEN),
        (make_token({"alg": "HS256", "kid": "one"}, {"iss": issuer.url, "aud": AUDIENCE, "sub": "a", "exp": now + 60},
                    secret), "the algorithm 'HS256'", Failure.TOKEN),
        (issuer.token({"crit": ["x"]}), "", None),
        (issuer.token(None, None, **{"a.b": "1", "a": {"b": "2"}}), "two of its claims", Failure.TOKEN),
    ]  # fmt: skip
    for token, reason, failure in cases:
        if failure is None:  # its header says that it means something else than it seems to
            assert await scheme.identify(Bearer(token), CALLER) is None
            continue
        wrong = await refused(scheme, token)
        assert reason in wrong.reason
        assert (wrong.failure, wrong.error) == (failure, "invalid_token")
        with pytest.raises(WrongCredentials):  # and as a password: no other scheme is asked
            await scheme.identify(Basic("alice", token), CALLER)
    assert issuer.count() == 1


async def test_each_changed_part_makes_a_token_no_good(issuer: issuers.Issuer) -> None:
    scheme = scheme_of(issuer)
    head, payload, signature = issuer.token().split(".")
    said = json.loads(decode(payload))
    other = encode(json.dumps({**said, "sub": "root"}).encode())
    assert "its signature is not one" in (await refused(scheme, f"{head}.{other}.{signature}")).reason
    other = encode(json.dumps({**json.loads(decode(head)), "typ": "at+jwt"}).encode())
    assert "its signature is not one" in (await refused(scheme, f"{other}.{payload}.{signature}")).reason
    cut = encode(decode(signature)[:-1])
    assert "its signature is not one" in (await refused(scheme, f"{head}.{payload}.{cut}")).reason
    with pytest.raises(WrongCredentials, match="it has no signature"):
        await scheme.identify(Bearer(f"{head}.{payload}."), CALLER)


async def test_clocks_may_differ_by_a_minute(issuer: issuers.Issuer) -> None:
    now = int(time.time())
    identity = await scheme_of(issuer).identify(Bearer(issuer.token(exp=now - 50, nbf=now + 50)), CALLER)
    assert identity is not None


@pytest.mark.parametrize("audiences", [("a", AUDIENCE), (AUDIENCE,)])
async def test_one_of_the_audiences_is_enough(audiences: tuple[str, ...], issuer: issuers.Issuer) -> None:
    scheme = scheme_of(issuer, audiences=audiences)
    assert await scheme.identify(Bearer(issuer.token(aud=["x", AUDIENCE])), CALLER)


@pytest.mark.parametrize(
    ("algorithm", "key"),
    [
        ("ES256", ec.generate_private_key(ec.SECP256R1())),
        ("ES384", ec.generate_private_key(ec.SECP384R1())),
        ("ES512", ec.generate_private_key(ec.SECP521R1())),
        ("EdDSA", ed25519.Ed25519PrivateKey.generate()),
        *((name, make_rsa()) for name in ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")),
    ],
)
async def test_algorithms_of_public_keys_are_taken(algorithm: str, key: Any, issuer: issuers.Issuer) -> None:
    issuer.keys["one"] = key
    assert await scheme_of(issuer).identify(Bearer(issuer.token({"alg": algorithm})), CALLER)


async def test_one_issuers_token_by_anothers_key_is_refused(issuer: issuers.Issuer, tmp_path: Path) -> None:
    async with running_issuer(tmp_path / "other") as other:
        other.keys["two"] = make_rsa()
        scheme = scheme_of(issuer, other)
        assert await scheme.identify(Bearer(issuer.token()), CALLER)
        assert await scheme.identify(Bearer(other.token({"kid": "two"})), CALLER)
        forged = issuer.token({"kid": "two"}, other.keys["two"])
        assert "the key 'two' is not one" in (await refused(scheme, forged)).reason
        forged = issuer.token({"kid": "one"}, other.keys["one"])
        assert "its signature is not one" in (await refused(scheme, forged)).reason


async def test_a_verified_token_is_remembered_until_it_expires_or_its_key_is_withdrawn(
    issuer: issuers.Issuer,
) -> None:
    clock = Clock()
    scheme, token = scheme_of(issuer, clock=clock), issuer.token(exp=int(time.time()) + 300)
    first = await scheme.identify(Bearer(token), CALLER)
    assert await scheme.identify(Basic("x", token), CALLER) is first
    del issuer.keys["one"]
    issuer.keys["two"] = make_rsa()
    clock.ahead = 20
    assert await scheme.identify(Bearer(token), CALLER) is first, "nobody has fetched the new keys yet"
    assert await scheme.identify(Bearer(issuer.token({"kid": "two"})), CALLER)
    assert "the key 'one' is not one" in (await refused(scheme, token)).reason


def header(credentials: Bearer | Basic) -> str:
    if isinstance(credentials, Bearer):
        return f"Bearer {credentials.token}"
    return "Basic " + b64encode(f"{credentials.user}:{credentials.password}".encode()).decode()


async def test_the_question_whether_a_header_is_known_holds_no_token(issuer: issuers.Issuer) -> None:
    clock = Clock()
    scheme, token = scheme_of(issuer, clock=clock), issuer.token(exp=int(time.time()) + 300)
    identity = await scheme.identify(Bearer(token), CALLER)
    ask = scheme.recalling(header(Bearer(token)))
    assert ask() is identity
    held = texts_held_by(ask)
    assert identity is not None
    assert identity.user in held
    assert not any(token.rpartition(".")[2] in each for each in held)
    clock.ahead = 365
    assert ask() is None


async def test_a_header_is_known_again_while_its_token_and_its_key_hold(issuer: issuers.Issuer) -> None:
    clock = Clock()
    scheme, token = scheme_of(issuer, clock=clock), issuer.token(exp=int(time.time()) + 300)
    shown: list[Bearer | Basic] = [Bearer(token), Basic("token", token), Basic("Zoë", token)]
    for each in shown:
        assert scheme.recall(header(each)) is None
        identity = await scheme.identify(each, CALLER)
        assert scheme.recall(header(each)) is identity
        assert scheme.recall(header(each) + "x") is None
        assert scheme.recall(header(Basic("other", token))) is None
    last = header(shown[-1])
    clock.ahead = 355
    assert scheme.recall(last) is not None
    clock.ahead = 365
    assert scheme.recall(last) is None
    clock.ahead = 20
    del issuer.keys["one"]
    issuer.keys["two"] = make_rsa()
    assert await scheme.identify(Bearer(issuer.token({"kid": "two"})), CALLER)
    assert scheme.recall(last) is None
    with pytest.raises(WrongCredentials):
        await scheme.identify(Basic("wrong", issuer.token(aud="other")), CALLER)
    assert scheme.recall(header(Basic("wrong", issuer.token(aud="other")))) is None


async def test_a_remembered_token_expires(issuer: issuers.Issuer) -> None:
    clock = Clock()
    scheme, token = scheme_of(issuer, clock=clock), issuer.token(exp=int(time.time()) + 300)
    assert await scheme.identify(Bearer(token), CALLER)
    clock.ahead = 355
    assert await scheme.identify(Bearer(token), CALLER)
    clock.ahead = 365
    for _ in range(2):
        assert (await refused(scheme, token)).failure is Failure.EXPIRED


async def test_while_an_issuer_is_down_known_tokens_go_on_and_others_are_asked_to_come_again(
    issuer: issuers.Issuer,
) -> None:
    scheme = scheme_of(issuer)
    issuer.pages["/jwks"] = page("", status=500)
    with pytest.raises(Busy) as busy:
        await scheme.identify(Bearer(issuer.token()), CALLER)
    assert busy.value.failure is Failure.UNAVAILABLE
    assert (await refused(scheme, issuer.token(aud="other"))).failure is Failure.TOKEN, "no key is needed for that"


async def test_keys_of_a_file_are_followed(
    issuer: issuers.Issuer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(followed_file, "LOOK_SECONDS", 0.0)
    file = tmp_path / "jwks.json"
    file.write_text(json.dumps(issuer.jwks()))
    keys = FileKeys(file, what="gateway.auth.openid.jwks")
    scheme = OpenIdScheme([Issuer(OpenIdSettings(issuer.url, (AUDIENCE,)), keys)])
    token = issuer.token()
    assert await scheme.identify(Bearer(token), CALLER)
    issuer.keys = {"two": make_rsa()}
    file.write_text(json.dumps(issuer.jwks()))
    assert scheme.recall(f"Bearer {token}") is None, "somebody has to look at the file"
    assert "the key 'one' is not one" in (await refused(scheme, token)).reason
    assert await scheme.identify(Bearer(issuer.token()), CALLER)
    assert issuer.asked == []


def test_the_challenge_is_basic_or_anothers() -> None:
    wanted = [Wanted("repository", "x", ("pull",))]
    assert OpenIdScheme([], realm='the "registry"').challenge(CALLER, wanted) == 'Basic realm="the \\"registry\\""'
    assert OpenIdScheme([]).challenge(CALLER, wanted, "invalid_token") is None
