"""The headers that old clients depend on (V1API section 0): STD on what may change, CACHE on what never does."""

from __future__ import annotations

import secrets
import string
from email.utils import formatdate

YEAR = 31_536_000

STD = {
    "Server": "Portside",
    "Content-Type": "application/json",
    "Cache-Control": "no-cache",
    "Pragma": "no-cache",
    "Expires": "-1",
    "X-Content-Type-Options": "nosniff",
}
_LETTERS = string.ascii_uppercase + string.digits


def cache(now: float) -> dict[str, str]:
    """Returns the headers of content that never changes under its id.

    Args:
        now: seconds since 1970.
    """
    return {
        "Server": "Portside",
        "Content-Type": "application/json",
        "Cache-Control": f"public, max-age={YEAR}",
        "Expires": formatdate(now + YEAR, usegmt=True),
        "Last-Modified": "Thu, 01 Jan 1970 00:00:00 GMT",
        "X-Content-Type-Options": "nosniff",
    }


def unbound_token(repository: str, access: str) -> str:
    """Returns a token that proves nothing, where there is nothing to prove.

    Without one clients give up. The word `Token` stands in the value too, as in docker-registry: clients send it back
    after another one.
    """
    signature = "".join(secrets.choice(_LETTERS) for _ in range(16))
    return f'Token signature={signature},repository="{repository}",access={access}'
