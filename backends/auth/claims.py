"""What the registered claims of a token must say (RFC 7519 section 4.1), as distribution reads them. PURE.

`iat` is not looked at: a clock that is ahead is no reason to refuse, and `nbf` is there for those who mean it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from backends.auth.signed_token import WrongToken

LEEWAY_SECONDS = 60
"""By which clocks may differ, at either end."""


def check_issuer(claims: Mapping[str, Any], issuer: str) -> None:
    """Requires that a token is of an issuer.

    Raises:
        WrongToken: it is not.
    """
    if claims.get("iss") != issuer:
        raise WrongToken(f"its issuer is {_shown(claims.get('iss'))}, not {issuer!r}")


def check_audience(claims: Mapping[str, Any], *audiences: str) -> None:
    """Requires that a token is for one of some audiences, alone or among others.

    Raises:
        WrongToken: it is not, or names none.
    """
    named = claims.get("aud")
    said = named if isinstance(named, list) else [named]
    if not all(isinstance(one, str) for one in said):
        raise WrongToken("its audience is neither a text nor a list of texts")
    if not set(said) & set(audiences):
        raise WrongToken(f"its audience is {_shown(named)}, not {' or '.join(map(repr, audiences))}")


def check_times(claims: Mapping[str, Any], now: float, *, leeway: float = LEEWAY_SECONDS) -> float:
    """Requires that a token holds now; without `exp` it never does.

    Args:
        claims: the token's.
        now: seconds since the epoch.
        leeway: seconds by which clocks may differ.

    Returns:
        until when, seconds since the epoch, the leeway included.

    Raises:
        WrongToken: it has expired, or does not hold yet; or a time is not a whole number.
    """
    expires, begins = _time(claims, "exp"), _time(claims, "nbf")
    if begins - leeway > now:
        raise WrongToken(f"it is not good before {begins}, {begins - now:.0f} seconds from now")
    if now > expires + leeway:
        reason = f"it has expired at {expires}, {now - expires:.0f} seconds ago" if expires else "it has no exp"
        raise WrongToken(reason, has_expired=True)
    return expires + leeway


def read_subject(claims: Mapping[str, Any]) -> str:
    """Returns who a token is of; "" where `sub` is missing, empty or null.

    Raises:
        WrongToken: it is not a text, or one that no log should have.
    """
    subject = claims.get("sub")
    if subject is None:
        return ""
    if not isinstance(subject, str) or not subject.isprintable():
        raise WrongToken("its subject is not a text that can be printed")
    return subject


def _time(claims: Mapping[str, Any], name: str) -> int:
    value = claims.get(name)
    if value is None:
        return 0
    # Whole numbers alone, as distribution has it; and no more digits than a clock will ever need.
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) >= 1 << 62:
        raise WrongToken(f"its {name} is not a whole number of seconds")
    return value


def _shown(value: Any) -> str:
    return repr(value)[:200]
