"""The v2 registry as one handler: routes, gates, errors around the handlers of this folder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from backends.http.body_limit import BodyLimit
from backends.model.names import RepositoryName
from backends.registry.names import is_alias
from backends.registry.store import Store
from backends.v2.errors import render
from backends.v2.headers import API_HEADERS
from backends.v2.parts import Parts
from backends.v2.readers import Readers
from backends.v2.routes import PARSERS, routes_below
from backends.v2.settings import V2Settings
from backends.web.dispatch import Dispatcher
from backends.web.errors import render_errors
from backends.web.gates import Gate
from backends.web.operations import Operation
from backends.web.waiting import asking_again

if TYPE_CHECKING:
    from backends.web.access import AccessGate


class Registry:
    """A distribution registry over a store.

    Args:
        store: what it keeps.
        settings: what is v2's own.
        gates: what stands before every operation, in this order.
        access: who may; None where everybody may everything.
        nothing: a store with nothing in it, for callers who may not know what there is.

    Attributes:
        handle: the handler (aiohttp's low-level server interface).
    """

    def __init__(
        self,
        store: Store,
        settings: V2Settings,
        *,
        gates: Sequence[Gate] = (),
        access: AccessGate | None = None,
        nothing: Store | None = None,
    ) -> None:
        readers = Readers(store.conversion_policy.platform)
        parts = Parts(store, settings, BodyLimit(settings.uploads_at_once), readers)
        dispatcher = Dispatcher(
            routes_below(settings.prefix),
            PARSERS,
            parts,
            gates=gates,
            access=access,
            nothing=Parts(nothing, settings, parts.receiving, readers) if nothing is not None else None,
            what="this registry",
            names=_Names(),
            headers=API_HEADERS,
            redirects=True,
        )
        handler = asking_again(
            dispatcher.handle,
            patience_seconds=settings.patience_seconds,
            location=parts.location_again,
            headers=API_HEADERS,
        )
        self.handle = render_errors(handler, render)


class _Names:
    """What a name in a path stands for: v2's `library/x` may be `x`."""

    def is_alias(self, name: RepositoryName, operation: Operation) -> bool:  # noqa: ARG002 - v1's differ by it
        return is_alias(name)

    async def resolve(self, name: RepositoryName, parts: Parts) -> RepositoryName:
        return await parts.store.names.resolve(name)
