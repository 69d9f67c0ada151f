"""What the handlers of the v2 registry are given, and the few things they all do with it."""

from __future__ import annotations

from dataclasses import dataclass, field

from aiohttp.web import BaseRequest

from backends.http.address_doubts import AddressDoubts
from backends.http.body_limit import BodyLimit
from backends.http.request_info import client_address, location_origin
from backends.model.actor import Actor
from backends.registry.store import Store
from backends.v2.settings import V2Settings
from backends.web.actors import actor_of, described_actor


@dataclass(frozen=True, slots=True)
class Parts:
    """The store, the registry's settings, and how many layers are being received."""

    store: Store
    settings: V2Settings
    receiving: BodyLimit
    doubts: AddressDoubts = field(default_factory=AddressDoubts)

    def location(self, request: BaseRequest, path: str) -> str:
        """Returns the value of `Location` for a path: absolute, since Docker up to 1.7 cannot follow a relative one.

        Args:
            request: what is answered.
            path: from `/v2/` on.
        """
        settings = self.settings
        if settings.relative_urls:
            return settings.prefix + path
        if settings.host:
            return settings.host + path
        self.doubts.check(request)
        return location_origin(request) + settings.prefix + path

    def actor(self, request: BaseRequest) -> Actor:
        """Returns who asks, with what events say of the request where they are wanted."""
        if not self.store.events.wanted:
            return actor_of(request)
        # What anyone may say of the address is believed for `Location` alone, never for what is told to others.
        settings = self.settings
        if settings.relative_urls:
            origin = settings.prefix
        else:
            origin = settings.host or client_address(request) + settings.prefix
        return described_actor(request, origin=origin)
