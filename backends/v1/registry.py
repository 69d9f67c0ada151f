"""The v1 registry as one handler: routes, and errors around the handlers of this folder."""

from __future__ import annotations

from backends.registry.blobs import Blobs
from backends.registry.v1.images import Images
from backends.registry.v1.repositories import V1Repositories
from backends.storage.driver import StorageDriver
from backends.v1.errors import render
from backends.v1.parts import Parts
from backends.v1.routes import PARSERS, routes
from backends.v1.settings import V1Settings
from backends.web.dispatch import Dispatcher
from backends.web.errors import render_errors
from backends.web.gates import read_only

# A login is a POST, and changes nothing.
CHANGES = frozenset({"PUT", "DELETE"})


class Registry:
    """A docker-registry over one storage driver.

    Attributes:
        handle: the handler (aiohttp's low-level server interface).
    """

    def __init__(self, driver: StorageDriver, settings: V1Settings) -> None:
        images = Images(driver, Blobs(driver))
        parts = Parts(driver, images, V1Repositories(driver, images), settings)
        dispatch = Dispatcher(routes(parts), PARSERS, what="this registry").handle
        self.handle = render_errors(read_only(dispatch, CHANGES) if settings.read_only else dispatch, render)
