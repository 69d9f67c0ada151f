"""What the handlers of the v2 registry are given, and the few things they all do with it."""

from __future__ import annotations

from dataclasses import dataclass, field

from aiohttp.web import BaseRequest

from backends.http.address_doubts import AddressDoubts
from backends.http.request_info import location_origin
from backends.registry.store import Store
from backends.v2.settings import V2Settings


@dataclass(frozen=True, slots=True)
class Parts:
    """The store and the registry's settings."""

    store: Store
    settings: V2Settings
    doubts: AddressDoubts = field(default_factory=AddressDoubts)

    def location(self, request: BaseRequest, path: str) -> str:
        """Returns the value of `Location` for a path: absolute, since Docker up to 1.7 cannot follow a relative one."""
        if self.settings.relative_urls:
            return path
        if self.settings.host:
            return self.settings.host + path
        self.doubts.check(request)
        return location_origin(request) + path
