"""`GET /v2/<name>/tags/list` (distribution specification, "Listing tags")."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence

from aiohttp.web import BaseRequest, StreamResponse

from backends.http.request_info import parse_query
from backends.http.sending import respond
from backends.model.names import RepositoryName
from backends.v2.headers import JSON_HEADERS
from backends.v2.paging import next_link, parse_page_size
from backends.v2.parts import Parts

IN_THE_LOOP = 1000
"""More tags than these are written by a thread, and so many at once."""


async def list_tags(parts: Parts, request: BaseRequest, name: RepositoryName) -> StreamResponse:
    """Lists tags bytewise: all of them, those after `last`, or a page of `n`."""
    query = parse_query(request)
    size = parse_page_size(query, default=None, most=parts.settings.tags_max)
    limit = None if size is None else size + 1
    tags = await parts.store.open(name).tags(after=query.get("last", ""), limit=limit)
    page = tags if size is None else tags[:size]
    link: dict[str, str] = {}
    if size and size < len(tags):
        link = next_link(f"{parts.settings.prefix}/v2/{name}/tags/list", last=page[-1], size=size)
    body = _dump(name, page) if len(page) <= IN_THE_LOOP else await asyncio.to_thread(_dump, name, page)
    return respond(request, 200, {**JSON_HEADERS, **link}, body)


def _dump(name: RepositoryName, tags: Sequence[str]) -> bytes:
    """Returns the answer; made of pieces, since nobody else can go on while one is written."""
    pieces = (tags[start : start + IN_THE_LOOP] for start in range(0, len(tags), IN_THE_LOOP))
    listed = ",".join(json.dumps(list(piece), separators=(",", ":"))[1:-1] for piece in pieces)
    return f'{{"name":{json.dumps(name)},"tags":[{listed}]}}\n'.encode()
