"""Docker 1.9 to 1.13 turn to v1 for the answers that made the real ones turn, and for no others."""

from __future__ import annotations

import json
import re

import pytest

from tests.support.captures import Run, read_outcomes
from tests.support.docker import Docker
from tests.support.images import make_image
from tests.support.scenarios import API, Content, Script
from tests.support.standin import Answer, Arrived, StandIn
from tests.support.wire import Headers

CANONICAL = {
    "MANIFEST_UNKNOWN": "manifest unknown",
    "NAME_UNKNOWN": "repository name not known to registry",
    "DENIED": "requested access to the resource is denied",
}
HTML = b"<html>404 Not Found</html>"
FAMILIES = re.compile(r"pull_(errbody|iso)_")
CASES = [
    (scenario, version, cell)
    for scenario, cells in read_outcomes().items()
    if FAMILIES.match(scenario)
    for version, cell in cells.items()
]


def error_body(code: str, *, canonical: bool, detail: dict[str, str] | None) -> bytes:
    message = CANONICAL[code] if canonical else "something else"
    return json.dumps({"errors": [{"code": code, "message": message, "detail": detail}]}).encode()


def answers_of(scenario: str) -> tuple[Answer, Answer]:
    """The answers to the ping and to the operation that a scenario's name stands for."""
    if match := re.fullmatch(r"pull_errbody_(\w+)_(canonical|other)_(null|object)", scenario):
        detail = {"Tag": "b"} if match[3] == "object" else None
        body = error_body(match[1], canonical=match[2] == "canonical", detail=detail)
        return Answer(200, API, b"{}"), Answer(404, API, body)
    match = re.fullmatch(r"pull_iso_ping(\d+)_(api|noapi)_op404_(api|noapi)_(\w+)", scenario)
    assert match is not None, scenario

    def named(word: str) -> Headers:
        return API if word == "api" else ()

    # In these runs MANIFEST_UNKNOWN came bare and NAME_UNKNOWN with a message of its own: only so do the rows of
    # this family agree with those of the other.
    body = HTML if match[4] == "html" else error_body(
        match[4], canonical=match[4] == "MANIFEST_UNKNOWN", detail=None
    )  # fmt: skip
    return Answer(int(match[1]), named(match[2]), b"{}"), Answer(404, named(match[3]), body)


@pytest.mark.parametrize(("scenario", "version", "cell"), CASES)
def test_an_error_body_leads_where_it_led_the_real_client(scenario: str, version: str, cell: str) -> None:
    ping, operation = answers_of(scenario)
    content = Content(version, "team/ml", {"b": make_image("team/ml")})

    def answer(arrived: Arrived) -> Answer:
        if arrived.target.startswith("/v2/"):
            return ping if arrived.target == "/v2/" else operation
        line = f"{arrived.method} {arrived.target} 200 docker"
        shaped = re.sub(r"/images/[0-9a-f]{64}/", "/images/ID/", line)
        return Script(Run(version, "pull_v1", "", 0, (shaped,)), content)(arrived)

    with StandIn(answer) as server:
        outcome = Docker(version, server.address()).pull("team/ml", "b")
    assert outcome.statement == cell, outcome.output
