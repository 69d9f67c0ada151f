"""The v2 registry as one handler: routes, gates, errors around the handlers of this folder."""

from __future__ import annotations

from aiohttp.web import BaseRequest, StreamResponse

from backends.model.errors import ErrorCode, RegistryError
from backends.registry.repository import Repositories
from backends.storage.driver import StorageDriver
from backends.v2.errors import render
from backends.v2.parts import Parts
from backends.v2.routes import PARSERS, routes
from backends.v2.settings import V2Settings
from backends.web.dispatch import Dispatcher
from backends.web.errors import answering

CHANGES = frozenset({"POST", "PUT", "PATCH", "DELETE"})


class Registry:
    """A distribution registry over one storage driver.

    Attributes:
        handle: the handler (aiohttp's low-level server interface).
    """

    def __init__(self, driver: StorageDriver, settings: V2Settings) -> None:
        parts = Parts(Repositories(driver), settings)
        self._settings = settings
        self._dispatch = Dispatcher(routes(parts), PARSERS, what="this registry").handle
        self.handle = answering(self._gate, render)

    async def _gate(self, request: BaseRequest) -> StreamResponse:
        if self._settings.read_only and request.method in CHANGES:
            raise RegistryError(
                ErrorCode.UNSUPPORTED, "this registry is read-only for now (storage.maintenance.readonly)"
            )
        return await self._dispatch(request)
