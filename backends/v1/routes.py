"""The whole v1 API on one screen, in V1API's order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from backends.model.v1images import parse_image_id, parse_tag_to_read, parse_v1_name
from backends.v1 import images, repositories, search, session, tags
from backends.v1.parts import Parts
from backends.web.dispatch import Parser, Route

PARSERS: Mapping[str, Parser] = {
    "image": parse_image_id,
    "name": parse_v1_name,
    "tag": parse_tag_to_read,
    "user": str,
}


def routes(parts: Parts) -> Sequence[Route]:
    """Returns the routes, each handler bound to the registry's parts."""
    repository = {
        "PUT": partial(repositories.put_repository, parts),
        "DELETE": partial(repositories.delete_repository, parts),
    }
    return [
        Route("/v1/_ping", {"GET": partial(session.get_ping, parts)}),
        Route("/_ping", {"GET": partial(session.get_ping, parts)}),
        Route("/", {"GET": partial(session.get_root, parts)}),
        Route(
            "/v1/users/",
            {"GET": partial(session.get_users, parts), "POST": partial(session.post_user, parts)},
        ),
        Route(
            "/v1/users",
            {"GET": partial(session.get_users, parts), "POST": partial(session.post_user, parts)},
        ),
        Route("/v1/users/{user}/", {"PUT": partial(session.put_user, parts)}),
        Route("/v1/users/{user}", {"PUT": partial(session.put_user, parts)}),
        Route(
            "/v1/images/{image}/json",
            {"GET": partial(images.get_json, parts), "PUT": partial(images.put_json, parts)},
        ),
        Route(
            "/v1/images/{image}/layer",
            {"GET": partial(images.get_layer, parts), "PUT": partial(images.put_layer, parts)},
        ),
        Route("/v1/images/{image}/checksum", {"PUT": partial(images.put_checksum, parts)}),
        Route("/v1/images/{image}/ancestry", {"GET": partial(images.get_ancestry, parts)}),
        Route(
            "/v1/repositories/{name*}/images",
            {
                "GET": partial(repositories.get_images, parts),
                "PUT": partial(repositories.put_images, parts),
                "DELETE": partial(repositories.delete_images, parts),
            },
        ),
        Route("/v1/repositories/{name*}/auth", {"PUT": partial(repositories.put_auth, parts)}),
        Route(
            "/v1/repositories/{name*}/properties",
            {
                "GET": partial(repositories.get_properties, parts),
                "PUT": partial(repositories.put_properties, parts),
            },
        ),
        Route("/v1/repositories/{name*}/tags/{tag}/json", {"GET": partial(tags.get_tag_json, parts)}),
        Route(
            "/v1/repositories/{name*}/tags/{tag}",
            {
                "GET": partial(tags.get_tag, parts),
                "PUT": partial(tags.put_tag, parts),
                "DELETE": partial(tags.delete_tag, parts),
            },
        ),
        Route(
            "/v1/repositories/{name*}/tags",
            {
                "GET": partial(tags.get_tags, parts),
                "DELETE": partial(repositories.delete_repository, parts),
            },
        ),
        Route("/v1/repositories/{name*}/json", {"GET": partial(tags.get_repository_json, parts)}),
        Route("/v1/repositories/{name*}/", repository),
        Route("/v1/repositories/{name*}", repository),
        Route("/v1/search", {"GET": partial(search.get_search, parts)}),
    ]
