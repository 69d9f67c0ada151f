"""The key that signs schema 1 documents which a volume keeps without signatures (distribution 2.3 and later).

The key is made once and kept with the data, so every process and every start gives the same bytes.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from backends.registry.exclusive_lock import exclusive_lock
from backends.storage import layout
from backends.storage.completion import run_to_completion
from backends.storage.driver import PathNotFound, StorageError
from backends.storage.storage import Storage

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import ec


class Signer:
    """Signs with the registry's own key, made when first needed."""

    def __init__(self, storage: Storage) -> None:
        self._driver = storage.driver
        self._locks = storage.locks
        self._key: ec.EllipticCurvePrivateKey | None = None

    async def sign(self, payload: bytes) -> bytes:
        """Returns the signed document of a payload."""
        from backends.model import jws  # noqa: PLC0415 - cryptography is slow to import, and schema 1 is seldom

        if self._key is None:
            self._key = await self._load()
        return await asyncio.to_thread(jws.sign, payload, self._key)

    async def _load(self) -> ec.EllipticCurvePrivateKey:
        from cryptography.hazmat.primitives import serialization  # noqa: PLC0415 - as above
        from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415

        try:
            pem = await self._driver.read(layout.SCHEMA1_KEY)
        except PathNotFound:
            pem = await self._make()
        key = serialization.load_pem_private_key(pem, password=None)
        if not isinstance(key, ec.EllipticCurvePrivateKey) or key.curve.name != "secp256r1":
            raise StorageError(f"{layout.SCHEMA1_KEY} is no P-256 key; move it away and a new one is made")
        return key

    async def _make(self) -> bytes:
        """Makes the key, or reads the one that another process has made in this moment."""
        from cryptography.hazmat.primitives import serialization  # noqa: PLC0415 - as above
        from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415

        async with exclusive_lock(self._locks, layout.SCHEMA1_KEY_LOCK):
            try:
                return await self._driver.read(layout.SCHEMA1_KEY)
            except PathNotFound:
                fresh = ec.generate_private_key(ec.SECP256R1()).private_bytes(
                    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
                )
                await run_to_completion(self._driver.write(layout.SCHEMA1_KEY, fresh))
                return fresh
