"""The proxy's own words."""

from __future__ import annotations

import json

import pytest

from backends.model.clients import parse_user_agent
from backends.model.errors import ErrorCode, RegistryError
from proxy.answers import Answer, own_answer, registry_error
from proxy.routing import Backend, Policy, decide

ADDRESS = "https://localhost:5000"
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


def _page(target: str, *accept: str) -> Answer:
    return own_answer(
        decide(parse_user_agent("curl/8"), "GET", target, Policy()), target, accept, client_address=ADDRESS
    )


@pytest.mark.parametrize("accept", [(), ("*/*",), (BROWSER,), ("text/plain", "application/json")])
def test_the_first_page_says_what_this_is_and_where_the_registries_are(accept: tuple[str, ...]) -> None:
    page = _page("/", *accept)
    assert (page.status, page.headers) == (200, (("Content-Type", "text/plain; charset=utf-8"),))
    assert f"v2: {ADDRESS}/v2/\n".encode() in page.body
    assert f"v1: {ADDRESS}/v1/_ping\n".encode() in page.body


@pytest.mark.parametrize("target", ["/", "/unknown"])
def test_a_program_that_asks_for_json_gets_it(target: str) -> None:
    page = _page(target, "application/json")
    assert page.headers == (("Content-Type", "application/json; charset=utf-8"),)
    assert json.loads(page.body)["v2"].startswith(f"{ADDRESS}/v2/")


@pytest.mark.parametrize(
    ("target", "location"),
    [
        ("/v2", "/v2/"),
        ("/v2?n=1", "/v2/?n=1"),
        ("//v2", "/v2/"),
        ("//v2/", "/v2/"),
        ("//v2//a//tags/list?x=//", "/v2/a/tags/list?x=//"),
        ("http://h//v2/_catalog", "/v2/_catalog"),
    ],
)
def test_what_was_meant_for_v2_leads_there(target: str, location: str) -> None:
    page = _page(target)
    assert page.status == 301
    assert ("Location", location) in page.headers


@pytest.mark.parametrize("target", ["//evil.example/v2/", "//v2x/", "/x//v2/", "/V2", "/v2%2f"])
def test_nothing_else_leads_anywhere(target: str) -> None:
    assert _page(target).status == 404


def test_an_unknown_path_is_named_and_cannot_break_out_of_its_line() -> None:
    page = _page("/a\x1b[31m\n<é>" + "x" * 5000)
    assert page.status == 404
    assert page.body.startswith(b"error: nothing is at /a?[31m?<?>xx")
    assert len(page.body) < 500


def test_v2_errors_carry_the_header_that_keeps_clients_from_falling_back() -> None:
    answer = registry_error(Backend.V2, RegistryError(ErrorCode.UNAVAILABLE, "why", status=502))
    assert dict(answer.headers)["Docker-Distribution-Api-Version"] == "registry/2.0"
    assert json.loads(answer.body) == {
        "errors": [{"code": "UNAVAILABLE", "message": "service unavailable", "detail": {"reason": "why"}}]
    }


def test_v1_errors_have_v1s_shape() -> None:
    answer = registry_error(Backend.V1, RegistryError(ErrorCode.UNAVAILABLE, "why"))
    assert [name for name, _ in answer.headers] == ["Content-Type"]
    assert json.loads(answer.body) == {"error": "why"}
