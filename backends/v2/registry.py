"""The v2 registry as one handler: routes, gates, errors around the handlers of this folder."""

from __future__ import annotations

from collections.abc import Sequence

from backends.registry.repository import Repositories
from backends.storage.storage import Storage
from backends.v2.errors import render
from backends.v2.parts import Parts
from backends.v2.routes import PARSERS, ROUTES
from backends.v2.settings import V2Settings
from backends.web.dispatch import Dispatcher
from backends.web.errors import render_errors
from backends.web.gates import Gate


class Registry:
    """A distribution registry over one storage.

    Args:
        storage: where the data is.
        settings: what is v2's own.
        gates: what stands before every operation, in this order.

    Attributes:
        handle: the handler (aiohttp's low-level server interface).
    """

    def __init__(self, storage: Storage, settings: V2Settings, *, gates: Sequence[Gate] = ()) -> None:
        parts = Parts(Repositories(storage), settings)
        dispatcher = Dispatcher(ROUTES, PARSERS, parts, gates=gates, what="this registry")
        self.handle = render_errors(dispatcher.handle, render)
