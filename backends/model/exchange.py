"""What the layers around a handler and the handler itself tell each other about one request.

A request carries these entries in its own mapping (`request[KEY]`); the keys are the whole contract, so the proxy
and the registries need not know one another.
"""

from __future__ import annotations

RESPONSE_HEADERS = "portside.response_headers"
"""dict[str, str]: headers that whoever answers adds to its answer (the proxy's `X-Portside-Route`)."""

ROUTE = "portside.route"
"""str: which way the request went and why, for the access log."""

BACKEND = "portside.backend"
"""str: "v1", "v2" or "proxy": who answered, for the metric."""

TRUSTED_PEER = "portside.trusted_peer"
"""bool: X-Forwarded-* of this request are the word of our own proxy or of a trusted network."""
