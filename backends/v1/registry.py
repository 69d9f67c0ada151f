"""The v1 registry as one handler: routes, gates, errors around the handlers of this folder."""

from __future__ import annotations

from collections.abc import Sequence

from backends.registry.blobs import Blobs
from backends.registry.v1.images import Images
from backends.registry.v1.repositories import V1Repositories
from backends.storage.storage import Storage
from backends.v1.errors import render
from backends.v1.parts import Parts
from backends.v1.routes import PARSERS, ROUTES
from backends.v1.settings import V1Settings
from backends.web.dispatch import Dispatcher
from backends.web.errors import render_errors
from backends.web.gates import Gate


class Registry:
    """A docker-registry over one storage.

    Args:
        storage: where the data is.
        settings: what is v1's own.
        gates: what stands before every operation, in this order.

    Attributes:
        handle: the handler (aiohttp's low-level server interface).
    """

    def __init__(self, storage: Storage, settings: V1Settings, *, gates: Sequence[Gate] = ()) -> None:
        images = Images(storage, Blobs(storage.driver))
        parts = Parts(storage.driver, images, V1Repositories(storage, images), settings)
        dispatcher = Dispatcher(ROUTES, PARSERS, parts, gates=gates, what="this registry")
        self.handle = render_errors(dispatcher.handle, render)
