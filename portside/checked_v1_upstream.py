"""A v1 registry elsewhere behind this program's own schemes: whoever has logged in goes on, as the proxy's user there.

Addresses of v1's images name no repository, and only the registry could say which of them holds one. So rules about
repositories could not be kept here, and such a proxy has none: all its users may do everything. What remains is who is
asked: clients log in here, get tokens of ours for what they begin, and the registry never sees either.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
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
from backends.web.dispatch import Dispatcher, Route
from backends.web.errors import render_errors
from backends.web.operations import ImageAccess, Operation, OperationHandler
from backends.web.rights import Rights, rights_of
from proxy.forwarding import Forwarder
from proxy.proxy import InProcess

_ANSWERED_HERE = frozenset(
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


class CheckedV1Upstream:
    """An upstream whose clients are asked who they are before their requests go on.

    Args:
        forwarder: passes them on, with the proxy's own credentials.
        settings: of v1.
        access: who may.
        nothing: a store with nothing in it.
        tokens: issues tokens to clients.
    """

    def __init__(
        self, forwarder: Forwarder, settings: V1Settings, *, access: AccessGate, nothing: Store, tokens: V1Tokens
    ) -> None:
        empty = Parts(nothing, settings, BodyLimit(settings.uploads_at_once), tokens)
        dispatcher = Dispatcher(
            [_forwarding(each) for each in ROUTES],
            PARSERS,
            _Behind(forwarder, empty, tokens),
            gates=(),
            access=access,
            nothing=empty,
            what="this registry",
            headers={"Server": STD["Server"]},
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
        tokens: issues tokens to clients.
    """

    forwarder: Forwarder
    empty: Parts
    tokens: V1Tokens


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
        if own in _ANSWERED_HERE:
            return await own(parts.empty, request, **values)
        access = _TOKENS.get(own)
        name = values.get("name")
        if access is not None and isinstance(name, V1Name):
            await _give_token(parts.tokens, request, name, access)
        answer = await parts.forwarder.handle(request)
        if answer.status >= HTTPStatus.BAD_REQUEST and not answer.prepared:  # nothing has begun
            for header in _OF_A_TOKEN:
                answer.headers.popall(header, None)
        return answer

    return handle


async def _give_token(tokens: V1Tokens, request: BaseRequest, name: V1Name, access: V1Access) -> None:
    """Has the answer carry a token of ours in place of the registry's, with which its client would not come far."""
    rights = rights_of(request)
    assert rights is not None
    value = await repositories.bound_token(tokens, rights.identity, name, access)
    outer = request.get(request_context.RESPONSE_HEADERS, OuterHeaders())
    told = tuple((header, value) for header in _OF_A_TOKEN)
    request[request_context.RESPONSE_HEADERS] = replace(outer, replacing=(*outer.replacing, *told))
