"""What an `Authorization` header holds. PURE.

Invariant: no secret is ever part of a `repr`, an error's sentence, or a log line.
"""

from __future__ import annotations

import re
from base64 import b64decode
from dataclasses import dataclass, field

MAX_HEADER = 16 * 1024
MAX_TOKEN = 8 * 1024
"""Characters; counted before anything is split or decoded."""

MAX_USER = 255

_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*", re.ASCII)
"""RFC 6750 section 2.1."""
_V1_SIGNATURE = re.compile(r"signature=([A-Za-z0-9._~+/=-]+)", re.ASCII)
_V1_REPOSITORY = re.compile(r'repository="([^"\s,]+)"', re.ASCII)
_V1_ACCESS = re.compile(r"access=([a-z]+)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Basic:
    """A user and a password (RFC 7617).

    Attributes:
        user: at most 255 characters, all printable.
        password: bytes that are no UTF-8 are in it as surrogates (`password.encode("utf-8", "surrogateescape")`).
    """

    user: str
    password: str = field(repr=False)

    @property
    def is_anonymous(self) -> bool:
        """Whether both are empty: what old clients send that have never logged in (`Basic Og==`)."""
        return not self.user and not self.password


@dataclass(frozen=True, slots=True)
class Bearer:
    """A token (RFC 6750), at most 8 KiB."""

    token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class V1Token:
    """What a client of v1 sends back of the `X-Docker-Token` it got.

    Attributes:
        signature: the text that proves it.
        repository: the repository that it says it is for.
        access: what it says it is good for: `read`, `write`, `delete`.
    """

    signature: str = field(repr=False)
    repository: str
    access: str


@dataclass(frozen=True, slots=True)
class IndexToken:
    """What a client of v1 shows of the token that an index elsewhere gave it.

    Attributes:
        header: the whole header, which the index is asked about.
        repository: the repository that it says it is for, as namespace and repository; "" for none.
        access: what it says it is good for; "" for nothing.
    """

    header: str = field(repr=False)
    repository: str
    access: str


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Credentials that are none of these, or not well-formed.

    Attributes:
        reason: a sentence that says so.
    """

    reason: str


Credentials = Basic | Bearer | V1Token | IndexToken | Unreadable


def parse_authorization(value: str | None) -> Basic | Bearer | V1Token | None:
    """Returns the credentials of a header; None where there are none, and for `Basic Og==`.

    Args:
        value: the header as it was received, its bytes above 127 as surrogates or Latin-1; None without one.

    Raises:
        ValueError: a sentence without any part of the secret.
    """
    if value is None or not value.strip():
        return None
    if len(value) > MAX_HEADER:
        raise ValueError(f"the Authorization header is longer than {MAX_HEADER} bytes")
    scheme, _, rest = value.strip().partition(" ")
    rest = rest.strip()
    match scheme.lower():
        case "basic":
            basic = _parse_basic(rest)
            return None if basic.is_anonymous else basic
        case "bearer":
            if len(rest) > MAX_TOKEN:
                raise ValueError(f"the bearer token is longer than {MAX_TOKEN} bytes")
            if _TOKEN.fullmatch(rest) is None:
                raise ValueError("the bearer token has characters that none has")
            return Bearer(rest)
        case "token":
            return _parse_v1_token(rest)
        case _:
            raise ValueError("the Authorization header is neither Basic nor Bearer nor Token")


def _parse_basic(text: str) -> Basic:
    try:
        user, colon, password = b64decode(text, validate=True).partition(b":")
    except ValueError:  # binascii.Error is one
        raise ValueError("what follows Basic is not valid base64") from None
    if not colon:
        raise ValueError("what follows Basic has no colon between user and password")
    try:
        name = user.decode("utf-8")
    except UnicodeDecodeError:
        raise ValueError("the user's name is not UTF-8") from None
    if len(name) > MAX_USER or not name.isprintable():
        raise ValueError(f"the user's name is longer than {MAX_USER} characters, or some cannot be printed")
    return Basic(name, password.decode("utf-8", "surrogateescape"))


def _parse_v1_token(text: str) -> V1Token:
    # Clients put `Token` before the header's value, which begins with that word too.
    head, _, rest = text.partition(" ")
    parts = (rest.strip() if head.lower() == "token" else text).split(",")
    found = {}
    for part in parts:
        for key, pattern in (("signature", _V1_SIGNATURE), ("repository", _V1_REPOSITORY), ("access", _V1_ACCESS)):
            match = pattern.fullmatch(part.strip())
            if match is not None:
                if key in found:
                    raise ValueError(f"the token has two values of {key}")
                found[key] = match[1]
    if len(found) != 3 or len(parts) != 3:  # noqa: PLR2004 - the three of them
        raise ValueError("the token is not signature, repository and access")
    return V1Token(found["signature"], found["repository"], found["access"])
