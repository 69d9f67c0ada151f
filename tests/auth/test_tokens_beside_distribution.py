"""Tokens as Portside takes them, beside distribution 2.8.2 and 3.1.2 with the same files."""

from __future__ import annotations

import http.client
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from backends.auth.credentials import parse_authorization
from backends.auth.identity import Caller
from backends.auth.schemes import Wanted, WrongCredentials
from backends.auth.token import TokenScheme
from backends.auth.token_settings import TokenSettings
from backends.model.actions import Action
from tests.support.ports import free_port
from tests.support.programs import find_program, running
from tests.support.token_cases import Case, Files, make_cases, write_files
from tests.support.tokens import ISSUER, SERVICE, Keys

REALM = "https://tokens.example/token?a=b"
PAGE = Path(__file__).parents[2] / "docs" / "differences.md"
CALLER = Caller("127.0.0.1", "", "v2", "https://registry.example")
PROGRAMS = {"2": "docker-registry", "3": "registry"}
SILENT_3 = frozenset(
    {
        "another's signature under a kid that is known",
        "exp with a fraction",
        "exp as a text",
        "iat as a text",
        "aud as a number",
        "sub as a number",
        "jti as a number",
        "access as an object",
        "access as an object, at /v2/",
        "actions as a text",
        "chain: good, signed by another key",
        "crit, understood by nobody",
        "a member twice",
        "JWKS: octets",
        "JWKS: octets, HS512",
    }
)
"""Of these, 3.1.2's challenge does not say `invalid_token`."""


@dataclass(frozen=True, slots=True)
class Said:
    """Whether a token was taken, and if not, with which challenge."""

    taken: bool
    challenge: str | None


@dataclass(frozen=True, slots=True)
class Asked:
    case: Case
    answers: Mapping[str, Said]


def ask(port: int, case: Case) -> Said:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    headers = {"Authorization": f"Bearer {case.token}", "Content-Length": "0"}
    connection.request(case.method, case.target, headers=headers)
    answer = connection.getresponse()
    answer.read()
    challenge = answer.getheader("WWW-Authenticate")
    connection.close()
    # Go's maps have no order, so distribution writes either.
    return Said(answer.status != 401, challenge and challenge.replace(":push,pull", ":pull,push"))


def needed(case: Case) -> tuple[Sequence[Wanted], Sequence[tuple[Action, str]]]:
    """What the request needs, as the gate would ask for it."""
    if case.target == "/v2/":
        return (), ()
    if case.target == "/v2/_catalog":
        return (Wanted("registry", "catalog", ("*",)),), ((Action.CATALOG, ""),)
    match = re.match("/v2/(.+?)/(?:tags|blobs|manifests)/", case.target)
    assert match is not None
    action, words = {
        "GET": (Action.PULL, ("pull",)),
        "POST": (Action.PUSH, ("pull", "push")),
        "DELETE": (Action.DELETE, ("delete",)),
    }[case.method]
    return (Wanted("repository", match[1], words),), ((action, match[1]),)


async def ask_here(scheme: TokenScheme, case: Case) -> Said:
    wanted, accesses = needed(case)
    try:
        identity = await scheme.identify(parse_authorization(f"Bearer {case.token}"), CALLER)
    except WrongCredentials as wrong:
        return Said(taken=False, challenge=scheme.challenge(CALLER, wanted, wrong.error))
    except ValueError:  # no token's letters
        return Said(taken=False, challenge=scheme.challenge(CALLER, wanted))
    assert identity is not None
    assert identity.grants is not None
    if all(identity.grants.allow(*access) for access in accesses):
        return Said(taken=True, challenge=None)
    return Said(taken=False, challenge=scheme.challenge(CALLER, wanted, "insufficient_scope"))


@pytest.fixture(scope="module")
def keys() -> Keys:
    return Keys()


@pytest.fixture(scope="module")
def files(keys: Keys, tmp_path_factory: pytest.TempPathFactory) -> Files:
    return write_files(tmp_path_factory.mktemp("token files"), keys)


@pytest.fixture(scope="module")
def theirs(files: Files, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, int]]:
    """Ports of both editions, which run with the files."""
    folder = tmp_path_factory.mktemp("distribution")
    ports = {edition: free_port() for edition in PROGRAMS}
    commands = {}
    for edition, program in PROGRAMS.items():
        token = {"realm": REALM, "service": SERVICE, "issuer": ISSUER, "rootcertbundle": str(files.bundle)}
        settings = {
            "version": 0.1,
            "storage": {"filesystem": {"rootdirectory": str(folder / edition)}, "delete": {"enabled": True}},
            "http": {"addr": f"127.0.0.1:{ports[edition]}"},
            "auth": {"token": {**token, "jwks": str(files.jwks)} if edition == "3" else token},
        }
        path = folder / f"{edition}.yml"
        path.write_text(yaml.safe_dump(settings))
        commands[edition] = [find_program(program), "serve", str(path)]
    with (
        running(commands["2"], folder / "2.log", port=ports["2"]),
        running(commands["3"], folder / "3.log", port=ports["3"]),
    ):
        yield ports


@pytest.fixture
async def asked(keys: Keys, files: Files, theirs: Mapping[str, int]) -> Sequence[Asked]:
    scheme = TokenScheme(TokenSettings(REALM, SERVICE, ISSUER, files.bundle, files.jwks))
    return [
        Asked(
            case,
            {
                **{edition: ask(theirs[edition], case) for edition in PROGRAMS if edition in case.asked},
                **({"ours": await ask_here(scheme, case)} if "ours" in case.asked else {}),
            },
        )
        for case in make_cases(keys, files.bundle.parent, time.time())
    ]


@pytest.mark.xdist_group("tokens beside distribution")
async def test_each_token_is_taken_by_those_that_the_table_says_and_refused_in_the_same_words(
    asked: Sequence[Asked],
) -> None:
    assert len(asked) > 80
    for one in asked:
        taken = {who for who, said in one.answers.items() if said.taken}
        assert taken == set(one.case.taken.split()), one.case.name
        challenges = {who: said.challenge for who, said in one.answers.items() if not said.taken}
        if one.case.name in SILENT_3 and "3" in challenges:
            assert "error" not in (challenges.pop("3") or ""), one.case.name
        if one.case.name == "padding":
            challenges.pop("ours", None)  # refused before anybody asks what it is
        assert len(set(challenges.values())) <= 1, (one.case.name, challenges)


@pytest.mark.xdist_group("tokens beside distribution")
async def test_the_page_names_every_token_that_not_all_take(asked: Sequence[Asked]) -> None:
    rows = re.findall(r"^\| ([^|]+) \| (yes|no|-) \| (yes|no|-) \| (yes|no) \|", PAGE.read_text(), re.MULTILINE)
    marks = ("2", "3", "ours")
    shown = {
        (
            one.case.name,
            *(("yes" if one.answers[mark].taken else "no") if mark in one.answers else "-" for mark in marks),
        )
        for one in asked
        if "ours" in one.answers and len({said.taken for said in one.answers.values()}) > 1
    }
    assert {tuple(row) for row in rows} == shown
