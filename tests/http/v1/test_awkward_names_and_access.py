"""Rules reach every name that v1 has, and no name passes for another."""

from __future__ import annotations

from collections.abc import AsyncIterator
from hashlib import sha256

import pytest

from backends.model.v1names import parse_v1_name
from tests.support.gated import Gated, Passwords, basic, gated
from tests.support.v1_awkward_names import NAMES, in_url
from tests.support.v1_session import Session
from tests.support.v1server import Pushed, make_pushed

OWNERS = {name: ("alice", "bob")[number % 2] for number, name in enumerate(["x", "team/x", "library/x/y", *NAMES])}


def written(name: str) -> str:
    """A name as a rule has it, with everything escaped that can be."""
    return "".join(each if each.isalnum() else f"%{ord(each):02X}" for each in name)


def image_of(name: str) -> Pushed:
    return make_pushed(sha256(name.encode()).hexdigest(), layer=name.encode())


@pytest.fixture
async def here() -> AsyncIterator[Gated]:
    rules = [
        f"- {{allow: [push, delete], to: {owner}, on: '{written(parse_v1_name(name).canonical)}'}}"
        for name, owner in OWNERS.items()
    ]
    async with gated(Passwords(), rules="\n".join(rules)) as served:
        yield served


async def test_each_of_two_has_its_own_names_and_nothing_of_the_other(here: Gated) -> None:
    sessions = {user: basic(user) for user in ("alice", "bob")}
    for name, owner in OWNERS.items():
        await Session(here.v1, sessions[owner]).push(in_url(name), "latest", [image_of(name)])
    for name, owner in OWNERS.items():
        url, other = in_url(name), "bob" if owner == "alice" else "alice"
        assert await Session(here.v1, sessions[owner]).pull(url, "latest") == [image_of(name)], name
        stranger = Session(here.v1, sessions[other])
        for rest in ("images", "tags", "tags/latest", "tags/latest/json", "json", "properties"):
            answer = await here.v1.ask("GET", f"/v1/repositories/{url}/{rest}", sessions[other])
            absent = await here.v1.ask("GET", f"/v1/repositories/nobody/nothing/{rest}", sessions[other])
            assert (answer.status, answer.body) == (absent.status, absent.body), (name, rest)
        assert (await stranger.begin_push(url, [])).status == 403, name
        assert (await here.v1.ask("GET", f"/v1/images/{image_of(name).id}/layer", sessions[other])).status == 404
        assert (await here.v1.ask("DELETE", f"/v1/repositories/{url}/", sessions[other])).status == 404, name
    for user, login in sessions.items():
        found = (await here.v1.ask("GET", "/v1/search", login)).json["results"]
        mine = [parse_v1_name(name) for name, owner in OWNERS.items() if owner == user]
        assert sorted(each["name"] for each in found) == sorted(name.v2 or name.text for name in mine)
    for name, owner in OWNERS.items():
        assert (await here.v1.ask("DELETE", f"/v1/repositories/{in_url(name)}/", sessions[owner])).status == 200, name


@pytest.mark.parametrize(
    ("name", "spelt"),
    [
        ("x", ["x", "library/x", "x/", "library/x//", "%78", "library%2Fx", "library%2fx%2F"]),
        ("../r", ["../r", "%2E%2E/r", "%252E%252E/r", "..%2Fr", "%252E%252E%2Fr/"]),
        ("team/a b", ["team/a%20b", "team%2Fa%20b", "team/%61 b".replace(" ", "%20")]),
    ],
)
async def test_a_name_is_judged_alike_however_it_is_spelt(here: Gated, name: str, spelt: list[str]) -> None:
    owner = OWNERS[name]
    other = "bob" if owner == "alice" else "alice"
    await Session(here.v1, basic(owner)).push(in_url(name), "latest", [image_of(name)])
    for each in spelt:
        assert await Session(here.v1, basic(owner)).pull(each, "latest") == [image_of(name)], each
        assert (await here.v1.ask("GET", f"/v1/repositories/{each}/tags", basic(other))).status == 404, each
        assert (await Session(here.v1, basic(other)).begin_push(each, [])).status == 403, each


async def test_a_token_for_one_name_is_good_for_no_other(here: Gated) -> None:
    names = ["team/a b", "team/a+b", "team/a%20b", "team/a%2Bb"]
    for name in names:
        owner = OWNERS[name]
        await Session(here.v1, basic(owner)).push(in_url(name), "latest", [image_of(name)])
    for name in names:
        session = Session(here.v1, basic(OWNERS[name]))
        await session.begin_pull(in_url(name))
        for other in names:
            answer = await session.ask("GET", f"/v1/repositories/{in_url(other)}/tags")
            assert (answer.status == 200) == (other == name), (name, other)
