"""Which issuers of tokens are believed, and where their keys are."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True)
class OpenIdSettings:
    """One issuer (`gateway.auth.openid`).

    Attributes:
        issuer: a token's `iss`, exactly.
        audiences: one of them must be in a token's `aud`.
        jwks: where its keys are: a URL, or a file; "" to ask the issuer (OpenID Connect Discovery).
        ca: a PEM file with the only CAs that are trusted for that; None for the system's.
        token: a file with the bearer token to ask with; None to ask without one.
        user: the claim that names the user, with dots into others.
        groups: the claim that names the user's groups; "" for none.
        prefix: before the names of users and groups, so that they are nobody else's.
    """

    issuer: str
    audiences: tuple[str, ...]
    jwks: str | Path = ""
    ca: Path | None = None
    token: Path | None = None
    user: str = "sub"
    groups: str = "groups"
    prefix: str = ""


def is_allowed(url: str) -> bool:
    """Whether keys may come from an address: by https, or by http from this machine."""
    try:
        parsed = urlsplit(url)
        parsed.port  # noqa: B018 - raises where it is no number
    except ValueError:
        return False
    host = parsed.hostname or ""
    if not host or parsed.username is not None or parsed.fragment or not url.isprintable():
        return False
    return parsed.scheme == "https" or (parsed.scheme == "http" and _is_loopback(host))


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
