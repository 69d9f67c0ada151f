"""Tokens as Portside takes them, beside distribution 2.8.2 and 3.1.2 with the same files."""

from __future__ import annotations

import asyncio
import http.client
import json
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from backends.auth.token import TokenScheme
from backends.auth.token_settings import TokenSettings
from tests.support.gated import gated
from tests.support.ports import free_port
from tests.support.programs import DISTRIBUTION, find_program, running
from tests.support.token_cases import Case, Files, make_cases, write_files
from tests.support.tokens import ISSUER, SERVICE, Keys

REALM = "https://tokens.example/token?a=b"
PAGE = Path(__file__).parents[2] / "docs" / "differences.md"
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
    """Whether a token was taken, and if not, with which challenge and body."""

    taken: bool
    challenge: str | None
    body: str = ""


@dataclass(frozen=True, slots=True)
class Asked:
    case: Case
    answers: Mapping[str, Said]


def ask(port: int, case: Case) -> Said:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    headers = {"Authorization": f"Bearer {case.token}", "Content-Length": "0"}
    connection.request(case.method, case.target, headers=headers)
    answer = connection.getresponse()
    body = answer.read()
    challenge = answer.getheader("WWW-Authenticate")
    connection.close()
    if answer.status != 401:
        return Said(taken=True, challenge=None)
    (error,) = json.loads(body)["errors"]
    facts = sorted((one["Type"], one["Class"], one["Name"], one["Action"]) for one in error["detail"] or ())
    assert challenge is not None
    return Said(taken=False, challenge=_in_order(challenge), body=f"{error['code']} {error['message']} {facts}")


def _in_order(challenge: str) -> str:
    """A challenge with its scopes in order: Go's maps have none, so distribution writes any."""
    head, mark, rest = challenge.partition('scope="')
    scopes, end, tail = rest.partition('"')
    return (
        head + mark + " ".join(sorted(each.replace(":push,pull", ":pull,push") for each in scopes.split())) + end + tail
    )


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
    ports = {edition: free_port() for edition in DISTRIBUTION}
    commands = {}
    for edition, program in DISTRIBUTION.items():
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
    async with gated(scheme) as here:
        ports = {**theirs, "ours": here.v2.port}
        return [
            Asked(
                case,
                {who: await asyncio.to_thread(ask, port, case) for who, port in ports.items() if who in case.asked},
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
        assert len({said.body for said in one.answers.values() if not said.taken}) <= 1, (one.case.name, one.answers)


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
