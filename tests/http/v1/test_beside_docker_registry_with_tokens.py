"""docker-registry 0.9.1 with an index of its own and tokens, as it was recorded (V1API section 7), and Portside.

`docs/old-clients-and-access.md` has a row for each difference, and no other.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.gated import Gated, Passwords, basic, gated
from tests.support.v1_session import Session
from tests.support.v1server import make_pushed

PAGE = Path(__file__).parents[3] / "docs" / "old-clients-and-access.md"
BASE = make_pushed("a")
APP = make_pushed("b", parent=BASE.id)
HIDDEN = make_pushed("c")
REFUSED = (401, '{"error": "Requires authorization"}')
UNKNOWN = (404, '{"error": "Image not found"}')


@dataclass(frozen=True, slots=True)
class Case:
    """A request, and what was recorded of docker-registry.

    Attributes:
        shows: of whom: `nobody`, `bad`, `basic`, or the access of a token for `ns/r`.
        recorded: status, and body where it was recorded.
        ours: what Portside answers, where that differs.
        difference: the name of that difference on the page.
    """

    method: str
    target: str
    shows: str
    recorded: tuple[int, str | None]
    ours: tuple[int, str | None] | None = None
    difference: str = ""


JSON = f"/v1/images/{APP.id}/json"
CASES = [
    *[
        Case(method, target, shows, REFUSED)
        for shows in ("nobody", "bad")
        for method, target in (
            ("GET", JSON),
            ("GET", f"/v1/images/{APP.id}/layer"),
            ("GET", f"/v1/images/{APP.id}/ancestry"),
            ("GET", f"/v1/images/{'f' * 64}/json"),
            ("PUT", JSON),
            ("PUT", f"/v1/images/{APP.id}/layer"),
            ("PUT", f"/v1/images/{APP.id}/checksum"),
            ("GET", "/v1/repositories/ns/r/tags"),
            ("GET", "/v1/repositories/ns/r/tags/1"),
            ("PUT", "/v1/repositories/ns/r/tags/1"),
            ("DELETE", "/v1/repositories/ns/r/tags/1"),
            ("DELETE", "/v1/repositories/ns/r/tags"),
            ("DELETE", "/v1/repositories/ns/r/"),
            ("GET", "/v1/repositories/ns/r/properties"),
            ("PUT", "/v1/repositories/ns/r/properties"),
            ("GET", "/v1/repositories/absent/r/tags"),
        )
    ],
    Case("GET", "/_ping", "nobody", (200, "{}")),
    Case("GET", "/v1/_ping", "bad", (200, "{}")),
    Case("GET", "/", "nobody", (200, '"\\"docker-registry server\\""')),
    Case("GET", "/v1/search?q=r", "nobody", (200, None), REFUSED, "search"),
    Case("GET", "/v1/images/nonsense/json", "nobody", REFUSED, (404, '{"error": "Invalid image ID"}'), "invalid-id"),
    Case("PUT", "/v1/repositories/ns/r/", "nobody", (405, None), REFUSED, "own-index"),
    Case("GET", "/v1/repositories/ns/r/images", "nobody", (301, None), REFUSED, "own-index"),
    Case("PUT", "/v1/repositories/ns/r/auth", "nobody", (301, None), REFUSED, "own-index"),
    Case("GET", "/v1/users/", "nobody", (404, None), REFUSED, "own-index"),
    Case("GET", "/v1/users/", "basic", (404, None), (200, '"OK"'), "own-index"),
    Case("POST", "/v1/users/", "nobody", (404, None), REFUSED, "own-index"),
    Case("GET", JSON, "basic", REFUSED, (200, None), "basic"),
    Case("GET", "/v1/repositories/ns/r/tags", "basic", REFUSED, (200, None), "basic"),
    Case("GET", JSON, "read", (200, None)),
    Case("HEAD", JSON, "read", (401, None), (200, None), "head"),
    Case("GET", "/v1/repositories/ns/r/tags/1", "read", (200, f'"{APP.id}"')),
    Case("GET", "/v1/repositories/ns/other/tags", "read", REFUSED),
    Case("PUT", "/v1/repositories/ns/r/tags/2", "read", REFUSED),
    Case("DELETE", "/v1/repositories/ns/r/tags/1", "read", REFUSED),
    Case("GET", JSON, "write", REFUSED, (200, None), "write-reads"),
    Case("GET", "/v1/repositories/ns/r/tags", "write", REFUSED, (200, None), "write-reads"),
    Case("PUT", "/v1/repositories/ns/r/tags/2", "write", (200, "true")),
    Case("PUT", "/v1/repositories/ns/other/tags/2", "write", REFUSED),
    Case("DELETE", "/v1/repositories/ns/r/tags/1", "write", REFUSED),
    Case("GET", JSON, "delete", REFUSED, UNKNOWN, "delete-reads"),
    Case("GET", "/v1/repositories/ns/r/tags", "delete", REFUSED),
    Case("DELETE", "/v1/repositories/ns/r/tags/1", "delete", (200, "true")),
    # Private there, and of another repository; here that is every image that no rule allows.
    Case("GET", f"/v1/images/{HIDDEN.id}/json", "read", UNKNOWN),
    Case("GET", f"/v1/images/{HIDDEN.id}/layer", "read", UNKNOWN),
    Case(
        "PUT",
        f"/v1/images/{'d' * 64}/json",
        "write",
        (400, '{"error": "This image does not belong to the repository"}'),
        (200, "true"),
        "not-announced",
    ),
    Case(
        "PUT",
        f"/v1/images/{'e' * 64}/json",
        "write",
        (400, '{"error": "Image depends on an unauthorized parent"}'),
        (400, '{"error": "Image depends on a non existing parent"}'),
        "parent",
    ),
]


@pytest.fixture
async def here() -> AsyncIterator[Gated]:
    rules = "- {allow: [push, delete], to: alice, on: ns/*}\n- {allow: push, to: bob, on: hidden/*}"
    async with gated(Passwords(), rules=rules) as served:
        await Session(served.v1, basic("alice")).push("ns/r", "1", [BASE, APP])
        await Session(served.v1, basic("alice")).push("ns/other", "1", [BASE])
        await Session(served.v1, basic("bob")).push("hidden/r", "1", [HIDDEN])
        yield served


async def shown(here: Gated, shows: str) -> dict[str, str]:
    """The header of somebody."""
    session = Session(here.v1, basic("alice"))
    match shows:
        case "nobody":
            return {}
        case "bad":
            return {"Authorization": 'Token signature=K4C6UUT6258IWYG3,repository="ns/r",access=write'}
        case "basic":
            return basic("alice")
        case "read":
            await session.begin_pull("ns/r")
        case "write":
            await session.begin_push("ns/r", [])
        case _:
            await session.begin_deletion("ns/r")
    return {"Authorization": f"Token {session.token}"}


def body_of(case: Case) -> bytes | None:
    if case.method != "PUT":
        return None
    if "/tags/" in case.target:
        return f'"{APP.id}"'.encode()
    image_id = case.target.split("/")[3]
    return make_pushed(image_id, parent=HIDDEN.id if image_id[0] == "e" else None).json


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.shows}-{case.method}-{case.target[:40]}")
async def test_answers_are_docker_registrys_but_for_what_the_page_says(here: Gated, case: Case) -> None:
    answer = await here.v1.ask(case.method, case.target, await shown(here, case.shows), body=body_of(case))
    status, body = case.ours or case.recorded
    assert answer.status == status, answer
    assert body is None or answer.body == body.encode()
    if status == 401:
        assert "Token" in answer.head.values("WWW-Authenticate")  # of docker-registry it is the only one
    assert (case.ours is None) == (case.difference == "")
    assert case.ours != case.recorded


def test_each_difference_has_its_row() -> None:
    named = re.findall(r"^\| `([a-z-]+)` \|", PAGE.read_text(), flags=re.MULTILINE)
    assert sorted(named) == sorted({case.difference for case in CASES if case.difference} | {"challenges"})
