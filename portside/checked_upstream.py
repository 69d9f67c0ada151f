"""A v2 registry elsewhere behind this program's own access control: the same table decides as for the registry here.

Clients' credentials end here. What a route's operation may do is decided by the gate, as everywhere; then the request
goes on with the proxy's own credentials. Whoever may not know what there is gets what a registry with nothing in it
answers, which is Portside's own. What the table does not have, the registry is never asked for.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from functools import partial
from urllib.parse import parse_qsl, quote, urlencode

from aiohttp.web import BaseRequest, StreamResponse
from yarl import URL

from backends import request_context
from backends.http.body_limit import BodyLimit
from backends.http.request_info import parse_query
from backends.model.actions import Action
from backends.model.errors import ErrorCode, RegistryError
from backends.registry.store import Store
from backends.registry.visible import Visible
from backends.v2 import base, catalog, token, uploads
from backends.v2.accesses import parse_mount
from backends.v2.errors import render
from backends.v2.headers import API_HEADERS
from backends.v2.parts import Parts
from backends.v2.readers import Readers
from backends.v2.routes import PARSERS, routes_below
from backends.v2.settings import V2Settings
from backends.web.access import AccessGate
from backends.web.dispatch import Dispatcher, Route
from backends.web.errors import render_errors
from backends.web.operations import Operation, OperationHandler, Values
from backends.web.refusals import wanted_of
from backends.web.rights import visible_to
from proxy.forwarding import Forwarder
from proxy.proxy import InProcess

MAX_PAGE = 4 * 1024 * 1024
ASKED_AT_ONCE = 100
"""Repositories that the registry is asked for at once: as many as it lists when it is not told."""

MAX_PAGES = 100
"""So many pages are looked through for one that is shown: more would let each request cost too much there."""

TOO_LARGE = (
    "the registry behind the proxy has too many repositories to look through for those that you may pull: name the"
    " repository, or ask with last=NAME to begin after a name"
)


class CheckedUpstream:
    """An upstream whose requests are judged before they go on.

    Args:
        forwarder: passes them on, with the proxy's own credentials.
        settings: of v2.
        access: who may.
        nothing: a store with nothing in it.
    """

    def __init__(self, forwarder: Forwarder, settings: V2Settings, *, access: AccessGate, nothing: Store) -> None:
        readers = Readers(nothing.conversion_policy.platform)
        empty = Parts(nothing, settings, BodyLimit(settings.uploads_at_once), readers)
        dispatcher = Dispatcher(
            [_forwarding(each) for each in routes_below(settings.prefix)],
            PARSERS,
            _Behind(forwarder, empty),
            gates=(),
            access=access,
            nothing=empty,
            what="this registry",
            headers=API_HEADERS,
            redirects=True,
        )
        self._forwarder = forwarder
        self._here = InProcess(render_errors(dispatcher.handle, render))

    async def handle(self, request: BaseRequest) -> StreamResponse:
        """Judges a request, and passes it on or answers it."""
        return await self._here.handle(request)

    async def available(self) -> bool:
        """Whether the registry answers now."""
        return await self._forwarder.available()

    async def close(self) -> None:
        """Closes the connections to the registry."""
        await self._forwarder.close()


@dataclass(frozen=True, slots=True)
class _Behind:
    """What the handlers of operations that are allowed are given.

    Attributes:
        forwarder: to the registry.
        empty: for what is answered here all the same.
    """

    forwarder: Forwarder
    empty: Parts


def _forwarding(route: Route) -> Route:
    operations = {
        method: replace(operation, handler=_handler(operation)) for method, operation in route.operations.items()
    }
    return replace(route, operations=operations)


def _handler(operation: Operation) -> OperationHandler:
    """Returns what carries out an operation where it is allowed; where all is hidden, its own handler does."""
    own = operation.handler

    async def handle(parts: _Behind | Parts, request: BaseRequest, **values: object) -> StreamResponse:
        if isinstance(parts, Parts):
            return await own(parts, request, **values)
        request[request_context.SCOPES] = _scopes(operation, values, request)
        if own in _ANSWERED_HERE:
            return await own(parts.empty, request, **values)
        if own is catalog.list_catalog:
            return await _list_catalog(parts, request)
        if own is uploads.post_upload:
            request = _with_mount(request, is_allowed=values.get("source") is not None)
        return await parts.forwarder.handle(request)

    return handle


def _scopes(operation: Operation, values: Values, request: BaseRequest) -> tuple[str, ...]:
    """Returns what a request needs at the registry, as its token server reads it: what was judged, and no more."""
    return tuple(each.scope for each in wanted_of(operation.accesses(values, request)))


_ANSWERED_HERE = frozenset({token.get_token, base.get_root})


def _with_mount(request: BaseRequest, *, is_allowed: bool) -> BaseRequest:
    """Returns a request that mounts what was judged, and nothing else.

    Registries differ in which of two values counts, and in what a mount without a source is: so there is one value
    of each, or none of both.
    """
    path, mark, query = request.raw_path.partition("?")
    if not mark:
        return request
    pairs = [pair for pair in parse_qsl(query, keep_blank_values=True) if pair[0] not in {"mount", "from"}]
    mount = parse_mount(parse_query(request)) if is_allowed else None
    if mount is not None:
        pairs += [("mount", str(mount[0])), ("from", str(mount[1]))]
    target = f"{path}?{urlencode(pairs)}" if pairs else path
    return request.clone(rel_url=URL(target, encoded=True))


async def _list_catalog(parts: _Behind, request: BaseRequest) -> StreamResponse:
    """Lists what the caller may pull, as the registry here does: never a name that is hidden, in `Link` neither."""
    visible = visible_to(request, by=Action.CATALOG)
    if visible is None:
        return await parts.forwarder.handle(request)
    return await catalog.send_page(request, parts.empty.settings, partial(_visible_names, parts, visible))


async def _visible_names(parts: _Behind, visible: Visible, *, after: str, limit: int) -> list[str]:
    found: list[str] = []
    root = f"{parts.empty.settings.prefix}/v2/_catalog"
    for _ in range(MAX_PAGES):
        if len(found) >= limit:
            return found
        target = f"{root}?n={ASKED_AT_ONCE}" + (f"&last={quote(after, safe='')}" if after else "")
        page = await parts.forwarder.fetch(target, most=MAX_PAGE)
        names = _names_in(page.body) if page.status == 200 else None  # noqa: PLR2004 - as asked for
        if names is None:
            sentence = f"the registry behind the proxy does not list its repositories (status {page.status})"
            raise RegistryError(ErrorCode.UNSUPPORTED, sentence, status=502)
        found += [name for name in names if visible.allows(name)]
        if not page.more or not names or names[-1] == after:
            return found
        after = names[-1]
    if len(found) >= limit:
        return found
    raise RegistryError(ErrorCode.DENIED, TOO_LARGE)


def _names_in(body: bytes) -> list[str] | None:
    """Returns what a page lists; None where it is not a page of a catalog."""
    try:
        names = json.loads(body)["repositories"]
    except (ValueError, RecursionError, KeyError, TypeError):
        return None
    if names is None:  # as Go writes an empty list
        return []
    return names if isinstance(names, list) and all(isinstance(name, str) for name in names) else None
