"""What the layers around a handler and the handler itself pass to each other about one request.

A request carries these entries in its own mapping (`request[KEY]`); the keys are the whole contract, so the proxy and
the registries need not know one another.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aiohttp.web import RequestKey


@dataclass(frozen=True, slots=True)
class OuterHeaders:
    """Headers that the layers around a handler want on its answer, whatever it is.

    Attributes:
        replacing: they stand there whatever the handler says (the proxy's `X-Portside-Route`).
        adding: they stand there where the handler says nothing of that name (`http.headers`).
    """

    replacing: tuple[tuple[str, str], ...] = ()
    adding: tuple[tuple[str, str], ...] = ()


RESPONSE_HEADERS = RequestKey("portside.response_headers", OuterHeaders)
"""What the layer that answers adds to the answer."""

ROUTE = RequestKey("portside.route", str)
"""Why the request went where it went, for the access log."""

BACKEND = RequestKey("portside.backend", str)
"""`v1`, `v2` or `proxy`: who answered, for log and metric."""

HANDLER = RequestKey("portside.handler", str)
"""What the request is about, by the name of its route: `manifest`, `blob`. For the metric, from a small closed set."""

DECIDED = RequestKey("portside.decided", tuple[str, str])
"""The proxy's decision for the metric: the client's generation and why, both from small closed sets."""

TRUSTED_PEER = RequestKey("portside.trusted_peer", bool)
"""The peer is our own proxy or in a trusted network: what it says of its client counts."""

DROP_AUTHORIZATION = RequestKey("portside.drop_authorization", bool)
"""Credentials are not to reach the registry (the guide's literal rule)."""

REQUEST_ID = RequestKey("portside.request_id", str)
"""Identifies the request wherever something says what it changed."""

PASSED_ON = RequestKey("portside.passed_on", object)
"""The request has gone on already to the registry that is to answer it (`dependencies.Passing`): whoever forwards
requests takes the answer, in place of asking."""

CONTINUED = RequestKey("portside.continued", bool)
"""`100 Continue` was sent: the client may send its body."""

USER = RequestKey("portside.user", str)
"""Who the caller is, once it has shown that; not there where there is no access control, or it has not."""

SCOPES = RequestKey("portside.scopes", tuple[str, ...])
"""What a request needs at a registry elsewhere, as token servers read it: `repository:team/app:pull`."""

CLIENT_CERTIFICATE = RequestKey("portside.client_certificate", Mapping[str, Any])
"""The client's certificate, as our own proxy in another process has verified it and proved that it did."""
