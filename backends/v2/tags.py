"""`GET /v2/<name>/tags/list` (distribution specification, "Listing tags")."""

from __future__ import annotations

import json
from bisect import bisect_right

from aiohttp.web import BaseRequest, StreamResponse

from backends.http.request_info import parse_query
from backends.http.sending import respond
from backends.model.names import RepositoryName
from backends.v2.headers import JSON_HEADERS
from backends.v2.paging import next_link, parse_page_size
from backends.v2.parts import Parts

MAX_PAGE = 10_000


async def list_tags(parts: Parts, request: BaseRequest, name: RepositoryName) -> StreamResponse:
    """Lists tags bytewise: all of them, those after `last`, or a page of `n`."""
    query = parse_query(request)
    size = parse_page_size(query, default=None, most=MAX_PAGE)
    tags = await parts.store.open(name).tags()
    start = bisect_right(tags, query["last"]) if "last" in query else 0
    page = tags[start:] if size is None else tags[start : start + size]
    link: dict[str, str] = {}
    if size and start + size < len(tags):
        link = next_link(f"/v2/{name}/tags/list", last=page[-1], size=size)
    body = json.dumps({"name": name, "tags": list(page)}, separators=(",", ":")).encode() + b"\n"
    return respond(request, 200, {**JSON_HEADERS, **link}, body)
