"""Search over names (V1API section 6): every client searches through v1, so repositories of both are found.

Page numbers and page sizes are ignored, as in docker-registry: all that is found is sent.
"""

from __future__ import annotations

from aiohttp.web import BaseRequest, StreamResponse

from backends.http.request_info import parse_query
from backends.model.actions import Action
from backends.model.errors import RegistryError
from backends.model.names import parse_repository_name
from backends.v1.parts import Parts, answer
from backends.web.rights import visible_to

ONLY_V1 = "Only clients that speak v1 can pull this: v2 does not allow its name."


async def get_search(parts: Parts, request: BaseRequest) -> StreamResponse:
    """Sends the repositories that the caller may pull and whose name has the term in it, whatever its case."""
    term = parse_query(request).get("q", "")
    found = await parts.store.search(term, visible=visible_to(request, by=Action.SEARCH))
    results = [{"description": _description(name), "name": name} for name in found]
    return answer(request, {"num_results": len(results), "query": term, "results": results})


def _description(name: str) -> str:
    try:
        parse_repository_name(name)
    except RegistryError:
        return ONLY_V1
    return ""
