"""The key that signs schema 1 documents which a volume keeps without signatures (distribution 2.3 and later).

The key is made once and kept with the data, so every process and every start gives the same bytes. Where nothing can be
written, on a full or read-only disk, documents can still be pulled: a key of this process signs them, since
clients check a signature by the key that it carries. An operator may name a key instead (`parse_signing_key`).
"""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import TYPE_CHECKING

from backends.model.errors import ErrorCode, RegistryError
from backends.registry.exclusive_lock import exclusive_lock
from backends.storage import layout
from backends.storage.completion import run_to_completion
from backends.storage.driver import InvalidPath, PathNotFound, StorageError, StorageFull, StorageReadOnly
from backends.storage.storage import Storage

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import ec

    from backends.model.jws import PrivateKey

_log = logging.getLogger("portside.signing")


class Signer:
    """Signs with the registry's own key, made when first needed, or with the operator's.

    Args:
        storage: where its own key is kept.
        key_file: the operator's key; None for its own.
    """

    def __init__(self, storage: Storage, key_file: Path | None = None) -> None:
        self._driver = storage.driver
        self._locks = storage.locks
        self._key_file = key_file
        self._key: PrivateKey | None = None
        self._spare: ec.EllipticCurvePrivateKey | None = None

    async def sign(self, payload: bytes) -> bytes:
        """Returns the signed document of a payload.

        Raises:
            RegistryError: UNKNOWN: the key is damaged; the sentence says what its operator can do.
            StorageError: it cannot be read now.
        """
        from backends.model import jws  # noqa: PLC0415 - cryptography is slow to import, and schema 1 is seldom

        if self._key is None:
            try:
                self._key = await self._load()
            except (StorageFull, StorageReadOnly) as error:
                return await asyncio.to_thread(jws.sign, payload, self._spare_key(error))
        return await asyncio.to_thread(jws.sign, payload, self._key)

    def _spare_key(self, error: StorageError) -> ec.EllipticCurvePrivateKey:
        """Returns a key that nobody keeps, until the registry's own can be made."""
        from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415 - as above

        if self._spare is None:
            _log.warning("schema 1 documents are signed with a temporary key: %s", error)
            self._spare = ec.generate_private_key(ec.SECP256R1())
        return self._spare

    async def _load(self) -> PrivateKey:
        from backends.model.signing_keys import parse_signing_key  # noqa: PLC0415 - as above

        if self._key_file is not None:
            try:
                return await asyncio.to_thread(read_signing_key, self._key_file)
            except StorageError as error:
                _log.error("%s; no schema 1 document can be signed", error)
                raise _unusable("compatibility.schema1.signingkeyfile cannot be used; the log says why") from None
        try:
            try:
                pem = await self._driver.read(layout.SCHEMA1_KEY)
            except PathNotFound:
                pem = await self._make()
            return parse_signing_key(pem)
        except (ValueError, InvalidPath) as error:
            why = error.why if isinstance(error, InvalidPath) else error
            sentence = (
                f"{layout.SCHEMA1_KEY[1:]}, the registry's key, cannot be used ({why}): restore it from the backup, or"
                " remove it, and a new one is made; digests stay as they are"
            )
            _log.error("no schema 1 document can be signed: %s", sentence)
            raise _unusable(sentence) from None

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


def _unusable(sentence: str) -> RegistryError:
    return RegistryError(ErrorCode.UNKNOWN, f"this image's schema 1 document cannot be signed: {sentence}")


def read_signing_key(path: Path) -> PrivateKey:
    """Reads an operator's key.

    Raises:
        StorageError: it cannot be read, or is not a key that can sign.
    """
    from backends.model.signing_keys import parse_signing_key  # noqa: PLC0415 - as above

    try:
        return parse_signing_key(path.read_bytes())
    except OSError as error:
        raise StorageError(f"the signing key {path} cannot be read ({error.strerror})") from None
    except ValueError as error:
        raise StorageError(f"the signing key {path} cannot be used: {error}") from None


def require_signed(document: bytes, payload: bytes) -> None:
    """Requires that a document is this payload with signatures that fit.

    Raises:
        ValueError: it is not.
    """
    from backends.model import jws  # noqa: PLC0415 - cryptography is slow to import, and schema 1 is seldom

    try:
        if jws.verify(document) != payload:
            raise ValueError("it is another manifest's")
    except jws.Unverified as error:
        raise ValueError(str(error)) from None
