"""The cache of facts that the settings ask for: put together here, and said at start."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from backends.registry.cache_settings import CacheSettings
from backends.registry.facts import CountedFacts, Facts, FactsInMemory, TieredFacts
from backends.storage.storage import Storage
from portside.problems import Problem

if TYPE_CHECKING:
    from backends.registry.redis.facts import RedisFacts


def import_redis() -> None:
    """Imports Redis's client, so that all workers share its memory.

    Raises:
        Problem: it is not installed.
    """
    try:
        import backends.registry.redis.access  # noqa: F401, PLC0415 - an extra, which only this needs
    except ImportError as error:
        if error.name is None or error.name.partition(".")[0] != "redis":
            raise
        raise Problem(
            "storage.cache: redis needs Redis's client, which is not installed: pip install 'portside[redis]'"
        ) from None


class Caching:
    """What is cached in this process.

    Args:
        settings: what they ask for.
        writes: whether anything may be written to storage.
        count: counts questions; None where nobody counts.

    Attributes:
        redis: what is in Redis, once it is open; None for nothing.
    """

    def __init__(self, settings: CacheSettings, *, writes: bool, count: Callable[[str], None] | None) -> None:
        self._settings = settings
        self._writes = writes
        self._count = count
        self.redis: RedisFacts | None = None

    def open(self, storage: Storage) -> Facts:
        """Returns the facts about what is in a storage.

        Raises:
            Problem: Redis cannot be reached as the settings say.
        """
        facts: Facts = FactsInMemory(entries=self._settings.entries)
        if self._settings.redis is not None:
            self.redis = self._open_redis(storage)
            facts = TieredFacts(facts, self.redis)
        return facts if self._count is None else CountedFacts(facts, self._count)

    def _open_redis(self, storage: Storage) -> RedisFacts:
        settings = self._settings.redis
        if settings is None:
            raise AssertionError("nobody asks for Redis")
        import_redis()
        from backends.registry.fact_key import FactKey  # noqa: PLC0415 - as above
        from backends.registry.redis.access import open_redis  # noqa: PLC0415
        from backends.registry.redis.facts import RedisFacts  # noqa: PLC0415

        try:
            redis = open_redis(settings)
        except OSError as error:  # ssl's own errors are among them
            named = f"{error.filename}: " if error.filename else ""
            raise Problem(
                f"redis.tls cannot be used ({named}{error.strerror or error}):"
                " certificate, key and rootcas name PEM files"
            ) from None
        key = FactKey(storage, writes=self._writes)
        count = self._count
        on_error = (lambda: count("Errors")) if count is not None else (lambda: None)
        return RedisFacts(redis, key, where=settings.where, on_error=on_error)

    async def close(self) -> None:
        """Closes the connections to Redis."""
        if self.redis is not None:
            await self.redis.close()
