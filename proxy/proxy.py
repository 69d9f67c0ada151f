"""The proxy as one handler: decide, record the decision, pass the request on."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from aiohttp import web
from yarl import URL

from backends import request_context
from backends.http.configured_headers import ConfiguredHeaders
from backends.http.request_info import client_address, client_agent
from backends.model.cache import Cache
from backends.model.clients import ClientProfile, parse_user_agent
from backends.model.errors import ErrorCode, RegistryError
from backends.request_context import OuterHeaders
from proxy.answers import own_answer, registry_error
from proxy.replying import reply
from proxy.routing import (
    API_VERSION,
    Backend,
    Policy,
    RouteClass,
    RouteDecision,
    Why,
    decide_class,
    origin_form,
    route_class,
)
from proxy.settings import ProxySettings

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]

REMEMBERED = 4096


class Upstream(Protocol):
    """A registry as the proxy sees it, in this process or another."""

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse: ...

    async def available(self) -> bool:
        """Whether it answers now."""
        ...

    async def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class InProcess:
    """A registry in this process: no hop, and there as long as the proxy is."""

    handler: Handler

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Passes the request on as it came, without what a registry elsewhere would not see either."""
        if request_context.DROP_AUTHORIZATION in request and "Authorization" in request.headers:
            kept = [(name, value) for name, value in request.headers.items() if name.lower() != "authorization"]
            request = request.clone(headers=[(name, _utf8(value)) for name, value in kept])
        if not request.raw_path.startswith("/"):
            request = request.clone(rel_url=URL(origin_form(request.raw_path), encoded=True))
        return await self.handler(request)

    async def available(self) -> bool:
        return True

    async def close(self) -> None:
        """Nothing to close: the registry is closed by the code that built it."""


class Proxy:
    """Routes each request to the registry that its client speaks.

    Args:
        settings: rule and header.
        upstreams: the registries that there are.
        headers: what the settings want on every answer.
    """

    def __init__(
        self,
        settings: ProxySettings,
        upstreams: Mapping[Backend, Upstream],
        *,
        headers: ConfiguredHeaders | None = None,
    ) -> None:
        self._header = settings.route_header
        self._policy = Policy(settings.rule, frozenset(upstreams), f"{settings.prefix}/v2/")
        self._v2_root = self._policy.v2_root
        self._upstreams = dict(upstreams)
        self._headers = headers or ConfiguredHeaders({})
        self._decided_with = self._headers.current
        # Clients are few and ask much.
        self._decisions = Cache(self._decide, bound=REMEMBERED)

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Decides, records the decision for log, metric and header, and passes the request on."""
        if self._headers.current is not self._decided_with:  # the settings were reloaded
            self._decided_with = self._headers.current
            self._decisions = Cache(self._decide, bound=REMEMBERED)
        target = request.raw_path
        agent = client_agent(request)
        client, decision, route, headers = self._decisions[agent, route_class(request.method, target, self._v2_root)]
        self._record(request, client, decision, route=route, headers=headers)
        if decision.backend is None:
            accept = request.headers.getall("Accept", [])
            address = client_address(request)
            answer = own_answer(decision, target, accept, client_address=address, v2_root=self._v2_root)
            return reply(request, answer)
        if decision.only_while_v2_answers and not await self._upstreams[Backend.V2].available():
            detail = f"the v2 registry does not answer, and {client.text} speaks v2; push again when it is back"
            down = RouteDecision(None, detail, Why.V2_IS_DOWN)
            self._record(request, client, down, route="proxy", headers=self._outer_headers(down, "proxy"))
            return reply(request, registry_error(decision.backend, RegistryError(ErrorCode.UNAVAILABLE, detail)))
        return await self._upstreams[decision.backend].handle(request)

    def _decide(self, asked: tuple[str, RouteClass]) -> tuple[ClientProfile, RouteDecision, str, OuterHeaders]:
        """Returns the client of a User-Agent, the decision, who answers, and the headers of every answer."""
        agent, asked_class = asked
        client = parse_user_agent(agent)
        decision = decide_class(client, asked_class, self._policy)
        route = "proxy" if decision.backend is None else decision.backend.value
        return client, decision, route, self._outer_headers(decision, route)

    def _outer_headers(self, decision: RouteDecision, route: str) -> OuterHeaders:
        replacing, adding = [*self._decided_with.replacing], self._decided_with.adding
        if self._header:
            replacing.append((self._header, f"{route}; {decision.reason}"))
        if decision.api_version:
            replacing.append(API_VERSION)
        if decision.backend is not Backend.V2:
            # What the settings say of every answer must not keep an old client from falling back to v1.
            adding = tuple(pair for pair in adding if pair[0].lower() != API_VERSION[0].lower())
        return OuterHeaders(tuple(replacing), adding)

    def _record(
        self,
        request: web.BaseRequest,
        client: ClientProfile,
        decision: RouteDecision,
        *,
        route: str,
        headers: OuterHeaders,
    ) -> None:
        request[request_context.BACKEND] = route
        request[request_context.ROUTE] = decision.reason
        request[request_context.DECIDED] = (client.generation.value, decision.why.value)
        request[request_context.RESPONSE_HEADERS] = headers
        if decision.drop_authorization:
            request[request_context.DROP_AUTHORIZATION] = True

    async def close(self) -> None:
        """Closes the upstreams' connections."""
        for upstream in self._upstreams.values():
            await upstream.close()


def _utf8(value: str) -> str:
    """Returns a header's value with bytes that are not UTF-8 replaced: a request cannot be copied with them."""
    return value.encode("utf-8", "replace").decode()
