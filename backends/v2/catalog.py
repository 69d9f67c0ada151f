"""`GET /v2/_catalog`: distribution's list of repositories."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Sequence
from functools import partial
from typing import Protocol

from aiohttp.web import BaseRequest, StreamResponse

from backends.http.request_info import parse_query
from backends.http.sending import respond
from backends.model.actions import Action
from backends.v2.headers import JSON_HEADERS
from backends.v2.paging import next_link, parse_page_size
from backends.v2.parts import Parts
from backends.v2.settings import V2Settings
from backends.web.rights import visible_to

DEFAULT_PAGE = 100


class Find(Protocol):
    """Finds names that the caller may know."""

    def __call__(self, *, after: str, limit: int) -> Awaitable[Sequence[str]]:
        """Returns the first names behind another one."""
        ...


async def list_catalog(parts: Parts, request: BaseRequest) -> StreamResponse:
    """Lists repositories that hold manifests and the caller may pull: a page of `n` (100 unless given) after `last`."""
    visible = visible_to(request, by=Action.CATALOG)
    return await send_page(request, parts.settings, partial(parts.store.list_repositories, visible=visible))


async def send_page(request: BaseRequest, settings: V2Settings, find: Find) -> StreamResponse:
    """Answers with a page of what is found."""
    query = parse_query(request)
    most = settings.catalog_max_entries
    default = min(DEFAULT_PAGE, most)
    size = parse_page_size(query, default=default, most=most, refuses_more=settings.catalog_refuses_more) or 0
    found = await find(after=query.get("last", ""), limit=size + 1)
    page = found[:size]
    link: dict[str, str] = {}
    if page and len(found) > size:
        link = next_link(f"{settings.prefix}/v2/_catalog", last=page[-1], size=size)
    body = json.dumps({"repositories": list(page)}, separators=(",", ":")).encode() + b"\n"
    return respond(request, 200, {**JSON_HEADERS, **link}, body)
