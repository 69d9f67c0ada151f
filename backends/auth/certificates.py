"""Client certificates as identities: what TLS has verified, read by the operator's choice of names.

Invariant: only a certificate whose chain ended at the listener's client CAs ever gets here: a listener that verifies
none shows none. Whether it still holds is asked at each request, since a connection, and a session that is resumed, may
outlive it.

It is asked last: a password or token that comes with the connection is what the caller means.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from backends.auth.credentials import MAX_USER, Credentials, Unreadable
from backends.auth.identity import Caller, Identity
from backends.auth.schemes import Failure, Wanted, WrongCredentials
from backends.model.cache import Cache

REMEMBERED = 4096
MAX_GROUPS = 1000


class CertificateUser(Enum):
    """Which of a certificate's names is the user's."""

    COMMON_NAME = "cn"
    EMAIL = "email"
    DNS = "dns"
    URI = "uri"
    SUBJECT = "subject"


class CertificateGroups(Enum):
    """Which of a certificate's names are the user's groups."""

    UNIT = "ou"
    ORGANIZATION = "o"


@dataclass(frozen=True, slots=True)
class CertificateSettings:
    """`gateway.auth.certificates`.

    Attributes:
        user: which name is the user's: the subject's common name, the alternative name of that kind, or all of the
            subject as RFC 4514 writes it.
        groups: which of the subject's names are groups; None for none.
        prefix: before the names of users and groups.
    """

    user: CertificateUser = CertificateUser.COMMON_NAME
    groups: CertificateGroups | None = None
    prefix: str = ""


_LONG = {
    CertificateUser.COMMON_NAME: "commonName",
    CertificateGroups.UNIT: "organizationalUnitName",
    CertificateGroups.ORGANIZATION: "organizationName",
}
_KINDS = {CertificateUser.EMAIL: "email", CertificateUser.DNS: "DNS", CertificateUser.URI: "URI"}
_SHORT = {
    "commonName": "CN",
    "countryName": "C",
    "domainComponent": "DC",
    "localityName": "L",
    "organizationName": "O",
    "organizationalUnitName": "OU",
    "stateOrProvinceName": "ST",
    "streetAddress": "STREET",
    "userId": "UID",
}
"""The names that RFC 4514 section 3 gives them; others keep OpenSSL's."""


class CertificateScheme:
    """The scheme.

    Args:
        settings: of it.
        clock: seconds since the epoch.
    """

    name = "certificate"

    def __init__(self, settings: CertificateSettings, *, clock: Callable[[], float] = time.time) -> None:
        self._settings = settings
        self._clock = clock
        self._known: Cache[tuple[Any, ...], tuple[Identity, float]] = Cache(self._read, bound=REMEMBERED)

    async def identify(self, credentials: Credentials | None, caller: Caller) -> Identity | None:
        """Returns whom the connection's certificate names; credentials that came with it are nobody else's.

        Raises:
            WrongCredentials: it does not name a user in the one way that was asked for, or holds no longer.
        """
        certificate = caller.certificate
        if not certificate or isinstance(credentials, Unreadable):
            return None
        said = tuple(certificate.get(key, ()) for key in ("subject", "subjectAltName", "notAfter"))
        identity, expires = self._known[said]
        if self._clock() > expires:
            raise WrongCredentials(f"the certificate of {identity.user!r} has expired", failure=Failure.CERTIFICATE)
        return identity

    def challenge(self, caller: Caller, wanted: Sequence[Wanted], error: str = "") -> str | None:  # noqa: ARG002 - a scheme
        """Returns None: TLS has asked for a certificate before HTTP was spoken."""
        return None

    def _read(self, said: tuple[Any, ...]) -> tuple[Identity, float]:
        subject, names, not_after = said
        settings = self._settings
        user = settings.prefix + _one(list(_users(subject, names, settings.user)), settings.user)
        if len(user) > MAX_USER or not user.isprintable():
            raise WrongCredentials(
                f"its certificate's {settings.user.value} is longer than {MAX_USER} characters, or some cannot be"
                " printed",
                failure=Failure.CERTIFICATE,
            )
        groups: frozenset[str] = frozenset()
        if settings.groups is not None:
            groups = frozenset(settings.prefix + each for each in _named(subject, _LONG[settings.groups]))
            if len(groups) > MAX_GROUPS or not all(each.isprintable() for each in groups):
                raise WrongCredentials(
                    f"its certificate names more than {MAX_GROUPS} groups, or some that cannot be printed",
                    failure=Failure.CERTIFICATE,
                )
        return Identity(user, self.name, groups), ssl.cert_time_to_seconds(not_after)


def write_subject(subject: Sequence[Sequence[tuple[str, str]]]) -> str:
    """Returns a certificate's subject as RFC 4514 writes it, the most specific name first: `CN=alice,OU=devs`."""
    parts = (
        "+".join(f"{_SHORT.get(name, name)}={_escape(value)}" for name, value in reversed(each))
        for each in reversed(subject)
    )
    return ",".join(parts)


def _users(subject: Any, names: Any, wanted: CertificateUser) -> Iterator[str]:
    match wanted:
        case CertificateUser.SUBJECT:
            yield write_subject(subject)
        case CertificateUser.COMMON_NAME:
            yield from _named(subject, _LONG[wanted])
        case CertificateUser.EMAIL:
            # Older CAs write it into the subject; alternative names go before (RFC 5280 section 4.1.2.6).
            found = [value for kind, value in names if kind == _KINDS[wanted]]
            yield from found or _named(subject, "emailAddress")
        case CertificateUser.DNS | CertificateUser.URI:
            yield from (value for kind, value in names if kind == _KINDS[wanted])


def _named(subject: Sequence[Sequence[tuple[str, str]]], wanted: str) -> Iterator[str]:
    yield from (value for each in subject for name, value in each if name == wanted)


def _one(found: Sequence[str], wanted: CertificateUser) -> str:
    """Returns the one name: of several it would be anybody's guess which is the user's."""
    if len(found) != 1 or not found[0]:
        count = "none" if not found or not found[0] else str(len(found))
        raise WrongCredentials(
            f"its certificate must have one {wanted.value} to name the user, and has {count}",
            failure=Failure.CERTIFICATE,
        )
    return found[0]


def _escape(value: str) -> str:
    """Returns a value with RFC 4514's escapes (section 2.4)."""
    text = "".join(f"\\{each}" if each in '",+;<>\\' else each for each in value)
    if text.startswith(("#", " ")):
        text = f"\\{text}"
    if text.endswith(" ") and len(value) > 1:
        text = f"{text[:-1]}\\ "
    return text
