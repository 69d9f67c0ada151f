"""Search over names (V1API section 6): every client searches through v1, so repositories of both are found.

Page numbers and page sizes are ignored, as in docker-registry: all that is found is sent.
"""

from __future__ import annotations

from aiohttp.web import BaseRequest, StreamResponse

from backends.http.request_info import parse_query
from backends.v1.parts import Parts, answer


async def get_search(parts: Parts, request: BaseRequest) -> StreamResponse:
    """Sends the repositories whose name has the term in it, whatever its case."""
    term = parse_query(request).get("q", "")
    results = [{"description": "", "name": name} for name in await parts.store.search(term)]
    return answer(request, {"num_results": len(results), "query": term, "results": results})
