"""How callers are refused: the answers, and what the log calls them."""

from __future__ import annotations

from collections.abc import Sequence
from shlex import quote
from typing import NamedTuple

from aiohttp.web import BaseRequest

from backends.auth.identity import Caller, Identity
from backends.auth.schemes import Busy, Failure, Wanted
from backends.model.actions import Action
from backends.model.errors import ErrorCode, RegistryError
from backends.model.names import canonical_name
from backends.web.operations import Access, ImageAccess, Operation, RegistryAccess, RepositoryAccess, Values

MAX_SAID = 1000
NOBODY = "-"
"""What the command `explain` calls somebody without a name."""


class Asked(NamedTuple):
    """A request, for what is said of it; made at every request, so of the cheapest kind."""

    caller: Caller
    operation: Operation
    named: Values
    request: BaseRequest

    def wanted(self) -> Sequence[Wanted]:
        """Returns what credentials must reach, by the names that the client used."""
        return wanted_of(self.operation.accesses(self.named, self.request))

    def needed(self) -> Sequence[Wanted]:
        """Returns the same by canonical names: by these it is decided."""
        return tuple(
            dict.fromkeys(Wanted(each.kind, canonical_name(each.name), each.actions) for each in self.wanted())
        )

    def what(self, access: Access | None = None) -> str:
        """Returns what is asked for, for a line of the log."""
        if access is None:
            access = self.operation.accesses(self.named, self.request)[0]
        match access:
            case RepositoryAccess():
                return f"{access.action.value} {access.name}"
            case ImageAccess():
                return f"{access.action.value} image {access.image[:12]}"
            case RegistryAccess(action=Action.LOGIN):
                return "log in"
            case RegistryAccess():
                return "list repositories"


def wanted_of(accesses: Sequence[Access]) -> Sequence[Wanted]:
    """Returns what credentials must reach for all of this; distribution's own lists."""
    wanted: dict[Wanted, None] = {}
    for access in accesses:
        match access:
            case RepositoryAccess(action=Action.PUSH):
                wanted[Wanted("repository", access.name, ("pull", "push"))] = None
            case RepositoryAccess():
                wanted[Wanted("repository", access.name, (access.action.value,))] = None
            case RegistryAccess(action=Action.CATALOG | Action.SEARCH):
                wanted[Wanted("registry", "catalog", ("*",))] = None
            case RegistryAccess() | ImageAccess():
                pass  # to log in takes no right; of an image of v1 nobody knows the repository
    return tuple(wanted)


def unauthorized(asked: Asked, challenges: Sequence[str]) -> RegistryError:
    """Returns the answer that asks for credentials; where none could be shown, one that does not."""
    if not challenges:
        return RegistryError(
            ErrorCode.DENIED,
            "this registry does not allow this to everybody, and it takes no names and passwords here",
        )
    facts = [
        {"Type": each.kind, "Class": "", "Name": each.name, "Action": action}
        for each in asked.wanted()
        for action in each.actions
    ]
    return RegistryError(ErrorCode.UNAUTHORIZED, "Requires authorization", challenges=challenges, facts=facts)


def described(scheme: str, agent: str) -> str:
    """Returns scheme and client for the end of a line of the log."""
    return f"{scheme}, {agent[:100] or 'no User-Agent'}"


def come_again(busy: Busy) -> RegistryError:
    """Returns the answer while nobody can tell whether credentials are good."""
    code = ErrorCode.TOOMANYREQUESTS if busy.failure is Failure.BUSY else ErrorCode.UNAVAILABLE
    return RegistryError(code, busy.reason, headers={"Retry-After": str(busy.retry_after)})


def _said(identity: Identity) -> str:
    """Returns what the command is told of groups and claims that came with somebody's credentials, if that is short."""
    groups = [f" --group {quote(each)}" for each in sorted(identity.groups)]
    claims = [
        f" --claim {quote(f'{name}={value}')}"
        for name, values in sorted(identity.claims.items())
        for value in sorted(values)
    ]
    said = "".join([*groups, *claims])
    return said if len(said) <= MAX_SAID else " and the groups and claims of its token (--group, --claim)"


def denied(identity: Identity, access: RepositoryAccess | ImageAccess) -> RegistryError:
    """Returns the answer to somebody whom the rules forbid to change something; docker shows its message."""
    user, action = identity.user or "a caller without a name", access.action.value
    if isinstance(access, ImageAccess):
        sentence = f"{user} may not {action} this image: this registry's rules allow it in no repository"
        facts = {"user": identity.user, "action": action, "image": access.image}
    else:
        name = canonical_name(access.name)
        command = f"portside access explain {quote(identity.user or NOBODY)} {action} {quote(name)}{_said(identity)}"
        sentence = (
            f"{user} may not {action} {name}: this registry's rules do not allow it;"
            f" its operator sees why with {command}"
        )
        facts = {"user": identity.user, "action": action, "name": name}
    return RegistryError(ErrorCode.DENIED, sentence, message=sentence, facts=facts)
