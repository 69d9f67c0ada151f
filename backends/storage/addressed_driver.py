"""A driver whose files others serve: nginx over the same volume, a cache in front of it, CloudFront."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from backends.storage.addresses import (
    Cloudfront,
    Redirect,
    Rewrite,
    Step,
    canned_policy,
    cloudfront_address,
    redirected,
    rewritten,
    with_signature,
)
from backends.storage.capabilities import GivesUrls, capability
from backends.storage.driver import StorageDriver, StorageError
from backends.storage.forwarding_driver import ForwardingDriver

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey


class AddressedDriver(ForwardingDriver):
    """Gives each file an address (`GivesUrls`).

    Args:
        driver: keeps the files.
        steps: how an address is made, in this order.
    """

    def __init__(self, driver: StorageDriver, steps: Sequence[Step]) -> None:
        super().__init__(driver)
        self._steps = steps
        self._below = capability(driver, GivesUrls)
        self._keys: dict[Path, RSAPrivateKey] = {}

    async def url_of(self, path: str) -> str | None:
        """Returns the address of a file; None when only the registry itself can send it.

        Raises:
            StorageError: it cannot be signed.
        """
        url = await self._below.url_of(path) if self._below is not None else None
        for step in self._steps:
            match step:
                case Redirect():
                    url = redirected(step, path)
                case Cloudfront():
                    url = await asyncio.to_thread(self._signed, step, path)  # a millisecond, with a key of 2048 bits
                case Rewrite():
                    url = None if url is None else rewritten(step, url)
        return url

    def _signed(self, step: Cloudfront, path: str) -> str:
        from cryptography.hazmat.primitives import hashes  # noqa: PLC0415 - slow to import, and few sign
        from cryptography.hazmat.primitives.asymmetric import padding  # noqa: PLC0415

        key = self._keys.get(step.key)
        if key is None:
            key = self._keys[step.key] = read_cloudfront_key(step.key)
        url, expires = cloudfront_address(step, path), int(time.time() + step.seconds)
        signature = key.sign(canned_policy(url, expires), padding.PKCS1v15(), hashes.SHA1())  # noqa: S303 - CloudFront's choice
        return with_signature(url, expires, signature=signature, key_pair_id=step.key_pair_id)


def read_cloudfront_key(path: Path) -> RSAPrivateKey:
    """Reads the key that CloudFront knows.

    Raises:
        StorageError: it cannot be read, or is not an RSA key.
    """
    from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415 - as above
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey  # noqa: PLC0415
    from cryptography.hazmat.primitives.serialization import load_pem_private_key  # noqa: PLC0415

    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except OSError as error:
        raise StorageError(f"CloudFront's key {path} cannot be read ({error.strerror})") from None
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise StorageError(f"CloudFront's key {path} is not a private key in PEM, or it is encrypted") from None
    if not isinstance(key, RSAPrivateKey):
        raise StorageError(f"CloudFront's key {path} is not an RSA key")
    return key
