"""Tokens as a token server signs them (ES256), and the settings of a registry that takes them."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

SERVICE, ISSUER, KEY_ID = "bench", "bench-tokens", "bench-key"
VALID_SECONDS = 24 * 3600


@dataclass(frozen=True, slots=True)
class Signer:
    """Signs tokens with a key of its own."""

    key: ec.EllipticCurvePrivateKey

    def settings(self, folder: Path) -> dict[str, Any]:
        """Writes the public key to a file; returns the `auth` section of a registry that trusts it."""
        known = {**ECAlgorithm.to_jwk(self.key.public_key(), as_dict=True), "kid": KEY_ID, "use": "sig", "alg": "ES256"}
        path = folder / "jwks.json"
        path.write_text(json.dumps({"keys": [known]}))
        return {"token": {"realm": "https://localhost/", "service": SERVICE, "issuer": ISSUER, "jwks": str(path)}}

    def header(self, repository: str, actions: Sequence[str], *, number: int) -> str:
        """Returns an `Authorization` with a token for a repository, unlike any other of another number."""
        now = int(time.time())
        claims = {
            "iss": ISSUER,
            "sub": f"user-{number}",
            "aud": SERVICE,
            "jti": f"{number}",
            "exp": now + VALID_SECONDS,
            "nbf": now - 60,
            "iat": now,
            "access": [{"type": "repository", "name": repository, "actions": list(actions)}],
        }
        return f"Bearer {jwt.encode(claims, self.key, algorithm='ES256', headers={'kid': KEY_ID})}"


def new_signer() -> Signer:
    return Signer(ec.generate_private_key(ec.SECP256R1()))
