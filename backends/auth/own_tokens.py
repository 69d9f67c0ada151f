"""Short-lived tokens that Portside itself gives to clients, and only Portside reads. PURE.

A token says who somebody is; what they may do is decided at each request, by the rules of that moment. There are two
kinds, of which neither passes for the other: `bearer`, from Portside's token endpoint, and `v1`, which clients of v1
are given as `X-Docker-Token`, and which is good for one repository.

    <payload>.<MAC>     both base64url without padding; the payload is JSON, the MAC HMAC-SHA256 of its text

Every process of an installation has the same key (`token_key.py`), so any of them reads what another has issued.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from backends.auth.credentials import MAX_TOKEN
from backends.auth.signed_token import WrongToken
from backends.model.base64url import decode, encode
from backends.model.strict_json import parse_json

Kind = Literal["bearer", "v1"]

_VERSION = 1
_MAC_CHARACTERS = 43
"""32 bytes in base64url."""
_FIELDS = frozenset({"v", "k", "u", "s", "g", "c", "r", "a", "aud", "exp"})


@dataclass(frozen=True, slots=True)
class OwnToken:
    """What a token says.

    Attributes:
        kind: what it was issued for.
        user: who has it; "" is anonymous.
        scheme: by which they have shown it: `htpasswd`, `openid` …
        groups: of which the scheme says they are a member.
        claims: what the scheme says of them beyond (OpenID), as sets of texts.
        repository: the canonical name of the only one it is good for; "" for all.
        access: the only thing it is good for there, in v1's words (`read`, `write`, `delete`); "" for all.
        audience: where it is good: the host, and the port if any, that the client used to ask for it.
        expires: until when, in seconds since the epoch.
    """

    kind: Kind
    user: str
    scheme: str
    groups: frozenset[str] = frozenset()
    claims: Mapping[str, frozenset[str]] = field(default_factory=dict)
    repository: str = ""
    access: str = ""
    audience: str = ""
    expires: int = 0


def issue(key: bytes, token: OwnToken) -> str:
    """Returns a token's text: letters, digits, `-`, `_` and one `.`.

    Raises:
        ValueError: it says more than a token has room for.
    """
    says: dict[str, Any] = {"v": _VERSION, "k": token.kind, "u": token.user, "s": token.scheme, "exp": token.expires}
    optional = {
        "g": sorted(token.groups),
        "c": {name: sorted(values) for name, values in sorted(token.claims.items())},
        "r": token.repository,
        "a": token.access,
        "aud": token.audience,
    }
    says |= {name: value for name, value in optional.items() if value}
    payload = encode(json.dumps(says, separators=(",", ":"), ensure_ascii=False).encode())
    text = f"{payload}.{encode(_mac(key, payload))}"
    if len(text) > MAX_TOKEN:
        raise ValueError(f"a token of {len(text)} characters would be needed; {MAX_TOKEN} are allowed")
    return text


def verify(key: bytes, text: str, *, kind: Kind, audience: str, now: float) -> OwnToken:
    """Returns what a token says.

    Args:
        key: the installation's.
        text: as the client sent it.
        kind: the only one that is good here.
        audience: where it was sent to; only a token that was issued for the same is good.
        now: seconds since the epoch.

    Raises:
        WrongToken: it is not one of ours, was changed, is of another kind, for another place, or has expired.
    """
    if len(text) > MAX_TOKEN:
        raise WrongToken("it is too long")
    payload, dot, mac = text.rpartition(".")
    if not dot or len(mac) != _MAC_CHARACTERS or not text.isascii():
        raise WrongToken("it is not a token of this registry")
    # Compared as text, of which there is only one for these bytes.
    if not hmac.compare_digest(encode(_mac(key, payload)), mac):
        raise WrongToken("it was not issued by this registry, or was changed")
    try:
        token = _read(payload)
    except (ValueError, TypeError, LookupError) as error:
        raise WrongToken(f"another version of Portside has issued it ({error})") from None
    if token.kind != kind:
        raise WrongToken(f"it is of the kind {token.kind!r}, which is not good here")
    if token.audience != audience:
        raise WrongToken(f"it was issued for {token.audience[:200]!r}")
    if not now < token.expires:
        raise WrongToken(f"it has expired {math.ceil(now - token.expires)} seconds ago", has_expired=True)
    return token


def is_own(text: str) -> bool:
    """Whether this has the form of a token of ours: then no other scheme need be asked.

    A JWT has two dots.
    """
    payload, dot, mac = text.rpartition(".")
    return bool(dot) and len(mac) == _MAC_CHARACTERS and "." not in payload


def _mac(key: bytes, payload: str) -> bytes:
    if not key:
        raise ValueError("tokens need a key")
    return hmac.digest(key, b"portside token\n" + payload.encode(), hashlib.sha256)


def _read(payload: str) -> OwnToken:
    """Returns what a payload says; its MAC has been found right, so only another version's can differ in form."""
    says = parse_json(decode(payload))
    if not isinstance(says, dict) or not says.keys() <= _FIELDS or says["v"] != _VERSION:
        raise ValueError("it says what this version does not know")
    return OwnToken(
        kind=says["k"],
        user=says["u"],
        scheme=says["s"],
        groups=frozenset(says.get("g", ())),
        claims={name: frozenset(values) for name, values in says.get("c", {}).items()},
        repository=says.get("r", ""),
        access=says.get("a", ""),
        audience=says.get("aud", ""),
        expires=says["exp"],
    )
