"""The proxy as one handler: decide, hand over, tell."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from aiohttp import web

from backends import exchange
from backends.model.clients import parse_user_agent
from backends.model.errors import ErrorCode
from proxy.answers import own_answer, upstream_error
from proxy.forwarding import reply
from proxy.routing import API_VERSION, Backend, Policy, RouteDecision, decide, is_v1_push
from proxy.settings import ProxySettings

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


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
        return await self.handler(request)

    async def available(self) -> bool:
        return True

    async def close(self) -> None:
        """Nothing is held; whoever built the registry closes it."""


class Proxy:
    """Routes each request to the registry that its client speaks.

    Args:
        settings: rule and header.
        upstreams: the registries that there are.
    """

    def __init__(self, settings: ProxySettings, upstreams: Mapping[Backend, Upstream]) -> None:
        self._header = settings.route_header
        self._policy = Policy(settings.rule, frozenset(upstreams))
        self._upstreams = dict(upstreams)

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Decides, notes the decision for log, metric and header, and hands over."""
        agent = request.headers.get("User-Agent", "")
        client = parse_user_agent(agent)
        target = request.raw_path
        decision = decide(client, agent, target, self._policy)
        self._note(request, decision)
        if decision.backend is None:
            address = f"{request.scheme}://{request.headers.get('Host', 'localhost')}"
            return reply(
                request, own_answer(decision, target, request.headers.getall("Accept", []), client_address=address)
            )
        if decision.backend is Backend.V1 and client.speaks_v2 and is_v1_push(request.method, target):
            v2 = self._upstreams.get(Backend.V2)
            if v2 is not None and not await v2.available():
                # Docker 1.6 to 1.13 go to v1 when v2 fails: the image would land in the wrong registry in silence.
                detail = f"the v2 registry does not answer, and {client.text} speaks v2; push again when it is back"
                return reply(request, upstream_error(Backend.V1, ErrorCode.UNAVAILABLE, 503, detail))
        return await self._upstreams[decision.backend].handle(request)

    def _note(self, request: web.BaseRequest, decision: RouteDecision) -> None:
        way = "proxy" if decision.backend is None else decision.backend.value
        request[exchange.BACKEND] = way
        request[exchange.ROUTE] = decision.reason
        headers: dict[str, str] = {}
        if self._header:
            headers[self._header] = f"{way}; {decision.reason}"
        if decision.api_version:
            headers[API_VERSION[0]] = API_VERSION[1]
        request[exchange.RESPONSE_HEADERS] = headers
        if decision.drop_authorization:
            request[exchange.DROP_AUTHORIZATION] = True

    async def close(self) -> None:
        """Lets go of the upstreams' connections."""
        for upstream in self._upstreams.values():
            await upstream.close()
