"""A v2 registry elsewhere behind this program's own access control: the same table decides as for the registry here."""

from __future__ import annotations

import json
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
from backends.web.dispatch import Dispatcher
from backends.web.errors import render_errors
from backends.web.operations import Operation, OperationHandler, Values
from backends.web.refusals import wanted_of
from backends.web.rights import visible_to
from portside.checked_upstream import CheckedUpstream, forwarding_routes
from proxy.forwarding import Forwarder

MAX_PAGE = 4 * 1024 * 1024
ASKED_AT_ONCE = 100
"""Repositories that the registry is asked for at once: as many as it lists when it is not told."""

MAX_PAGES = 100
"""So many pages are looked through for one that is shown: more would let each request cost too much there."""

TOO_LARGE = (
    "the registry behind the proxy has too many repositories to look through for those that you may pull: name the"
    " repository, or ask with last=NAME to begin after a name"
)


_ANSWERED_HERE: frozenset[OperationHandler] = frozenset({token.get_token, base.get_root})


def check_v2_upstream(
    forwarder: Forwarder, settings: V2Settings, *, access: AccessGate, nothing: Store
) -> CheckedUpstream:
    """Returns a v2 registry elsewhere whose requests are judged before they go on.

    Args:
        forwarder: passes them on, with the proxy's own credentials.
        settings: of v2.
        access: who may.
        nothing: a store with nothing in it.
    """
    readers = Readers(nothing.conversion_policy.platform)
    empty = Parts(nothing, settings, BodyLimit(settings.uploads_at_once), readers)
    pass_on = partial(_pass_on, settings)
    dispatcher = Dispatcher(
        forwarding_routes(routes_below(settings.prefix), pass_on, empty=empty, answered_here=_ANSWERED_HERE),
        PARSERS,
        forwarder,
        gates=(),
        access=access,
        nothing=empty,
        what="this registry",
        headers=API_HEADERS,
        redirects=True,
    )
    return CheckedUpstream(forwarder, render_errors(dispatcher.handle, render))


async def _pass_on(
    settings: V2Settings, forwarder: Forwarder, operation: Operation, request: BaseRequest, values: Values
) -> StreamResponse:
    request[request_context.SCOPES] = _scopes(operation, values, request)
    if operation.handler is catalog.list_catalog:
        return await _list_catalog(forwarder, settings, request)
    if operation.handler is uploads.post_upload:
        request = _with_mount(request, is_allowed=values.get("source") is not None)
    return await forwarder.handle(request)


def _scopes(operation: Operation, values: Values, request: BaseRequest) -> tuple[str, ...]:
    """Returns what a request needs at the registry, as its token server reads it: what was judged, and no more."""
    return tuple(each.scope for each in wanted_of(operation.accesses(values, request)))


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


async def _list_catalog(forwarder: Forwarder, settings: V2Settings, request: BaseRequest) -> StreamResponse:
    """Lists what the caller may pull, as the registry here does: never a name that is hidden, in `Link` neither."""
    visible = visible_to(request, by=Action.CATALOG)
    if visible is None:
        return await forwarder.handle(request)
    root = f"{settings.prefix}/v2/_catalog"
    return await catalog.send_page(request, settings, partial(_visible_names, forwarder, root, visible))


async def _visible_names(forwarder: Forwarder, root: str, visible: Visible, *, after: str, limit: int) -> list[str]:
    found: list[str] = []
    for _ in range(MAX_PAGES):
        if len(found) >= limit:
            return found
        target = f"{root}?n={ASKED_AT_ONCE}" + (f"&last={quote(after, safe='')}" if after else "")
        page = await forwarder.fetch(target, most=MAX_PAGE)
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
