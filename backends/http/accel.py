"""Whether an nginx in front may be sent for a file in a registry's place (`X-Accel-Redirect`). PURE.

A registry in another process takes our own proxy for a trusted peer; who asks the proxy need not be one.
"""

from __future__ import annotations

NOT_BY_NGINX = "X-Portside-Accel"
"""Our proxy says so of a request that no trusted proxy has passed on: nobody there would obey."""

_LAYER = "/layer"


def is_for_layer(target: str) -> bool:
    """Whether a request is for what nginx may be sent for: a layer of v1."""
    return target.partition("?")[0].endswith(_LAYER)
