"""What stands between a route and its handler, whatever the protocol: one gate for each effect."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from aiohttp.web import BaseRequest

from backends.model.actions import Action
from backends.model.errors import ErrorCode, RegistryError
from backends.web.operations import Operation, Values
from backends.web.settings import GateSettings


@dataclass(frozen=True, slots=True)
class Gate:
    """A check before every operation that has one of some actions.

    Attributes:
        actions: which; an operation of another one does not pay for the gate.
        check: raises RegistryError to refuse.
        closes: it refuses all of them, so that `Allow` does not name their methods.
    """

    actions: frozenset[Action]
    check: Callable[[Operation, Values, BaseRequest], Awaitable[None]]
    closes: bool = field(default=False, kw_only=True)


def make_gates(settings: GateSettings) -> Sequence[Gate]:
    """Returns the gates of a registry in the order in which they are met."""
    gates: list[Gate] = []
    if settings.read_only:
        gates.append(Gate(frozenset({Action.PUSH, Action.DELETE}), refuse_changes, closes=True))
    if not settings.delete_enabled:
        gates.append(Gate(frozenset({Action.DELETE}), refuse_deletion, closes=True))
    return gates


async def refuse_changes(operation: Operation, values: Values, request: BaseRequest) -> None:  # noqa: ARG001 - a gate
    """Refuses whatever would change something.

    Raises:
        RegistryError: UNSUPPORTED.
    """
    raise RegistryError(ErrorCode.UNSUPPORTED, "this registry is read-only for now (storage.maintenance.readonly)")


async def refuse_deletion(operation: Operation, values: Values, request: BaseRequest) -> None:  # noqa: ARG001 - a gate
    """Refuses to delete: it is off until it is configured, as in distribution.

    Raises:
        RegistryError: UNSUPPORTED.
    """
    raise RegistryError(
        ErrorCode.UNSUPPORTED, "deletion is off; storage.delete.enabled: true in the settings turns it on"
    )
