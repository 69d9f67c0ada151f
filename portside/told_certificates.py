"""A registry's own listener: what the proxy in another process tells of its client's certificate."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable

from aiohttp import web

from backends import request_context
from backends.http.certificate_header import HEADER, WrongSeal, asked_for, unseal
from backends.http.request_info import remote_address

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]

_log = logging.getLogger("portside.auth")


def told(handler: Handler, registry: str, key: bytes) -> Handler:
    """Wraps a registry's handler so that requests carry the certificate that the proxy tells of.

    A header that is not the proxy's is as none, and said in the log: it is a mistake in `http.secret`, or a clock, or
    somebody who tries.

    Args:
        handler: the registry's.
        registry: `v1` or `v2`.
        key: of the installation's headers.
    """

    async def read(request: web.BaseRequest) -> web.StreamResponse:
        said = request.headers.getall(HEADER, ())
        if said:
            asked = asked_for(registry, request.method, request.raw_path)
            try:
                if len(said) > 1:
                    raise WrongSeal("there are several")
                certificate = unseal(said[0], key, asked=asked, now=time.time())
                request[request_context.CLIENT_CERTIFICATE] = certificate
            except WrongSeal as wrong:
                _log.warning("a client certificate told by %s is not believed: %s", remote_address(request), wrong)
        return await handler(request)

    return read
