"""The scheme of signed requests: who has the private key of `gateway.v1.privilegedkey` needs no token of the index.

docker-registry 0.9.1's form, and its rule of what is signed, as it was mended after 0.9.1, which refused every
signature:

    X-Signature: data=<base64 of RSA with SHA-1 over METHOD,PATH[,X-Docker-Name:value…]>

with the headers in the order of their names. Nothing in it says when or for which body it was made, so whoever sees a
signed request can send it again, with any body: it is for networks on which nobody else listens.
"""

from __future__ import annotations

import base64
import logging
from collections.abc import Sequence
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from backends.auth.credentials import Credentials, IndexToken
from backends.auth.followed_file import FollowedFile
from backends.auth.identity import Caller, Grants, Identity, Signed
from backends.auth.index_tokens import IndexGrants, repository_of
from backends.auth.schemes import Wanted
from backends.model.actions import Action

USER = "v1:privileged"
"""No account is called so, as in `index_scheme.py`."""
MIN_BITS = 2048
"""Of the key; docker-registry takes no other."""
MAX_SIGNATURE = 4096
"""Characters of the header."""

_KEY = "gateway.v1.privilegedkey"
_log = logging.getLogger("portside.auth.signature")


class Unlimited:
    """The `Grants` of a signature that names no repository: the rules alone limit it."""

    def allow(self, action: Action, name: str) -> bool:  # noqa: ARG002 - as all grants
        """Whether they reach an action: any."""
        return True


class SignatureScheme:
    """The scheme. Its file is read when this is made, and followed from then on.

    Args:
        key: the file of the public key.

    Raises:
        UnusableFile: there is no such key in it.
    """

    name = "signature"

    def __init__(self, key: Path) -> None:
        self._key = FollowedFile(key, _parse_key, what=_KEY)

    async def identify(self, credentials: Credentials | None, caller: Caller) -> Identity | None:
        """Returns who has signed a request; a token beside the signature says for which repository it is."""
        if caller.signed is None or not _is_signed(await self._key.get(), caller.method, caller.signed):
            return None
        grants: Grants = Unlimited()
        if isinstance(credentials, IndexToken):
            try:
                grants = IndexGrants(repository_of(credentials), "")
            except ValueError as error:
                _log.info("a signed request from %s shows a token, and %s", caller.address, error)
                return None
        return Identity(USER, self.name, grants=grants)

    def challenge(self, caller: Caller, wanted: Sequence[Wanted], error: str = "") -> str | None:  # noqa: ARG002 - as every scheme
        """Returns nothing: nobody is asked for a signature."""
        return None


def _is_signed(key: rsa.RSAPublicKey, method: str, signed: Signed) -> bool:
    try:
        key.verify(_parse_signature(signed.signature), message(method, signed), padding.PKCS1v15(), hashes.SHA1())  # noqa: S303 - as clients of docker-registry sign
    except (InvalidSignature, ValueError):
        return False
    return True


def message(method: str, signed: Signed) -> bytes:
    """Returns what a signature is over."""
    headers = [f"{name}:{signed.headers[name]}" for name in sorted(signed.headers)]
    return ",".join([method, signed.path, *headers]).encode("utf-8", "surrogateescape")


def _parse_signature(text: str) -> bytes:
    """Returns the signature in `X-Signature`.

    Raises:
        ValueError: there is none.
    """
    if len(text) > MAX_SIGNATURE:
        raise ValueError("it is too long")
    found = [part.strip().partition("=") for part in text.split(";")]
    data = [value for name, _, value in found if name == "data"]
    if len(data) != 1:
        raise ValueError("it has not one data")
    return base64.b64decode(data[0], validate=True)


def _parse_key(content: bytes) -> rsa.RSAPublicKey:
    try:
        key = serialization.load_pem_public_key(content)
    except (ValueError, UnsupportedAlgorithm):
        raise ValueError("it is not a public key in PEM") from None
    if not isinstance(key, rsa.RSAPublicKey) or key.key_size < MIN_BITS:
        raise ValueError(f"it is not an RSA public key of {MIN_BITS} bits and more")
    return key
