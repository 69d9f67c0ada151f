"""The v1 registry as one handler: routes, gates, errors around the handlers of this folder."""

from __future__ import annotations

from collections.abc import Sequence

from backends.http.body_limit import BodyLimit
from backends.registry.store import Store
from backends.v1.errors import render
from backends.v1.parts import Parts
from backends.v1.routes import PARSERS, ROUTES
from backends.v1.settings import V1Settings
from backends.web.dispatch import Dispatcher
from backends.web.errors import render_errors
from backends.web.gates import Gate


class Registry:
    """A docker-registry over a store.

    Args:
        store: what it keeps.
        settings: what is v1's own.
        gates: what stands before every operation, in this order.

    Attributes:
        handle: the handler (aiohttp's low-level server interface).
    """

    def __init__(self, store: Store, settings: V1Settings, *, gates: Sequence[Gate] = ()) -> None:
        dispatcher = Dispatcher(
            ROUTES,
            PARSERS,
            Parts(store, settings, BodyLimit(settings.uploads_at_once)),
            gates=gates,
            what="this registry",
            headers={"Server": "Portside"},
        )
        self.handle = render_errors(dispatcher.handle, render)
