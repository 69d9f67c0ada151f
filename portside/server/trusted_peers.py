"""Which peers of a listener are trusted to say whom they forward for; the list may change while serving."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from ipaddress import ip_address

from aiohttp import web

from backends import request_context
from backends.model.cache import Cache
from portside.server.listening import Listener

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]

REMEMBERED = 1024


class TrustedPeers:
    """The trusted proxies of a listener, as a container of addresses; a unix socket's peer has the address ""."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._known = Cache(self._find, bound=REMEMBERED)

    def take_over(self, listener: Listener) -> None:
        """Replaces the list by that of a changed listener."""
        self._listener = listener
        self._known = Cache(self._find, bound=REMEMBERED)

    def __contains__(self, host: object) -> bool:
        return self._listener.trusted_peer or (isinstance(host, str) and self._known[host])

    def _find(self, host: str) -> bool:
        try:
            address = ip_address(host)
        except ValueError:
            return False
        return any(address in network for network in self._listener.trusted_networks)

    def marking(self, handler: Handler) -> Handler:
        """Wraps a handler so that requests of trusted peers are marked; costs nothing where no proxy is trusted."""
        if not self._listener.trusted_peer and not self._listener.trusted_networks:
            return handler

        async def mark(request: web.BaseRequest) -> web.StreamResponse:
            if (request.remote or "") in self:
                request[request_context.TRUSTED_PEER] = True
            return await handler(request)

        return mark
