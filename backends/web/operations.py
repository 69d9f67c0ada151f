"""What a route stands for: an action, what it touches, and the handler that carries it out.

Invariant: every route of both protocols names its action, so a gate can never meet a request that it cannot judge.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from aiohttp.web import BaseRequest, StreamResponse

from backends.model.actions import Action
from backends.model.errors import ErrorCode, RegistryError
from backends.model.names import ImageId, RepositoryName
from backends.model.v1names import V1Name

Values = Mapping[str, Any]
"""The parsed parameters of a path, by their names in the route's pattern."""

OperationHandler = Callable[..., Awaitable[StreamResponse]]
"""Called with the registry's parts, the request, and the values by name."""


@dataclass(frozen=True, slots=True)
class RepositoryAccess:
    """An action on one repository.

    Attributes:
        action: PULL, PUSH or DELETE.
        name: the repository by its one name, `busybox` for v1's `library/busybox` too (`backends/registry/names.py`).
        required: whether the operation is refused without it; if not, the handler does without (a mount becomes an
            upload).
    """

    action: Action
    name: str
    required: bool = True


@dataclass(frozen=True, slots=True)
class ImageAccess:
    """An action on a v1 image, whose address names no repository.

    Reading is allowed through any repository that the caller may read and that holds the image: one of its tags names
    the image or a descendant of it. What a push announced (`_index_images`) does not count, for it is the client's
    claim. Writing needs the right to push to some repository; `PUT tags` then checks the whole chain.
    """

    action: Action
    image: ImageId


@dataclass(frozen=True, slots=True)
class RegistryAccess:
    """An action on no repository in particular: CATALOG, SEARCH, LOGIN.

    Attributes:
        action: which.
        required: whether the operation is refused without it; if not, its handler decides. Wrong credentials are
            refused all the same.
    """

    action: Action
    required: bool = True


Access = RepositoryAccess | ImageAccess | RegistryAccess
Touches = Callable[[Action, Values, BaseRequest], Sequence[Access]]


def accesses_to(name: RepositoryName | V1Name, action: Action) -> Sequence[Access]:
    """Returns an action on a repository that a path names; v2's own `library/x` is judged as `x` too."""
    return (RepositoryAccess(action, name.canonical if isinstance(name, V1Name) else name),)


def touches_what_the_path_names(action: Action, values: Values, request: BaseRequest) -> Sequence[Access]:  # noqa: ARG001 - others look at the query
    """Returns the operation's own action on the repository or the image in its path; of neither, on the registry."""
    if action is Action.NONE:
        return ()
    if "name" in values:
        return accesses_to(values["name"], action)
    if "image" in values:
        return (ImageAccess(action, values["image"]),)
    return (RegistryAccess(action),)


class Again(Enum):
    """Whether an operation's answer may be given again to a like request (`backends/dependencies.py`)."""

    NEVER = "never"
    ALWAYS = "it depends on nothing that is stored"
    WHILE_STORED = "while what it was made of is stored as it was"


@dataclass(frozen=True, slots=True)
class Operation:
    """What one method of a route does.

    Attributes:
        action: its effect.
        handler: carries it out.
        touches: what it touches, where the path does not say it all.
        source: returns a second repository that a request names; the handler gets it by this name, None where there is
            none.
        misnamed: what a parser's error means here, where it is not what the error says: a tag that cannot exist is not
            there for who asks for it, and a mistake only for who pushes it.
        again: whether its answer may be given again; its handler, and what that asks, may still refuse.
    """

    action: Action
    handler: OperationHandler
    touches: Touches = touches_what_the_path_names
    source: Callable[[BaseRequest], RepositoryName | None] | None = None
    misnamed: Mapping[ErrorCode, ErrorCode] = field(default_factory=dict)
    again: Again = Again.NEVER

    def accesses(self, values: Values, request: BaseRequest) -> Sequence[Access]:
        """Returns everything that a caller must be allowed, the most specific first."""
        return self.touches(self.action, values, request)

    def meaning_of(self, error: RegistryError) -> RegistryError:
        """Returns what a parser's error is for this operation."""
        code = self.misnamed.get(error.code)
        return error if code is None else RegistryError(code, error.detail)
