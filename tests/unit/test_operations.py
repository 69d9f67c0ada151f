"""Every route says what it does and what it touches."""

from __future__ import annotations

import pytest
from aiohttp.test_utils import make_mocked_request

from backends.model.actions import Action
from backends.model.names import ImageId, RepositoryName
from backends.model.v1names import V1Name
from backends.v1.routes import PARSERS as V1_PARSERS
from backends.v1.routes import ROUTES as V1_ROUTES
from backends.v2.routes import PARSERS as V2_PARSERS
from backends.v2.routes import ROUTES as V2_ROUTES
from backends.web.operations import Access, ImageAccess, Operation, RegistryAccess, RepositoryAccess, Values
from tests.support.operations import DIGEST, all_operations

OPERATIONS = list(all_operations())
V2_NAME: Values = {"name": RepositoryName("team/app")}
V1_NAME: Values = {"name": V1Name("library", "app")}
V2_IN_ITS_PLACE: Values = {"name": V1Name("library", "app", falls_back=True)}
IMAGE: Values = {"image": ImageId("a" * 64)}
UPLOADS = "/v2/{name*}/blobs/uploads/"
UPLOAD = "/v2/{name*}/blobs/uploads/{upload}"


def test_no_route_is_without_an_action() -> None:
    assert len(OPERATIONS) > 40
    for each in OPERATIONS:
        assert isinstance(each.operation, Operation)
        assert isinstance(each.operation.action, Action)


def test_only_these_change_nothing_although_their_method_says_so() -> None:
    """A gate decides by the action: a route that changes something must not say that it only looks."""
    harmless = {
        str(each)
        for each in OPERATIONS
        if each.method in {"POST", "PUT", "PATCH", "DELETE"}
        and each.operation.action not in {Action.PUSH, Action.DELETE}
    }
    assert harmless == {
        "POST /v1/users/",
        "POST /v1/users",
        "PUT /v1/users/bob/",
        "PUT /v1/users/bob",
        "PUT /v1/repositories/team/app/auth",
        "DELETE /v1/repositories/team/app/images",
    }


def test_only_these_delete_or_push_although_their_method_does_not_say_so() -> None:
    unusual = {
        (str(each), each.operation.action)
        for each in OPERATIONS
        if (each.method == "DELETE") != (each.operation.action is Action.DELETE)
        or (each.method == "GET" and each.operation.action is Action.PUSH)
    }
    upload = "/v2/team/app/blobs/uploads/01234567-89ab-cdef-0123-456789abcdef"
    assert unusual == {
        (f"GET {upload}", Action.PUSH),
        (f"DELETE {upload}", Action.PUSH),
        ("DELETE /v1/repositories/team/app/images", Action.NONE),
    }


def test_every_parameter_has_a_parser() -> None:
    for routes, parsers in ((V1_ROUTES, V1_PARSERS), (V2_ROUTES, V2_PARSERS)):
        for route in routes:
            names = {part.split("}")[0].rstrip("*") for part in route.pattern.split("{")[1:]}
            assert names <= set(parsers)


@pytest.mark.parametrize(
    ("pattern", "method", "values", "query", "expected"),
    [
        ("/v2/", "GET", {}, "", [RegistryAccess(Action.LOGIN)]),
        ("/v2/_catalog", "GET", {}, "", [RegistryAccess(Action.CATALOG)]),
        ("/v2/{name*}/tags/list", "GET", V2_NAME, "", [RepositoryAccess(Action.PULL, "team/app")]),
        ("/v2/{name*}/manifests/{reference}", "DELETE", V2_NAME, "", [RepositoryAccess(Action.DELETE, "team/app")]),
        (UPLOAD, "DELETE", V2_NAME, "", [RepositoryAccess(Action.PUSH, "team/app")]),
        (UPLOADS, "POST", V2_NAME, "", [RepositoryAccess(Action.PUSH, "team/app")]),
        (
            UPLOADS,
            "POST",
            V2_NAME,
            f"?mount={DIGEST}&from=other/app",
            [
                RepositoryAccess(Action.PUSH, "team/app"),
                RepositoryAccess(Action.PULL, "other/app", required=False),
            ],
        ),
        (UPLOADS, "POST", V2_NAME, f"?mount={DIGEST}", [RepositoryAccess(Action.PUSH, "team/app")]),
        (UPLOADS, "POST", V2_NAME, f"?mount={DIGEST}&from=", [RepositoryAccess(Action.PUSH, "team/app")]),
        (UPLOADS, "POST", V2_NAME, f"?mount={DIGEST}&from=../x", [RepositoryAccess(Action.PUSH, "team/app")]),
        ("/v1/_ping", "GET", {}, "", []),
        ("/v1/users/", "POST", {}, "", [RegistryAccess(Action.LOGIN)]),
        ("/v1/search", "GET", {}, "", [RegistryAccess(Action.SEARCH)]),
        ("/v1/images/{image}/layer", "GET", IMAGE, "", [ImageAccess(Action.PULL, ImageId("a" * 64))]),
        ("/v1/images/{image}/layer", "PUT", IMAGE, "", [ImageAccess(Action.PUSH, ImageId("a" * 64))]),
        ("/v1/repositories/{name*}/tags/{tag}", "PUT", V1_NAME, "", [RepositoryAccess(Action.PUSH, "app")]),
        ("/v1/repositories/{name*}/", "DELETE", V1_NAME, "", [RepositoryAccess(Action.DELETE, "app")]),
        ("/v1/repositories/{name*}/images", "DELETE", V1_NAME, "", [RepositoryAccess(Action.DELETE, "app")]),
        (
            "/v1/repositories/{name*}/images",
            "DELETE",
            V2_IN_ITS_PLACE,
            "",
            [RepositoryAccess(Action.DELETE, "library/app")],
        ),
        (
            "/v1/repositories/{name*}/tags",
            "GET",
            V2_IN_ITS_PLACE,
            "",
            [RepositoryAccess(Action.PULL, "library/app")],  # `app` by its other name, which the gate knows
        ),
    ],
)
def test_an_operation_says_what_it_touches(
    pattern: str, method: str, values: Values, query: str, expected: list[Access]
) -> None:
    (route,) = [route for route in (*V1_ROUTES, *V2_ROUTES) if route.pattern == pattern]
    request = make_mocked_request(method, "/anything" + query)
    operation = route.operations[method]
    if operation.source is not None:
        values = {**values, "source": operation.source(request)}
    assert list(operation.accesses(values, request)) == expected


def test_whatever_touches_a_repository_or_an_image_says_which() -> None:
    """The right to everything is never asked for where the path names one thing."""
    for each in OPERATIONS:
        if each.operation.action in {Action.PULL, Action.PUSH, Action.DELETE}:
            values = V2_NAME if "/team/app/" in each.path else IMAGE
            touched = each.operation.accesses(values, make_mocked_request(each.method, each.path))
            assert touched
            assert all(isinstance(access, RepositoryAccess | ImageAccess) for access in touched)
