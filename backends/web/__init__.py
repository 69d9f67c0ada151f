"""HTTP for both registries: finding the handler, reading bodies, sending content, rendering errors in one place."""

from collections.abc import Awaitable, Callable

from aiohttp.web import BaseRequest, StreamResponse

Handler = Callable[[BaseRequest], Awaitable[StreamResponse]]
"""aiohttp's low-level server interface; everything that answers requests here is one."""
