"""A registry elsewhere behind this program's own access control: what is allowed goes on, with the proxy's credentials.

Clients' credentials end here. What a route's operation may do is decided by the gate, as everywhere. Whoever may not
know what there is gets what a registry with nothing in it answers, which is Portside's own. What the table of routes
does not have, the registry is never asked for.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import TypeAlias

from aiohttp.web import BaseRequest, StreamResponse

from backends.web.dispatch import Route
from backends.web.operations import Operation, OperationHandler, Values
from proxy.forwarding import Forwarder
from proxy.proxy import Handler, InProcess

PassOn: TypeAlias = Callable[[Forwarder, Operation, BaseRequest, Values], Awaitable[StreamResponse]]
"""Carries out an operation that is allowed, at the registry."""


class CheckedUpstream:
    """An upstream whose requests are judged before they go on.

    Args:
        forwarder: passes them on, with the proxy's own credentials.
        judge: answers requests; those that are allowed, through the forwarder.
    """

    def __init__(self, forwarder: Forwarder, judge: Handler) -> None:
        self._forwarder = forwarder
        self._here = InProcess(judge)

    async def handle(self, request: BaseRequest) -> StreamResponse:
        """Judges a request, and passes it on or answers it."""
        return await self._here.handle(request)

    async def available(self) -> bool:
        """Whether the registry answers now."""
        return await self._forwarder.available()

    async def close(self) -> None:
        """Closes the connections to the registry."""
        await self._forwarder.close()


def forwarding_routes(
    routes: Sequence[Route], pass_on: PassOn, *, empty: object, answered_here: frozenset[OperationHandler]
) -> list[Route]:
    """Returns routes for a dispatcher whose parts are the forwarder where an operation is allowed.

    Args:
        routes: of the registry's API, with its own handlers.
        pass_on: carries out what is allowed.
        empty: the parts of a registry with nothing in it, which answers where all is hidden.
        answered_here: the handlers that it answers with in any case.
    """

    def forwarding(operation: Operation) -> Operation:
        own = operation.handler

        async def handle(parts: object, request: BaseRequest, **values: object) -> StreamResponse:
            if isinstance(parts, Forwarder) and own not in answered_here:
                return await pass_on(parts, operation, request, values)
            return await own(empty, request, **values)

        return replace(operation, handler=handle)

    return [
        replace(route, operations={method: forwarding(each) for method, each in route.operations.items()})
        for route in routes
    ]
