"""What the handlers of the v1 registry are given, and the few things they all do with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from aiohttp.web import BaseRequest, StreamResponse

from backends.http.body_limit import BodyLimit
from backends.http.receiving import read_body
from backends.http.request_info import client_address, client_agent, client_authority
from backends.http.sending import respond
from backends.model.actor import Actor
from backends.model.clients import parse_user_agent
from backends.model.descriptors import Platform
from backends.model.errors import ErrorCode, RegistryError
from backends.model.names import ImageId
from backends.model.v1images import dump_json
from backends.registry.store import Store
from backends.registry.v1_view.viewer import Viewer
from backends.v1.headers import STD
from backends.v1.settings import V1Settings
from backends.web.actors import actor_of, described_actor
from backends.web.rights import rights_of

if TYPE_CHECKING:
    from backends.auth.v1_tokens import V1Tokens
    from backends.v1.index_mode import IndexSight
    from backends.v1.sight import CallerSight

MAX_JSON_BYTES = 4 * 1024 * 1024
"""Larger JSON bodies are refused with 413."""


class BringsImages(Protocol):
    """Has images from elsewhere."""

    async def bring(self, image_id: ImageId, request: BaseRequest) -> None:
        """Has an image come here with all its ancestors, if it is there."""
        ...


@dataclass(frozen=True, slots=True)
class Parts:
    """What the handlers work with.

    Attributes:
        store: the store.
        settings: the registry's.
        receiving: how many layers are being received.
        tokens: issues tokens to clients; None where there is no access control.
        mirror: has images from the registry that is mirrored; None where none is.
    """

    store: Store
    settings: V1Settings
    receiving: BodyLimit
    tokens: V1Tokens | None = None
    mirror: BringsImages | None = None

    async def bring(self, image: ImageId, request: BaseRequest) -> None:
        """Has an image come here that a push builds on, or names, and that only the mirrored registry has.

        Docker pushes no image that it finds here, and it finds what a mirror has elsewhere.
        """
        if self.mirror is None:
            return
        try:
            await self.store.v1_view.images.get(image, self.viewer(request))
        except RegistryError as error:
            if error.code is ErrorCode.IMAGE_UNKNOWN:
                await self.mirror.bring(image, request)

    def endpoints(self, request: BaseRequest) -> Sequence[str]:
        """The addresses for everything that follows: by itself the one that the client used."""
        return self.settings.endpoints or (client_authority(request),)

    def actor(self, request: BaseRequest) -> Actor:
        """Returns who asks, with what events say of the request where they are wanted."""
        if not self.store.events.wanted:
            return actor_of(request)
        return described_actor(request, origin=self.settings.host or client_address(request))

    def viewer(self, request: BaseRequest) -> Viewer:
        """Returns who asks; where the client does not say what it runs on, that is the settings' platform."""
        runs_on = parse_user_agent(client_agent(request)).runs_on
        platform = self.store.conversion_policy.platform
        if runs_on is not None:
            platform = Platform(architecture=runs_on[1], os=runs_on[0])
        return Viewer(platform, self.settings.patience_seconds, self._sight(request))

    def told(self, request: BaseRequest, ancestry: Sequence[ImageId]) -> None:
        """Takes note that a client was told what lies below an image."""
        sight = self._sight(request)
        if sight is not None:
            sight.told(ancestry)

    def _sight(self, request: BaseRequest) -> CallerSight | IndexSight | None:
        rights = rights_of(request)
        if rights is None:
            return None
        from backends.v1.sight import sight_of  # noqa: PLC0415 - only where there is access control

        sight = sight_of(request, rights, self.store.v1_view)
        if self.settings.index is None:
            return sight
        from backends.v1.index_mode import index_sight_of  # noqa: PLC0415 - only beside an index

        return index_sight_of(request, rights, sight, self.store)

    async def body(self, request: BaseRequest) -> bytes:
        """Returns a JSON body whole, within the limit."""
        return await read_body(
            request,
            limit=MAX_JSON_BYTES,
            too_large=ErrorCode.IMAGE_INVALID,
            idle_seconds=self.settings.body_idle_seconds,
        )


def answer(
    request: BaseRequest, value: Any, *, status: int = 200, headers: Mapping[str, str] | None = None
) -> StreamResponse:
    """Answers JSON as docker-registry does."""
    return respond(request, status, {**STD, **(headers or {})}, dump_json(value))


def done(request: BaseRequest) -> StreamResponse:
    """Answers `true`: success, without a result."""
    return answer(request, True)
