"""A v1 registry elsewhere behind this program's own schemes: whoever has logged in goes on, as the proxy's user there.

Addresses of v1's images name no repository, and only the registry could say which of them holds one. So rules about
repositories could not be kept here, and such a proxy has none: all its users may do everything. What remains is who is
asked: clients log in here, get tokens of ours for what they begin, and the registry never sees either.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from http import HTTPStatus

from aiohttp.web import BaseRequest, StreamResponse

from backends import request_context
from backends.auth.rules import is_somebody
from backends.auth.v1_tokens import V1Access, V1Grants, V1Tokens
from backends.http.body_limit import BodyLimit
from backends.model.v1names import V1Name
from backends.registry.store import Store
from backends.request_context import OuterHeaders
from backends.v1 import repositories, session
from backends.v1.errors import render
from backends.v1.headers import STD
from backends.v1.parts import Parts
from backends.v1.routes import PARSERS, ROUTES
from backends.v1.settings import V1Settings
from backends.web.access import AccessGate
from backends.web.dispatch import Dispatcher
from backends.web.errors import render_errors
from backends.web.operations import ImageAccess, Operation, OperationHandler, Values
from backends.web.rights import Rights, rights_of
from portside.checked_upstream import CheckedUpstream, forwarding_routes
from proxy.forwarding import Forwarder

_ANSWERED_HERE: frozenset[OperationHandler] = frozenset(
    {session.get_ping, session.get_root, session.get_users, session.post_user, session.put_user, repositories.put_auth}
)
_TOKENS: Mapping[OperationHandler, V1Access] = {
    repositories.put_repository: "write",
    repositories.put_images: "write",
    repositories.get_images: "read",
    repositories.delete_images: "delete",
}
"""What begins a push, a pull or a deletion, and which token is given for it."""
_OF_A_TOKEN = ("X-Docker-Token", "WWW-Authenticate")
"""Where docker-registry says a token, twice."""


async def may_touch_image(rights: Rights, access: ImageAccess) -> bool:
    """Whether a caller may do something with an image: whoever has logged in, with a token that is for it."""
    grants = rights.identity.grants
    if isinstance(grants, V1Grants):
        return grants.allow(access.action, grants.repository)
    return is_somebody(rights.identity)


def check_v1_upstream(
    forwarder: Forwarder, settings: V1Settings, *, access: AccessGate, nothing: Store, tokens: V1Tokens
) -> CheckedUpstream:
    """Returns a v1 registry elsewhere whose clients are asked who they are before their requests go on.

    Args:
        forwarder: passes them on, with the proxy's own credentials.
        settings: of v1.
        access: who may.
        nothing: a store with nothing in it.
        tokens: issues tokens to clients.
    """
    empty = Parts(nothing, settings, BodyLimit(settings.uploads_at_once), tokens)
    dispatcher = Dispatcher(
        forwarding_routes(ROUTES, partial(_pass_on, tokens), empty=empty, answered_here=_ANSWERED_HERE),
        PARSERS,
        forwarder,
        gates=(),
        access=access,
        nothing=empty,
        what="this registry",
        headers={"Server": STD["Server"]},
    )
    return CheckedUpstream(forwarder, render_errors(dispatcher.handle, render))


async def _pass_on(
    tokens: V1Tokens, forwarder: Forwarder, operation: Operation, request: BaseRequest, values: Values
) -> StreamResponse:
    access = _TOKENS.get(operation.handler)
    name = values.get("name")
    if access is not None and isinstance(name, V1Name):
        await _give_token(tokens, request, name, access)
    answer = await forwarder.handle(request)
    if answer.status >= HTTPStatus.BAD_REQUEST and not answer.prepared:  # nothing has begun
        for header in _OF_A_TOKEN:
            answer.headers.popall(header, None)
    return answer


async def _give_token(tokens: V1Tokens, request: BaseRequest, name: V1Name, access: V1Access) -> None:
    """Has the answer carry a token of ours in place of the registry's, with which its client would not come far."""
    rights = rights_of(request)
    assert rights is not None
    value = await repositories.bound_token(tokens, rights.identity, name, access)
    outer = request.get(request_context.RESPONSE_HEADERS, OuterHeaders())
    told = tuple((header, value) for header in _OF_A_TOKEN)
    request[request_context.RESPONSE_HEADERS] = replace(outer, replacing=(*outer.replacing, *told))
