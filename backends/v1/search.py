"""Search over names (V1API section 6): every client searches through v1, so repositories of both are found.

Numbers of pages and sizes are passed over, as in docker-registry: all that is found is sent.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

from aiohttp.web import BaseRequest, StreamResponse

from backends.http.request_info import parse_query
from backends.registry.catalog import list_repositories
from backends.v1.parts import Parts, answer

AT_ONCE = 1000


async def get_search(parts: Parts, request: BaseRequest) -> StreamResponse:
    """Sends the repositories whose name has the term in it, whatever its case."""
    term = parse_query(request).get("q", "")
    wanted = term.lower()
    found = {name for name in await parts.repositories.names() if wanted in name.lower()}
    found.update([name async for name in _v2_names(parts) if wanted in name.lower()])
    results = [{"description": "", "name": name} for name in sorted(found)]
    return answer(request, {"num_results": len(results), "query": term, "results": results})


async def _v2_names(parts: Parts) -> AsyncIterator[str]:
    after = ""
    while names := await list_repositories(parts.driver, after=after, limit=AT_ONCE):
        for name in names:
            yield name
        after = names[-1]
