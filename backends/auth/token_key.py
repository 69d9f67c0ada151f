"""The key of the tokens that Portside itself issues (`own_tokens.py`): the same in all processes of an installation.

It is derived from `http.secret` where that is set, as processes on different volumes need; else it is made once, and
kept with the data. Whoever has it can pass for anybody: a new one ends all tokens, and clients ask for others.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
import secrets

from backends.storage import layout
from backends.storage.completion import run_to_completion
from backends.storage.driver import PathNotFound, StorageError
from backends.storage.storage import Storage

KEY_BYTES = 32
PATIENCE_SECONDS = 10.0

_log = logging.getLogger("portside.auth")


class TokenKey:
    """The key, read or made when it is first needed.

    Args:
        storage: where it is kept.
        secret: `http.secret`; "" where there is none.
        writes: whether anything may be written there.
    """

    def __init__(self, storage: Storage, *, secret: str = "", writes: bool = True) -> None:
        self._storage = storage
        self._writes = writes
        self._key = hmac.digest(secret.encode(), b"portside token key", hashlib.sha256) if secret else b""
        self._loading = asyncio.Lock()

    async def get(self) -> bytes:
        """Returns the key; from the second time on without any wait.

        Raises:
            StorageError: it can be neither read nor made; the message says what to do.
        """
        if not self._key:
            async with self._loading:
                if not self._key:
                    self._key = await self._load()
        return self._key

    async def _load(self) -> bytes:
        key = await self._read()
        if key:
            return key
        if not self._writes:
            raise StorageError(
                "this registry is read-only and has no key for its tokens yet: set http.secret,"
                " to the same in all processes"
            )
        async with self._storage.locks.hold(layout.TOKEN_KEY_LOCK, patience=PATIENCE_SECONDS):
            key = await self._read()
            if not key:
                key = secrets.token_bytes(KEY_BYTES)
                await run_to_completion(self._storage.driver.write(layout.TOKEN_KEY, key))
            return key

    async def _read(self) -> bytes:
        """Returns what is kept; b"" where that is not a key, or nothing."""
        try:
            key = await self._storage.driver.read(layout.TOKEN_KEY)
        except PathNotFound:
            return b""
        if len(key) != KEY_BYTES:
            _log.warning("%s is not a key for tokens (%d bytes): a new one is made", layout.TOKEN_KEY[1:], len(key))
            return b""
        return key
