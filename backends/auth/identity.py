"""Who a caller is once a scheme has said so, and what a scheme is told of it. PURE."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, Protocol

from backends.model.actions import Action

NO_CLAIMS: Mapping[str, frozenset[str]] = MappingProxyType({})


class Grants(Protocol):
    """What credentials are limited to, whatever the rules allow: the access list of a token."""

    def allow(self, action: Action, name: str) -> bool:
        """Whether they reach an action.

        Args:
            action: PULL, PUSH, DELETE, or CATALOG, SEARCH, LOGIN with the name "".
            name: the repository by its canonical name.
        """
        ...


@dataclass(frozen=True, slots=True)
class Identity:
    """A caller.

    Attributes:
        user: its name; "" for one that did not say who it is.
        scheme: what vouches for it: `none`, `silly`, `htpasswd`, `token`, `certificate`, `openid`, `v1-token`,
            `portside-token`, `index`, `signature`.
        groups: those that its scheme says it is in; the rules file may name more.
        claims: what its token says of it, each claim as a set of texts.
        grants: what its credentials are limited to; None where nothing limits them but the rules.
    """

    user: str
    scheme: str
    groups: frozenset[str] = frozenset()
    claims: Mapping[str, frozenset[str]] = field(default_factory=lambda: NO_CLAIMS, hash=False)
    grants: Grants | None = None

    @property
    def is_anonymous(self) -> bool:
        """Whether nothing vouches for it."""
        return self.scheme == ANONYMOUS.scheme and not self.user


ANONYMOUS = Identity("", "none")


class Signed(NamedTuple):
    """What a request says that a signature may be over (`request_signatures.py`).

    Attributes:
        signature: the header `X-Signature`.
        path: of the request, decoded.
        headers: its `X-Docker-…` headers by their names, as `X-Docker-Token`, each with its value.
    """

    signature: str
    path: str
    headers: Mapping[str, str]


class Caller(NamedTuple):
    """What is known of a caller before anybody vouches for it; made at every request, so of the cheapest kind.

    Attributes:
        address: its IP address, or the one that a trusted proxy names; "unix" for a unix socket without either.
        agent: its User-Agent, at most 1024 characters.
        protocol: which registry it asks.
        origin: `https://host:port` as it used it, as far as trusted peers say so.
        certificate: what `ssl.SSLSocket.getpeercert` says of the client's verified certificate; None without one.
        told_scheme: the scheme that a trusted peer says it used; "" where none says it, and until it is to be
            challenged.
        method: of its request.
        signed: what is signed of its request; None where it says nothing of a signature.
    """

    address: str
    agent: str
    protocol: Literal["v1", "v2"]
    origin: str
    certificate: Mapping[str, Any] | None = None
    told_scheme: str = ""
    method: str = ""
    signed: Signed | None = None
