"""The whole v1 API on one screen, in V1API's order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from backends.model.actions import Action
from backends.model.v1images import parse_image_id
from backends.model.v1names import parse_v1_name, parse_v1_tag
from backends.v1 import files, images, repositories, search, session, tags
from backends.v1.accesses import touches_for_deletion, touches_the_registry
from backends.web.dispatch import Parser, Route
from backends.web.operations import Operation

PARSERS: Mapping[str, Parser] = {
    "image": parse_image_id,
    "name": parse_v1_name,
    "tag": parse_v1_tag,
    "user": str,
}


_USERS = {
    "GET": Operation(Action.LOGIN, session.get_users),
    "POST": Operation(Action.LOGIN, session.post_user),
}
_REPOSITORY = {
    "PUT": Operation(Action.PUSH, repositories.put_repository),
    "DELETE": Operation(Action.DELETE, repositories.delete_repository),
}

ROUTES: Sequence[Route] = (
    Route("/v1/_ping", {"GET": Operation(Action.NONE, session.get_ping)}, name="v1_ping"),
    Route("/_ping", {"GET": Operation(Action.NONE, session.get_ping)}, name="v1_ping"),
    Route("/", {"GET": Operation(Action.NONE, session.get_root)}, name="v1_root"),
    Route("/v1/users/", _USERS, name="v1_users"),
    Route("/v1/users", _USERS, name="v1_users"),
    Route("/v1/users/{user}/", {"PUT": Operation(Action.LOGIN, session.put_user)}, name="v1_users"),
    Route("/v1/users/{user}", {"PUT": Operation(Action.LOGIN, session.put_user)}, name="v1_users"),
    Route(
        "/v1/images/{image}/json",
        {"GET": Operation(Action.PULL, images.get_json), "PUT": Operation(Action.PUSH, images.put_json)},
        name="v1_image_json",
    ),
    Route(
        "/v1/images/{image}/layer",
        {"GET": Operation(Action.PULL, images.get_layer), "PUT": Operation(Action.PUSH, images.put_layer)},
        name="v1_image_layer",
    ),
    Route(
        "/v1/images/{image}/checksum", {"PUT": Operation(Action.PUSH, images.put_checksum)}, name="v1_image_checksum"
    ),
    Route(
        "/v1/images/{image}/ancestry", {"GET": Operation(Action.PULL, images.get_ancestry)}, name="v1_image_ancestry"
    ),
    # As docker-registry has it, a tag may have the name of what else there is: `tags/images` is one.
    Route(
        "/v1/repositories/{name*}/tags/{tag}/json",
        {"GET": Operation(Action.PULL, tags.get_tag_json)},
        name="v1_tag_json",
    ),
    Route(
        "/v1/repositories/{name*}/tags/{tag}",
        {
            "GET": Operation(Action.PULL, tags.get_tag),
            "PUT": Operation(Action.PUSH, tags.put_tag),
            "DELETE": Operation(Action.DELETE, tags.delete_tag),
        },
        name="v1_tag",
    ),
    Route("/v1/images/{image}/files", {"GET": Operation(Action.PULL, files.get_files)}, name="v1_image_files"),
    Route("/v1/images/{image}/diff", {"GET": Operation(Action.PULL, files.get_diff)}, name="v1_image_diff"),
    Route(
        "/v1/repositories/{name*}/images",
        {
            "GET": Operation(Action.PULL, repositories.get_images),
            "PUT": Operation(Action.PUSH, repositories.put_images),
            # It only asks for the right to delete, so it passes where nothing may be deleted.
            "DELETE": Operation(Action.NONE, repositories.delete_images, touches_for_deletion),
        },
        name="v1_images",
    ),
    Route(
        "/v1/repositories/{name*}/auth",
        {"PUT": Operation(Action.LOGIN, repositories.put_auth, touches_the_registry)},
        name="v1_auth",
    ),
    Route(
        "/v1/repositories/{name*}/properties",
        {
            "GET": Operation(Action.PULL, repositories.get_properties),
            "PUT": Operation(Action.PUSH, repositories.put_properties),
        },
        name="v1_properties",
    ),
    Route(
        "/v1/repositories/{name*}/tags",
        {
            "GET": Operation(Action.PULL, tags.get_tags),
            "DELETE": Operation(Action.DELETE, repositories.delete_repository),
        },
        name="v1_tags",
    ),
    Route(
        "/v1/repositories/{name*}/json",
        {"GET": Operation(Action.PULL, tags.get_repository_json)},
        name="v1_repository_json",
    ),
    Route("/v1/repositories/{name*}/", _REPOSITORY, name="v1_repository"),
    Route("/v1/repositories/{name*}", _REPOSITORY, name="v1_repository"),
    Route("/v1/search", {"GET": Operation(Action.SEARCH, search.get_search)}, name="v1_search"),
)


_OF_THE_INDEX = frozenset({"v1_users", "v1_auth", "v1_images"})
_ELSEWHERE = Operation(Action.NONE, session.say_that_the_index_is_elsewhere)


def routes_beside_an_index() -> Sequence[Route]:
    """Returns the routes of a registry that is not its own index: those of the index lead to a 404 that says so."""
    return [_beside_an_index(route) for route in ROUTES]


def _beside_an_index(route: Route) -> Route:
    if route.name in _OF_THE_INDEX:
        return replace(route, operations=dict.fromkeys(route.operations, _ELSEWHERE))
    if route.operations is _REPOSITORY:
        return replace(route, operations={"DELETE": _REPOSITORY["DELETE"]})
    return route
