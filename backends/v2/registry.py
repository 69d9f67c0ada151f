"""The v2 registry as one handler: routes, gates, errors around the handlers of this folder."""

from __future__ import annotations

from backends.registry.repository import Repositories
from backends.storage.driver import StorageDriver
from backends.v2.errors import render
from backends.v2.parts import Parts
from backends.v2.routes import PARSERS, routes
from backends.v2.settings import V2Settings
from backends.web.dispatch import Dispatcher
from backends.web.errors import render_errors
from backends.web.gates import read_only

CHANGES = frozenset({"POST", "PUT", "PATCH", "DELETE"})


class Registry:
    """A distribution registry over one storage driver.

    Attributes:
        handle: the handler (aiohttp's low-level server interface).
    """

    def __init__(self, driver: StorageDriver, settings: V2Settings) -> None:
        parts = Parts(Repositories(driver), settings)
        dispatch = Dispatcher(routes(parts), PARSERS, what="this registry").handle
        self.handle = render_errors(read_only(dispatch, CHANGES) if settings.read_only else dispatch, render)
