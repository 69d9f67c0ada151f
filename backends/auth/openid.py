"""Tokens of OpenID Connect issuers: of Kubernetes service accounts, of CI jobs.

A token is taken as a bearer, and as the password of Basic whatever the user is called: kubelet and `docker login` can
send nothing else. What a token says of its issuer before it is verified only chooses whose keys verify it; those that
are of no issuer here are left to the other schemes.
"""

from __future__ import annotations

import hashlib
import time
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from backends.auth.challenges import quoted
from backends.auth.claim_texts import Texts, flatten, only_text
from backends.auth.claims import check_audience, check_times
from backends.auth.credentials import MAX_TOKEN, MAX_USER, Basic, Bearer, Credentials
from backends.auth.identity import Caller, Identity
from backends.auth.issuer_keys import IssuerKeys
from backends.auth.keys import KeySet
from backends.auth.openid_settings import OpenIdSettings
from backends.auth.schemes import Failure, Wanted, WrongCredentials
from backends.auth.signed_token import SignedToken, WrongToken, is_signed_token, parse_token
from backends.model.cache import Cache

ALGORITHMS = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"})
"""Public keys alone: an issuer's keys are for everybody to read."""

REMEMBERED = 4096
MAX_GROUPS = 1000


@dataclass(frozen=True, slots=True)
class Issuer:
    """An issuer and its keys."""

    settings: OpenIdSettings
    keys: IssuerKeys


@dataclass(frozen=True, slots=True)
class _Verified:
    identity: Identity
    expires: float
    keys: IssuerKeys
    by: KeySet
    """Those that verified it; once others are there, it is verified anew: its key may have been withdrawn."""


class OpenIdScheme:
    """The scheme, of all issuers.

    It has to be asked before `token` and `htpasswd`, which would take what is meant for it.

    Args:
        issuers: each has its own `issuer`.
        realm: what clients are told; None where another scheme asks for credentials. Tokens go into Basic, since a
            bearer's challenge must name a server that clients get tokens from. Two challenges would serve nobody:
            docker answers both, and fails at the one that it has nothing for.
        clock: seconds since the epoch.
    """

    name = "openid"

    def __init__(
        self, issuers: Sequence[Issuer], *, realm: str | None = None, clock: Callable[[], float] = time.time
    ) -> None:
        self._issuers: Mapping[str, Issuer] = {each.settings.issuer: each for each in issuers}
        self._realm = realm
        self._clock = clock
        self._known: Cache[bytes, _Verified] = Cache(bound=REMEMBERED)
        self._headers: Cache[bytes, _Verified] = Cache(bound=REMEMBERED)

    async def identify(self, credentials: Credentials | None, caller: Caller) -> Identity | None:  # noqa: ARG002 - a scheme
        """Returns whom a token of one of the issuers names; None where it is of another, or no token.

        Raises:
            WrongCredentials: it is of one of the issuers, and not good.
            Busy: the issuer's keys cannot be had.
        """
        match credentials:
            case Bearer(text) | Basic(password=text):
                pass
            case _:
                return None
        if not is_signed_token(text) or len(text) > MAX_TOKEN or not text.isascii():
            return None
        name = hashlib.sha256(text.encode()).digest()
        known = self._remembered(name)
        if known is None or known.by is not await known.keys.held():
            known = await self._read(text)
            if known is None:
                return None
            self._known.put(name, known)
        if self._clock() > known.expires:
            self._known.forget(name)
            raise WrongCredentials(
                f"a token of {known.identity.user!r} has expired", failure=Failure.EXPIRED, error="invalid_token"
            )
        self._headers.put(_header_of(credentials), known)
        return known.identity

    def recall(self, authorization: str) -> Identity | None:
        """Returns whom a header names that was good before, while its token and its key still hold."""
        return self._recall(_mark(authorization))

    def recalling(self, authorization: str) -> Callable[[], Identity | None]:
        """Returns the same question without the token."""
        return partial(self._recall, _mark(authorization))

    def _recall(self, mark: bytes) -> Identity | None:
        try:
            known = self._headers[mark]
        except KeyError:
            return None
        if known.by is not known.keys.current or self._clock() > known.expires:
            return None
        return known.identity

    def challenge(self, caller: Caller, wanted: Sequence[Wanted], error: str = "") -> str | None:  # noqa: ARG002 - a scheme
        """Returns a challenge for Basic, unless another scheme has one."""
        return None if self._realm is None else f"Basic realm={quoted(self._realm)}"

    def _remembered(self, name: bytes) -> _Verified | None:
        try:
            return self._known[name]
        except KeyError:
            return None

    async def _read(self, text: str) -> _Verified | None:
        """Verifies a token.

        Raises:
            WrongCredentials: it is not good.
            Busy: the issuer's keys cannot be had.
        """
        try:
            token = parse_token(text)
        except WrongToken:
            return None  # whose it would be cannot be read
        said = token.claims.get("iss")  # this one lookup is the check, to the letter
        issuer = self._issuers.get(said) if isinstance(said, str) else None
        if issuer is None:
            return None
        try:
            return await self._verify(token, issuer)
        except WrongToken as wrong:
            failure = Failure.EXPIRED if wrong.has_expired else Failure.TOKEN
            reason = f"the token of {issuer.settings.issuer} is not good: {wrong}"
            raise WrongCredentials(reason, failure=failure, error="invalid_token") from None

    async def _verify(self, token: SignedToken, issuer: Issuer) -> _Verified:
        if token.algorithm not in ALGORITHMS:
            raise WrongToken(f"the algorithm {token.algorithm[:20]!r} is not one of those allowed")
        if not token.signature or not token.key_id:
            raise WrongToken("it has no signature, or names no key (kid)")
        # What needs no key first, so that stale and foreign tokens never have anything fetched.
        settings = issuer.settings
        check_audience(token.claims, *settings.audiences)
        expires = check_times(token.claims, self._clock())
        keys = await issuer.keys.find(token.key_id)
        keys.verify(token)
        return _Verified(_identify(flatten(token.claims), settings), expires, issuer.keys, keys)


def _header_of(credentials: Bearer | Basic) -> bytes:
    """Returns the mark of a header as clients write it; one that is written otherwise is only not recalled."""
    match credentials:
        case Bearer(token):
            return _mark(f"Bearer {token}")
        case Basic(user, password):
            return _mark(f"Basic {b64encode(f'{user}:{password}'.encode()).decode()}")


def _mark(authorization: str) -> bytes:
    return hashlib.sha256(authorization.encode("utf-8", "surrogateescape")).digest()


def _identify(claims: Texts, settings: OpenIdSettings) -> Identity:
    user = only_text(claims, settings.user)
    if not user:
        raise WrongToken(f"it has no {settings.user}, which names the user")
    name = settings.prefix + user
    if len(name) > MAX_USER or not name.isprintable():
        raise WrongToken(f"its {settings.user} is longer than {MAX_USER} characters, or some cannot be printed")
    groups = claims.get(settings.groups, frozenset()) if settings.groups else frozenset()
    if len(groups) > MAX_GROUPS:
        raise WrongToken(f"it names more than {MAX_GROUPS} groups")
    return Identity(name, OpenIdScheme.name, frozenset(settings.prefix + each for each in groups), claims)
