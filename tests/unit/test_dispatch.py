"""Dispatch: a route's operation, its values, the gates in their order, then the handler."""

from __future__ import annotations

from dataclasses import replace

import pytest
from aiohttp.test_utils import make_mocked_request
from aiohttp.web import BaseRequest, Response, StreamResponse
from hypothesis import given
from hypothesis import strategies as st

from backends.model.actions import Action
from backends.model.errors import ErrorCode, RegistryError
from backends.v2.routes import PARSERS as V2_PARSERS
from backends.v2.routes import ROUTES as V2_ROUTES
from backends.web.dispatch import REMEMBERED, Dispatcher, Route
from backends.web.gates import Gate
from backends.web.operations import Operation, Values


async def answer(parts: list[str], request: BaseRequest, **values: str) -> StreamResponse:
    parts.append(f"handler {values}")
    return Response()


ROUTES = [
    Route(
        "/things/{thing}", {"GET": Operation(Action.PULL, answer), "DELETE": Operation(Action.DELETE, answer)}, "thing"
    ),
    Route("/all/{name*}/end", {"GET": Operation(Action.NONE, answer)}, "all"),
]


def gate(what: str, seen: list[str], *actions: Action, refuses: bool = False) -> Gate:
    async def check(operation: Operation, values: Values, request: BaseRequest) -> None:
        seen.append(f"{what} {operation.action.value} {dict(values)} {request.method}")
        if refuses:
            raise RegistryError(ErrorCode.DENIED, what)

    return Gate(frozenset(actions), check)


def dispatcher(seen: list[str], *gates: Gate) -> Dispatcher:
    return Dispatcher(ROUTES, {"thing": str, "name": str}, seen, gates=gates, what="this test", headers={})


async def ask(what: Dispatcher, method: str, path: str) -> StreamResponse:
    return await what.handle(make_mocked_request(method, path))


async def test_gates_are_met_in_their_order_with_operation_and_values_and_before_the_handler_every_time() -> None:
    seen: list[str] = []
    what = dispatcher(seen, gate("first", seen, Action.PULL), gate("second", seen, Action.PULL, Action.DELETE))
    for _ in range(2):  # the second time the path is remembered
        seen.clear()
        await ask(what, "GET", "/things/x")
        values = {"thing": "x"}
        assert seen == [f"first pull {values} GET", f"second pull {values} GET", f"handler {values}"]


async def test_an_operation_meets_only_the_gates_of_its_action_and_head_those_of_get() -> None:
    seen: list[str] = []
    what = dispatcher(seen, gate("pull", seen, Action.PULL), gate("delete", seen, Action.DELETE, refuses=True))
    await ask(what, "HEAD", "/things/x")
    assert [each.split()[0] for each in seen] == ["pull", "handler"]
    seen.clear()
    with pytest.raises(RegistryError, match="delete"):
        await ask(what, "DELETE", "/things/x")
    assert [each.split()[0] for each in seen] == ["delete"]
    seen.clear()
    await ask(what, "GET", "/all/a/b/end")
    assert seen == ["handler {'name': 'a/b'}"]


async def test_options_meets_no_gate() -> None:
    seen: list[str] = []
    what = dispatcher(seen, gate("all", seen, *Action, refuses=True))
    response = await ask(what, "OPTIONS", "/things/x")
    assert (response.status, response.headers["Allow"]) == (200, "DELETE, GET, HEAD")
    assert seen == []


async def test_what_has_no_route_or_no_such_method_meets_no_gate_either() -> None:
    seen: list[str] = []
    what = dispatcher(seen, gate("all", seen, *Action))
    for method, path, code in (("GET", "/", ErrorCode.NOT_FOUND), ("PUT", "/things/x", ErrorCode.UNSUPPORTED)):
        with pytest.raises(RegistryError) as caught:
            await ask(what, method, path)
        assert caught.value.code is code
    assert seen == []


async def test_any_number_of_paths_is_answered_right() -> None:
    seen: list[str] = []
    what = dispatcher(seen)
    for number in [*range(REMEMBERED + 10), 0, 1, REMEMBERED]:
        seen.clear()
        await ask(what, "GET", f"/things/{number}")
        assert seen == [f"handler {{'thing': '{number}'}}"]


PIECES = [
    "/v2/",
    "/manifests/",
    "/blobs/",
    "/blobs/uploads/",
    "/referrers/",
    "/tags/list",
    "/_portside/repository",
    "/_catalog",
    "/",
    "a",
    "%2Fblobs%2F",
    "sha256:" + "0" * 64,
    "0" * 8 + "-0000-0000-0000-" + "0" * 12,
    "..",
]


@given(st.lists(st.sampled_from(PIECES), max_size=7).map("".join), st.sampled_from(["GET", "PUT", "POST", "DELETE"]))
def test_routes_that_are_passed_over_for_a_part_of_their_pattern_would_not_have_fitted(path: str, method: str) -> None:
    def found(where: Dispatcher) -> object:
        try:
            return where._find(method, path)
        except RegistryError as error:
            return error.code, error.detail, error.headers

    quick, thorough = (
        Dispatcher(V2_ROUTES, V2_PARSERS, None, gates=(), what="this test", headers={}) for _ in range(2)
    )
    thorough._routes = [replace(route, part="") for route in thorough._routes]
    assert found(quick) == found(thorough)
