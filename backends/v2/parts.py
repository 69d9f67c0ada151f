"""What the handlers of the v2 registry are given, and the few things they all do with it."""

from __future__ import annotations

from dataclasses import dataclass, field

from aiohttp.web import BaseRequest

from backends.http.address_doubts import AddressDoubts
from backends.http.request_info import location_origin
from backends.registry.store import Store
from backends.v2.headers import API_HEADERS
from backends.v2.settings import V2Settings


@dataclass(frozen=True, slots=True)
class Parts:
    """The store and the registry's settings."""

    store: Store
    settings: V2Settings
    doubts: AddressDoubts = field(default_factory=AddressDoubts)

    def location(self, request: BaseRequest, path: str) -> str:
        """Returns a path as `Location` tells it: absolute, since Docker up to 1.7 cannot follow another."""
        if self.settings.relative_urls:
            return path
        if self.settings.host:
            return self.settings.host + path
        self.doubts.check(request)
        return location_origin(request) + path

    def headers(self, **more: str) -> dict[str, str]:
        """Returns the headers of an answer; underscores stand for hyphens in the names of `more`."""
        headers = dict(API_HEADERS)
        for name, value in more.items():
            headers[name.replace("_", "-")] = value
        return headers
