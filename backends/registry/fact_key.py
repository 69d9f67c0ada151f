"""The key by which this registry knows again the facts that others keep for it (`model/facts.py`).

It is kept with the data, so all processes of one registry have the same, and another registry that uses the same
Redis has its own. It may be lost: then a new one is made, and what was sealed with the old one is as good as gone.
Where nothing can be written, a key of this process takes its place: it shares its facts with nobody.
"""

from __future__ import annotations

import logging
import secrets

from backends.model.errors import RegistryError
from backends.registry.exclusive_lock import exclusive_lock
from backends.storage import layout
from backends.storage.completion import run_to_completion
from backends.storage.driver import PathNotFound, StorageError
from backends.storage.storage import Storage

KEY_BYTES = 32
PATIENCE_SECONDS = 2.0

_log = logging.getLogger("portside.cache")


class FactKey:
    """The key, read or made when it is first needed.

    Args:
        storage: where it is kept.
        writes: whether anything may be written there.
    """

    def __init__(self, storage: Storage, *, writes: bool) -> None:
        self._storage = storage
        self._writes = writes
        self._key = b""

    async def get(self) -> bytes:
        """Returns the key."""
        if not self._key:
            try:
                self._key = await self._load()
            except (StorageError, RegistryError) as error:
                _log.warning("what is cached in Redis is not shared with other processes: %s", error)
                self._key = secrets.token_bytes(KEY_BYTES)
        return self._key

    async def _load(self) -> bytes:
        driver = self._storage.driver
        try:
            key = await driver.read(layout.FACTS_KEY)
        except PathNotFound:
            key = b""
        if len(key) == KEY_BYTES:
            return key
        if not self._writes:
            raise StorageError("the registry is read-only and has no key yet")
        async with exclusive_lock(self._storage.locks, layout.FACTS_KEY_LOCK, patience=PATIENCE_SECONDS):
            try:
                key = await driver.read(layout.FACTS_KEY)
            except PathNotFound:
                key = b""
            if len(key) != KEY_BYTES:
                key = secrets.token_bytes(KEY_BYTES)
                await run_to_completion(driver.write(layout.FACTS_KEY, key))
            return key
