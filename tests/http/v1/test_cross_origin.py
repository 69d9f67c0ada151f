"""Pages of other origins: every answer tells browsers whether such a page may read it, errors and layers too."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from backends.http.cors import Cors
from backends.storage.factory import open_folder
from backends.v1.settings import V1Settings
from tests.support.v1server import Answer, RunningRegistry, make_pushed, running_v1

UI = "https://ui.example"
IMAGE = make_pushed("a", layer=bytes(200_000))
SETTINGS = V1Settings(
    cors=Cors(
        origins=(UI,), methods=("GET", "HEAD", "DELETE"), headers=("Authorization",), expose_headers=("X-Docker-Size",)
    )
)
TARGETS = (
    ("GET", "/v1/_ping", 200),
    ("GET", f"/v1/images/{IMAGE.id}/json", 200),
    ("GET", f"/v1/images/{IMAGE.id}/layer", 200),
    ("HEAD", f"/v1/images/{IMAGE.id}/layer", 200),
    ("GET", f"/v1/images/{'f' * 64}/json", 404),
    ("GET", "/v1/nothing", 404),
    ("POST", "/v1/_ping", 405),
    ("GET", "/v1/repositories/a%00b/tags", 400),
)


def cross_origin(told: Answer) -> dict[str, str]:
    names = {name.lower() for name, _ in told.head.headers if name.lower().startswith("access-control-")}
    return {name: told.value(name) or "" for name in names}


@pytest.fixture
async def open_to_a_page(root: Path) -> AsyncIterator[RunningRegistry]:
    async with running_v1(open_folder(root), SETTINGS) as running:
        await running.push("ns/r", "t", [IMAGE])
        yield running


@pytest.mark.parametrize(("method", "target", "status"), TARGETS)
async def test_a_page_of_a_named_origin_may_read_every_answer(
    open_to_a_page: RunningRegistry, method: str, target: str, status: int
) -> None:
    told = await open_to_a_page.ask(method, target, f"Origin: {UI}")
    assert told.status == status
    assert cross_origin(told) == {
        "access-control-allow-origin": UI,
        "access-control-expose-headers": "X-Docker-Size",
    }
    assert told.value("Vary") == "Origin"
    for origin in ("https://elsewhere.example", "null", f"{UI}.elsewhere.example"):
        told = await open_to_a_page.ask(method, target, f"Origin: {origin}")
        assert (told.status, cross_origin(told), told.value("Vary")) == (status, {}, "Origin")


@pytest.mark.parametrize("target", [target for _, target, _ in TARGETS])
async def test_a_browser_that_asks_first_is_told(open_to_a_page: RunningRegistry, target: str) -> None:
    asked = ["Access-Control-Request-Method: DELETE", "Access-Control-Request-Headers: authorization, x-other"]
    told = await open_to_a_page.ask("OPTIONS", target, f"Origin: {UI}", *asked)
    assert (told.status, told.body) == (200, b"")
    assert cross_origin(told) == {
        "access-control-allow-origin": UI,
        "access-control-allow-methods": "GET, HEAD, DELETE",
        "access-control-allow-headers": "Authorization",
    }
    assert told.value("Allow")
    told = await open_to_a_page.ask("OPTIONS", target, f"Origin: {UI}", "Access-Control-Request-Method: PUT")
    assert (told.status, cross_origin(told)) == (200, {})


@pytest.mark.parametrize(("method", "target", "status"), TARGETS)
async def test_nothing_is_told_where_it_is_off(
    registry: RunningRegistry, method: str, target: str, status: int
) -> None:
    await registry.push("ns/r", "t", [IMAGE])
    for each in (method, "OPTIONS"):
        told = await registry.ask(each, target, f"Origin: {UI}", "Access-Control-Request-Method: GET")
        assert told.status == (200 if each == "OPTIONS" else status)
        assert cross_origin(told) == {}
        assert told.value("Vary") is None
