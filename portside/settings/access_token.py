"""`token:` of `auth` and `gateway.auth`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from backends.auth.token_settings import ALGORITHMS, TokenSettings
from portside.settings.remarks import Remark, refused
from portside.settings.schema.auth import Token

_REQUIRED = {
    "realm": "the token server's address",
    "service": "what this registry is called there",
    "issuer": "what the token server calls itself",
}


def token_mistakes(path: str, section: Token) -> Iterator[Remark]:
    """Yields a remark for each key that is missing or not valid."""
    for key, what in _REQUIRED.items():
        if getattr(section, key) is None:
            yield refused(f"{path}.{key}", f"it must be set, as in distribution: {what}")
    if section.realm and "@" in _authority(section.realm):
        why = "it has a user or a password in it, and every client is told this address; leave them out"
        yield refused(f"{path}.realm", why)
    if not section.rootcertbundle and not section.jwks:
        why = "it or jwks must be set, as in distribution: nothing else says whose signature is good"
        yield refused(f"{path}.rootcertbundle", why)
    unknown = [each for each in section.signingalgorithms if each not in ALGORITHMS]
    if unknown:
        why = f"no token is signed with {', '.join(unknown)[:80]!r}; use some of {', '.join(ALGORITHMS)}"
        yield refused(f"{path}.signingalgorithms", why)


def _authority(address: str) -> str:
    return re.split("[/?#]", address.partition("://")[2], maxsplit=1)[0]


def make_token(section: Token) -> TokenSettings:
    """Returns the scheme's settings."""
    return TokenSettings(
        realm=section.realm or "",
        service=section.service or "",
        issuer=section.issuer or "",
        root_cert_bundle=Path(section.rootcertbundle) if section.rootcertbundle else None,
        jwks=Path(section.jwks) if section.jwks else None,
        algorithms=section.signingalgorithms or ALGORITHMS,
        auto_redirect=section.autoredirect,
        auto_redirect_path=section.autoredirectpath,
    )
