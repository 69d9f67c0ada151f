"""Search by names and descriptions (V1API section 6): every client searches through v1, so both are found.

docker-registry sends all that it finds, whatever page is asked for. Here a page is what was asked for, as the Docker
Hub's v1 search had it, and who asks for none gets as many as the largest has.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from aiohttp.web import BaseRequest, StreamResponse

from backends.http.request_info import parse_query
from backends.model.actions import Action
from backends.model.errors import ErrorCode, RegistryError
from backends.model.names import parse_repository_name
from backends.v1.parts import Parts, answer
from backends.web.rights import visible_to

ONLY_V1 = "Only clients that speak v1 can pull this: v2 does not allow its name."

MOST_RESULTS = 1000
"""In one answer."""

_NUMBER = re.compile(r"[0-9]+", re.ASCII)
_DIGITS = 9
"""Of the largest page that is looked for: there are no more results."""


async def get_search(parts: Parts, request: BaseRequest) -> StreamResponse:
    """Sends the repositories that the caller may pull and whose name or description has the term in it."""
    if not parts.settings.search:
        detail = "this registry cannot be searched: its setting gateway.v1.search is false"
        raise RegistryError(ErrorCode.NOT_FOUND, detail)
    query = parse_query(request)
    term, size = query.get("q", ""), _number(query, "page_size") or _number(query, "n")
    asked = _number(query, "page")
    page, limit = asked or 1, min(size or MOST_RESULTS, MOST_RESULTS)
    visible = visible_to(request, by=Action.SEARCH)
    found = await parts.store.search.find(term, start=(page - 1) * limit, limit=limit, visible=visible)
    answered: dict[str, Any] = {
        "num_results": found.total,
        "query": term,
        "results": [{"description": _described(name, text), "name": name} for name, text in found.results],
    }
    if size is not None or asked is not None or found.total > limit:
        answered |= {"num_pages": -(-found.total // limit), "page": page, "page_size": limit}
    return answer(request, answered)


def _number(query: Mapping[str, str], key: str) -> int | None:
    """Returns a number from 1 on; None where it is not given.

    Raises:
        RegistryError: it is something else.
    """
    text = query.get(key, "")
    if not text:
        return None
    digits = text.lstrip("0")
    if not digits or not _NUMBER.fullmatch(text):
        raise RegistryError(ErrorCode.PAGINATION_NUMBER_INVALID, f"{key}={text[:40]!r} is not a number from 1 on")
    return int(digits) if len(digits) <= _DIGITS else 10**_DIGITS


def _described(name: str, text: str) -> str:
    try:
        parse_repository_name(name)
    except RegistryError:
        return f"{text} ({ONLY_V1})" if text else ONLY_V1
    return text
