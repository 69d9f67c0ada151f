"""Settings of `auth: token`. They are read where nothing is verified yet, so nothing large is imported here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

ALGORITHMS = (
    "EdDSA", "HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "ES256", "ES384", "ES512", "PS256", "PS384", "PS512",
)  # fmt: skip
"""All that `signingalgorithms` may name, and what holds without it, as in distribution 3; `none` is no algorithm."""


@dataclass(frozen=True, slots=True)
class TokenSettings:
    """`auth.token`, with distribution's meanings.

    Attributes:
        realm: the address of the token server, as clients reach it.
        service: what this registry is called there; a token's audience.
        issuer: what the token server calls itself.
        root_cert_bundle: a PEM file; None where `jwks` alone has the keys.
        jwks: a file with a JSON Web Key Set.
        algorithms: those that may sign a token.
        auto_redirect: the realm is on the host that the client asked.
        auto_redirect_path: where, there.
    """

    realm: str
    service: str
    issuer: str
    root_cert_bundle: Path | None = None
    jwks: Path | None = None
    algorithms: tuple[str, ...] = ALGORITHMS
    auto_redirect: bool = False
    auto_redirect_path: str = "/auth/token"
