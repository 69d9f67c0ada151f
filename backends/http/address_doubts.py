"""Warns in the log that pushes arrive by an address that their clients cannot have used.

`Location` names that address, so the client sends the layer to the wrong place and fails there. Its own error message
does not say why; the operator of the proxy in front reads this log.
"""

from __future__ import annotations

import logging

from aiohttp.web import BaseRequest

from backends.http.forwarded import doubt_address
from backends.http.request_info import client_authority
from backends.http.text import printable

_PUSHING = frozenset({"POST", "PATCH"})
_log = logging.getLogger("portside.address")


class AddressDoubts:
    """Warns once of each kind of doubt."""

    def __init__(self) -> None:
        self._said: set[str] = set()

    def check(self, request: BaseRequest) -> None:
        """Looks at a request whose answer has a `Location` that the client is to follow."""
        if request.method not in _PUSHING:
            return
        doubt = doubt_address(request.headers, scheme=request.scheme, host=client_authority(request))
        if doubt is None or doubt.kind in self._said:
            return
        self._said.add(doubt.kind)
        _log.warning(
            "%s; Location names that address, and pushes end there: let the proxy set Host and X-Forwarded-Proto"
            " (docs/behind-a-proxy.md), or set http.host",
            printable(doubt.why[:300]),
        )
