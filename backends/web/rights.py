"""What a request's caller may do, for handlers whose answer depends on it: lists, mounts, v1's images and tokens.

Invariant: where access control is on, every request has its rights before its handler runs, the anonymous ones too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from aiohttp.web import BaseRequest, RequestKey

from backends.model.actions import Action
from backends.model.names import canonical_name

if TYPE_CHECKING:
    from backends.auth.access_control import AccessControl
    from backends.auth.identity import Caller, Identity


@dataclass(frozen=True, slots=True)
class Rights:
    """A caller's rights, as the rules are now.

    Attributes:
        control: schemes and rules.
        identity: who it is.
        caller: what else is known of it.
    """

    control: AccessControl
    identity: Identity
    caller: Caller

    def may(self, action: Action, name: str) -> bool:
        """Whether the caller may do something with a repository, which may be called `library/x` for `x`."""
        return self.control.may(self.identity, action, canonical_name(name))

    def may_pull(self, name: str) -> bool:
        """Whether the caller may know that a repository exists, and all that is in it."""
        return self.may(Action.PULL, name)


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
