"""The token that an index elsewhere has given to a client of v1, and what it is limited to. PURE.

Only the index knows whether it is good (`index_scheme.py`). What it says in the clear, docker-registry 0.9.1 compares
with the request: the repository with that of the address, if that names one, and the access with the method.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol
from urllib.parse import quote, unquote, unquote_plus

from backends.auth.credentials import MAX_HEADER, MAX_TOKEN, IndexToken
from backends.model.actions import Action
from backends.model.errors import RegistryError
from backends.model.names import ImageId, canonical_name
from backends.model.v1names import V1Name, parse_v1_name

_FIELD = re.compile(r'(\w+)=(?:"([^"]*)"|([^",\s]*))', re.ASCII)
_PART = re.compile(r"[^\x00-\x20\x7f-\U0010ffff\"\\/?#]+")
"""Namespace and repository go into an address of the index, so neither may lead anywhere else in it."""

_METHODS = {"read": frozenset({"GET", "HEAD"}), "write": frozenset({"PUT", "POST"}), "delete": frozenset({"DELETE"})}
_ACTIONS = {
    "read": frozenset({Action.PULL}),
    # By which method it may be shown, is decided before: a push looks at its own images, too.
    "write": frozenset({Action.PULL, Action.PUSH}),
    "delete": frozenset({Action.DELETE}),
}
_ALL = frozenset({Action.PULL, Action.PUSH, Action.DELETE})


def parse_index_authorization(value: str | None) -> IndexToken | None:
    """Returns the token in an `Authorization` header; None without a header.

    Docker writes `Token Token signature=…,repository="ns/r",access=write`, docker-registry's own clients one `Token`.

    Raises:
        ValueError: a sentence without any part of the secret.
    """
    if value is None or not value.strip():
        return None
    value = value.strip()
    if len(value) > MAX_HEADER or len(value) > MAX_TOKEN:
        raise ValueError(f"the token is longer than {MAX_TOKEN} bytes")
    if not value.isascii() or not value.isprintable():
        raise ValueError("the token has characters that no header has")
    scheme, _, rest = value.partition(" ")
    if scheme.lower() != "token":
        raise ValueError("the Authorization header is not a Token of the index")
    head, _, further = rest.strip().partition(" ")
    found: dict[str, str] = {}
    for part in (further if head.lower() == "token" else rest).split(","):
        match = _FIELD.fullmatch(part.strip())
        if match is None:
            raise ValueError("the token is not a list of names and values")
        if match[1] in found:  # the index could read the other one
            raise ValueError(f"the token has two values of {match[1][:20]}")
        found[match[1]] = match[2] if match[2] is not None else match[3]
    return IndexToken(value, found.get("repository", ""), found.get("access", ""))


def repository_of(token: IndexToken) -> V1Name:
    """Returns the repository that a token names.

    Raises:
        ValueError: it names none.
    """
    namespace, repository = _halves(token.repository)
    try:
        return parse_v1_name(f"{namespace}/{unquote_plus(repository)}")
    except RegistryError as error:
        raise ValueError(error.detail) from None


def path_at_index(token: IndexToken) -> str:
    """Returns `/v1/repositories/<namespace>/<repository>` as docker-registry asks the index for it, percent-encoded.

    Raises:
        ValueError: the token names no repository.
    """
    return "/v1/repositories/" + "/".join(quote(half, safe="%+~!$&'()*:;=@,") for half in _halves(token.repository))


def _halves(text: str) -> tuple[str, str]:
    halves = text.split("/")
    if len(halves) != 2 or not all(_PART.fullmatch(half) and _leads_down(half) for half in halves):  # noqa: PLR2004
        raise ValueError("the token names no repository of the form namespace/repository")
    return halves[0], halves[1]


def _leads_down(half: str) -> bool:
    """Whether a part of an address leads to what is below, also for who decodes `%2E` and `%2F` before looking."""
    return all(part.strip(".") for part in unquote(half).split("/"))


def fits_method(access: str, method: str) -> bool:
    """Whether a token's access fits a request's method; one without a known access fits all, as in docker-registry.

    docker-registry takes `read` for GET alone, so that HEAD, which Docker 1.0 sends, is 401; here it is a GET.
    """
    return method in _METHODS.get(access, (method,))


class Index(Protocol):
    """The index, asked on behalf of one token's holder."""

    async def lets_have(self, image: ImageId) -> bool:
        """Whether the holder may have an image's layer, or build upon it.

        Raises:
            Busy: the index cannot say now.
        """
        ...

    async def images(self) -> Sequence[str]:
        """Returns the ids that the index lists now in the token's repository; none where it takes the token no more.

        Raises:
            Busy: the index cannot say now.
        """
        ...


@dataclass(frozen=True, slots=True)
class IndexGrants:
    """What somebody is limited to who has shown an index's token.

    Attributes:
        name: the only repository.
        access: what the token says it is good for.
        ids: of the images that the index lists in the repository.
        index: to be asked about single images; None where a signature stands for all that it could say.
        knows_others: as of other tokens of v1: nobody knows what its holder may do in other repositories.
    """

    name: V1Name
    access: str
    ids: Sequence[str] = ()
    index: Index | None = field(default=None, repr=False, compare=False)
    knows_others: bool = field(default=False, init=False)

    @property
    def repository(self) -> str:
        """The repository's canonical name."""
        return canonical_name(self.name.canonical)

    def allow(self, action: Action, name: str) -> bool:
        """Whether they reach an action on a repository."""
        if action in {Action.LOGIN, Action.SEARCH}:
            return True
        return name == self.repository and action in _ACTIONS.get(self.access, _ALL)
