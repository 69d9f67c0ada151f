"""What an operation of the v1 API touches, where its action does not say it."""

from __future__ import annotations

from collections.abc import Sequence

from aiohttp.web import BaseRequest

from backends.model.actions import Action
from backends.web.operations import Access, RegistryAccess, Values, accesses_to


def touches_for_deletion(action: Action, values: Values, request: BaseRequest) -> Sequence[Access]:  # noqa: ARG001 - as every `touches`
    """Returns the right to delete the repository: what `DELETE .../images` asks for, although it changes nothing."""
    return accesses_to(values["name"], Action.DELETE)


def touches_the_registry(action: Action, values: Values, request: BaseRequest) -> Sequence[Access]:  # noqa: ARG001 - as every `touches`
    """Returns the action on no repository: what `PUT .../auth` is about, whichever it names."""
    return (RegistryAccess(action),)
