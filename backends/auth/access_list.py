"""What a token's access list lets its bearer do: distribution's claim `access`. PURE."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from backends.auth.signed_token import WrongToken
from backends.model.actions import Action
from backends.model.names import canonical_name

_NEEDS: Mapping[Action, tuple[str, ...]] = {
    Action.PULL: ("pull",),
    Action.PUSH: ("pull", "push"),
    Action.DELETE: ("delete",),
}
"""As distribution asks for them: every client that pushes asks for both."""

_REPOSITORY = re.compile(r"repository(?:\([a-z0-9]+\))?", re.ASCII)
"""With its class, such as `repository(plugin)`, which limits nothing: it says what the repository should hold."""

_CATALOG = ("registry", "catalog")


class AccessList:
    """`Grants` of a token.

    Args:
        claim: the value of `access`; None where there is none, which lets its bearer do nothing but log in.

    Raises:
        WrongToken: it is not a list of type, name and actions.
    """

    __slots__ = ("_catalog", "_repositories")

    def __init__(self, claim: Any) -> None:
        self._repositories: dict[str, set[str]] = {}
        self._catalog: set[str] = set()
        if claim is not None and not isinstance(claim, list):
            raise WrongToken("its access is not a list")
        for entry in claim or ():
            kind, name, actions = _parse_entry(entry)
            if _REPOSITORY.fullmatch(kind):
                self._repositories.setdefault(canonical_name(name), set()).update(actions)
            elif (kind, name) == _CATALOG:
                self._catalog.update(actions)

    def allow(self, action: Action, name: str) -> bool:
        """Whether the list has an action, or `*`, for a repository; of the registry, for its catalog.

        What is found in a search is what may be pulled, so a search itself asks for nothing.
        """
        match action:
            case Action.PULL | Action.PUSH | Action.DELETE:
                has = self._repositories.get(canonical_name(name), ())
                return "*" in has or all(one in has for one in _NEEDS[action])
            case Action.CATALOG:
                return "*" in self._catalog
            case Action.SEARCH | Action.LOGIN | Action.NONE:
                return True


def _parse_entry(entry: Any) -> tuple[str, str, list[str]]:
    if not isinstance(entry, dict):
        raise WrongToken("its access is not a list of objects")
    kind, name, actions = entry.get("type", ""), entry.get("name", ""), entry.get("actions")
    actions = [] if actions is None else actions
    if not isinstance(kind, str) or not isinstance(name, str):
        raise WrongToken("its access has a type or a name that is not a text")
    if not isinstance(actions, list) or not all(isinstance(action, str) for action in actions):
        raise WrongToken("its access has actions that are not a list of texts")
    return kind, name, actions
