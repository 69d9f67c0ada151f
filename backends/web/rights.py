"""What a request's caller may do, for handlers whose answer depends on it: lists, mounts, v1's images and tokens.

Invariant: where access control is on, every request has its rights before its handler runs, the anonymous ones too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from aiohttp.web import BaseRequest, RequestKey

from backends.model.actions import Action
from backends.model.names import canonical_name

if TYPE_CHECKING:
    from backends.auth.access_control import AccessControl
    from backends.auth.identity import Grants, Identity
    from backends.auth.rules import Scope
    from backends.registry.visible import Visible


class Rights(NamedTuple):
    """A caller's rights, as the rules are now; made at every request, so of the cheapest kind.

    It must not lead back to its request, which carries it: only a garbage collection would free either.

    Attributes:
        control: schemes and rules.
        identity: who it is.
    """

    control: AccessControl
    identity: Identity

    def may(self, action: Action, name: str) -> bool:
        """Whether the caller may do something with a repository, which may be called `library/x` for `x`."""
        return self.control.may(self.identity, action, canonical_name(name))

    def may_see(self, *, by: Action) -> Visible | None:
        """Returns which repositories a list shows to the caller: those that it may pull; None for all.

        Args:
            by: CATALOG or SEARCH. A token with a right to the catalog as such names no repository, as of
                distribution, and reaches all that the rules allow; one without finds what it reaches itself.
        """
        scope, grants = self.control.rules.scope(self.identity, Action.PULL), self.identity.grants
        if by is Action.SEARCH and grants is not None:
            return _Reached(scope, grants)
        return None if scope.is_everything else scope

    def may_pull(self, name: str) -> bool:
        """Whether the caller may know that a repository exists, and all that is in it."""
        return self.may(Action.PULL, name)


@dataclass(frozen=True, slots=True)
class _Reached:
    """What the rules allow, as far as a token reaches."""

    scope: Scope
    grants: Grants

    def allows(self, name: str) -> bool:
        return self.scope.allows(name) and self.grants.allow(Action.PULL, canonical_name(name))

    def below(self, above: Sequence[str]) -> frozenset[str] | None:
        return self.scope.below(above)


def visible_to(request: BaseRequest, *, by: Action) -> Visible | None:
    """Returns which repositories a list shows to a request's caller; None for all."""
    rights = request.get(_RIGHTS)
    return None if rights is None else rights.may_see(by=by)


_RIGHTS = RequestKey("portside.rights", Rights)


def set_rights(request: BaseRequest, rights: Rights) -> None:
    """Has a request carry its caller's rights."""
    request[_RIGHTS] = rights


def user_of(request: BaseRequest) -> str | None:
    """Returns the name of a request's caller: "" without one, None where there is no access control."""
    rights = request.get(_RIGHTS)
    return None if rights is None else rights.identity.user


def rights_of(request: BaseRequest) -> Rights | None:
    """Returns the rights of a request's caller; None where there is no access control, and everybody may do all."""
    return request.get(_RIGHTS)
