"""Search over names (V1API section 6): every client searches through v1, so repositories of both are found."""

from __future__ import annotations

from aiohttp.web import BaseRequest, StreamResponse

from backends.registry.catalog import list_repositories
from backends.v1.parts import Parts, answer
from backends.web.opening import parse_query

MOST = 1000


async def get_search(parts: Parts, request: BaseRequest) -> StreamResponse:
    """Sends the repositories whose name has the term in it, whatever its case."""
    term = parse_query(request).get("q", "")
    names = {*await parts.repositories.names()}
    names.update(await list_repositories(parts.driver, after="", limit=MOST))
    found = sorted(name for name in names if term.lower() in name.lower())[:MOST]
    results = [{"description": "", "name": name} for name in found]
    return answer(request, {"num_results": len(results), "query": term, "results": results})
