"""The v1 registry as one handler: routes, gates, errors around the handlers of this folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from backends.http.body_limit import BodyLimit
from backends.model.actions import Action
from backends.model.v1names import V1Name
from backends.registry.names import is_alias
from backends.registry.store import Store
from backends.v1.errors import render
from backends.v1.headers import STD
from backends.v1.parts import Parts
from backends.v1.routes import PARSERS, ROUTES, routes_beside_an_index
from backends.v1.settings import V1Settings
from backends.web.dispatch import Dispatcher, decode_all
from backends.web.errors import render_errors
from backends.web.gates import Gate
from backends.web.operations import Operation
from backends.web.waiting import asking_again

if TYPE_CHECKING:
    from backends.auth.v1_tokens import V1Tokens
    from backends.v1.mirror.mirror import Mirror
    from backends.web.access import AccessGate


class Registry:
    """A docker-registry over a store.

    Args:
        store: what it keeps.
        settings: what is v1's own.
        gates: what stands before every operation, in this order.
        access: who may; None where everybody may everything.
        nothing: a store with nothing in it, for callers who may not know what there is.
        tokens: issues tokens to clients; None where there is no access control.
        mirror: has what is not here from another registry; None where this is no mirror.

    Attributes:
        handle: the handler (aiohttp's low-level server interface).
    """

    def __init__(
        self,
        store: Store,
        settings: V1Settings,
        *,
        gates: Sequence[Gate] = (),
        access: AccessGate | None = None,
        nothing: Store | None = None,
        tokens: V1Tokens | None = None,
        mirror: Mirror | None = None,
    ) -> None:
        parts = Parts(store, settings, BodyLimit(settings.uploads_at_once), tokens, mirror)
        routes = ROUTES if settings.index is None else routes_beside_an_index()
        if mirror is not None:
            from backends.v1.mirror.handlers import mirrored  # noqa: PLC0415 - few registries are mirrors

            routes = mirrored(routes, mirror)
        dispatcher = Dispatcher(
            routes,
            PARSERS,
            parts,
            gates=gates,
            access=access,
            nothing=replace(parts, store=nothing) if nothing is not None else None,
            what="this registry",
            names=_Names(),
            decode=decode_all,
            headers={"Server": "Portside"},
        )
        handler = asking_again(
            dispatcher.handle,
            patience_seconds=settings.patience_seconds,
            location=lambda _, address: address,
            headers=STD,
        )
        self.handle = render_errors(handler, render)
        if settings.cors is not None:
            from backends.web.cross_origin import with_cors  # noqa: PLC0415 - only where pages of other origins may come

            self.handle = with_cors(self.handle, settings.cors)


class _Names:
    """What a name in a path stands for: v1 reads v2's own `library/x` where there is no `x`. Pushes go to `x`."""

    def is_alias(self, name: V1Name, operation: Operation) -> bool:
        return operation.action is not Action.PUSH and is_alias(name)

    async def resolve(self, name: V1Name, parts: Parts) -> V1Name:
        return await parts.store.names.resolve_v1(name)
