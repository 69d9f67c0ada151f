"""What the handlers of the v2 registry are given, and the few things they all do with it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from aiohttp.web import BaseRequest

from backends.http.address_doubts import AddressDoubts
from backends.http.body_limit import BodyLimit
from backends.http.request_info import client_address, location_origin
from backends.model.actor import Actor
from backends.model.cache import Cache
from backends.model.descriptors import Platform
from backends.model.digest import Digest
from backends.registry.store import Store
from backends.v2.readers import Readers
from backends.v2.settings import V2Settings
from backends.web.actors import actor_of, described_actor

if TYPE_CHECKING:
    from backends.model.conversion.negotiation import Answer, Stored
    from backends.model.conversion.readers import Reader

DESCRIBED = 4096
Described: TypeAlias = "Cache[tuple[Digest, Platform, bool], Stored]"
"""By a manifest, a platform, and whether zstd is read: what there is in it."""

Answers: TypeAlias = "Cache[tuple[Digest | str, Reader], Answer]"
"""By a manifest, or the type of what is no manifest, and a client: what it gets."""


@dataclass(frozen=True, slots=True)
class Parts:
    """The store, the registry's settings, and what is remembered of the requests so far.

    Attributes:
        store: what is kept.
        settings: of this registry.
        receiving: how many layers are being received.
        readers: what the clients of requests can read.
        doubts: of the address in `Location`.
        described: what there is in a manifest for a kind of client.
        answers: what a client gets of a manifest, or of what has a type, in place of a tag that names it.
    """

    store: Store
    settings: V2Settings
    receiving: BodyLimit
    readers: Readers
    doubts: AddressDoubts = field(default_factory=AddressDoubts)
    described: Described = field(default_factory=lambda: Cache(bound=DESCRIBED))
    answers: Answers = field(default_factory=lambda: Cache(bound=DESCRIBED))

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

    def location_again(self, request: BaseRequest, address: str) -> str:
        """Returns the same for path and query as clients send them, the prefix before `/v2/` included."""
        return self.location(request, address.removeprefix(self.settings.prefix))

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
