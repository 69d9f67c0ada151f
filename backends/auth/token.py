"""distribution's `auth: token`: a token server signs what its bearer may do, and the registry reads it.

What clients are told is distribution's to the byte. What makes a token good is, too, but for a few cases in which its
two generations differ or read what nobody means; docs/differences.md lists them.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable, Sequence
from functools import partial

from backends.auth import certificate_chains
from backends.auth.access_list import AccessList
from backends.auth.challenges import bearer
from backends.auth.claims import check_audience, check_issuer, check_times, read_subject
from backends.auth.credentials import Bearer, Credentials
from backends.auth.followed_file import FollowedFile
from backends.auth.identity import Caller, Identity
from backends.auth.keys import KeySet, join, parse_bundle, parse_jwks
from backends.auth.schemes import Failure, Wanted, WrongCredentials, scopes_of
from backends.auth.signed_token import SignedToken, WrongToken, parse_token
from backends.auth.token_settings import TokenSettings
from backends.model.cache import Cache

REMEMBERED = 4096
"""Tokens that were found good, and headers with one, by hash: a request that shows one again costs a lookup."""

_log = logging.getLogger("portside.auth.token")


class TokenScheme:
    """The scheme. Its files are read when this is made, and followed from then on.

    Args:
        settings: of it.
        clock: seconds since the epoch.

    Raises:
        UnusableFile: a file has no key that could verify a token.
    """

    name = "token"

    def __init__(self, settings: TokenSettings, *, clock: Callable[[], float] = time.time) -> None:
        self._settings = settings
        self._clock = clock
        self._algorithms = frozenset(settings.algorithms)
        self._files: list[FollowedFile[KeySet]] = []
        if settings.root_cert_bundle is not None:
            what = "auth.token.rootcertbundle"
            self._files.append(FollowedFile(settings.root_cert_bundle, _warned(parse_bundle, what), what=what))
        if settings.jwks is not None:
            what = "auth.token.jwks"
            self._files.append(FollowedFile(settings.jwks, _warned(parse_jwks, what), what=what))
        self._sets: list[KeySet] = []
        self._keys = join(self._sets)
        self._known: Cache[bytes, tuple[Identity, float]] = Cache(bound=REMEMBERED)
        self._headers: Cache[bytes, tuple[Identity, float]] = Cache(bound=REMEMBERED)

    async def identify(self, credentials: Credentials | None, caller: Caller) -> Identity | None:  # noqa: ARG002 - a scheme
        """Returns whom a bearer token names, limited to its access list.

        Raises:
            WrongCredentials: the token is not good.
        """
        if not isinstance(credentials, Bearer):
            return None
        sets = [await file.get() for file in self._files]
        if any(new is not old for new, old in zip(sets, self._sets, strict=False)) or not self._sets:
            self._sets, self._keys = sets, join(sets)
            self._known = Cache(bound=REMEMBERED)
            self._headers = Cache(bound=REMEMBERED)
        now = self._clock()
        name = hashlib.sha256(credentials.token.encode()).digest()
        try:
            identity, expires = self._known[name]
        except KeyError:
            identity, expires = self._read(credentials.token, now)
            self._known.put(name, (identity, expires))
        if now > expires:
            self._known.forget(name)
            raise WrongCredentials(
                f"a token of {identity.user!r} has expired", failure=Failure.EXPIRED, error="invalid_token"
            )
        self._headers.put(_mark(f"Bearer {credentials.token}"), (identity, expires))
        return identity

    def recall(self, authorization: str) -> Identity | None:
        """Returns whom a header names that was good before, while its token and the keys still hold."""
        return self._recall(_mark(authorization))

    def recalling(self, authorization: str) -> Callable[[], Identity | None]:
        """Returns the same question without the token."""
        return partial(self._recall, _mark(authorization))

    def _recall(self, mark: bytes) -> Identity | None:
        try:
            identity, expires = self._headers[mark]
        except KeyError:
            return None
        if self._clock() > expires:
            return None
        for file, keys in zip(self._files, self._sets, strict=True):
            if not file.is_current() or file.value is not keys:
                return None
        return identity

    def challenge(self, caller: Caller, wanted: Sequence[Wanted], error: str = "") -> str:
        """Returns the challenge as distribution writes it: where to get a token, for what, and what was wrong."""
        settings = self._settings
        realm = _redirected(caller, settings.auto_redirect_path) if settings.auto_redirect else settings.realm
        return bearer(realm, settings.service, scopes_of(wanted), error)

    def _read(self, text: str, now: float) -> tuple[Identity, float]:
        """Returns whom a token names, and until when.

        Raises:
            WrongCredentials: it is not good.
        """
        try:
            token = parse_token(text)
            self._check_signature(token, now)
            check_issuer(token.claims, self._settings.issuer)
            check_audience(token.claims, self._settings.service)
            expires = check_times(token.claims, now)
            identity = Identity(read_subject(token.claims), self.name, grants=AccessList(token.claims.get("access")))
        except WrongToken as wrong:
            failure = Failure.EXPIRED if wrong.has_expired else Failure.TOKEN
            raise WrongCredentials(f"the token is not good: {wrong}", failure=failure, error="invalid_token") from None
        return identity, expires

    def _check_signature(self, token: SignedToken, now: float) -> None:
        if token.algorithm not in self._algorithms:
            raise WrongToken(f"the algorithm {token.algorithm[:20]!r} is not one of those allowed")
        if not token.signature:
            raise WrongToken("it has no signature")
        if token.chain and self._keys.roots:
            if not certificate_chains.find_key(token.chain, self._keys.roots, now).verify(token):
                raise WrongToken("its signature is not one by its certificate's key")
        else:
            self._keys.verify(token)


def _mark(authorization: str) -> bytes:
    return hashlib.sha256(authorization.encode("utf-8", "surrogateescape")).digest()


def _redirected(caller: Caller, path: str) -> str:
    """Returns the realm on the host that a client asked: by https, unless a trusted peer says otherwise.

    As in distribution, plain HTTP without such a word is not one: most often TLS has ended before it got here.
    """
    host = caller.origin.partition("://")[2]
    return f"{caller.told_scheme or 'https'}://{host}{path if path.startswith('/') else '/' + path}"


def _warned(parse: Callable[[bytes], KeySet], what: str) -> Callable[[bytes], KeySet]:
    """Returns the parser with its warnings in the log."""

    def parse_and_warn(content: bytes) -> KeySet:
        keys = parse(content)
        for warning in keys.warnings:
            _log.warning("%s: %s; it is passed over", what, warning)
        return keys

    return parse_and_warn
