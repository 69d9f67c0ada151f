"""The cache of facts that the settings ask for: put together here, and said at start."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from backends.registry.cache_settings import CacheSettings
from backends.registry.facts import CountedFacts, Facts, FactsInMemory, TieredFacts
from backends.registry.redis.settings import RedisSettings
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
        storage: where the content is that the facts are about.
        writes: whether anything may be written there.
        count: counts questions; None where nobody counts.

    Attributes:
        facts: what is known.
        redis: those of them that are in Redis; None for nothing.

    Raises:
        Problem: Redis cannot be reached as the settings say.
    """

    def __init__(
        self, settings: CacheSettings, storage: Storage, *, writes: bool, count: Callable[[str], None] | None
    ) -> None:
        self.facts: Facts = FactsInMemory(entries=settings.entries)
        self.redis: RedisFacts | None = None
        if settings.redis is not None:
            self.redis = _open_redis(settings.redis, storage, writes=writes, count=count)
            self.facts = TieredFacts(self.facts, self.redis)
        if count is not None:
            self.facts = CountedFacts(self.facts, count)

    async def close(self) -> None:
        """Closes the connections to Redis."""
        if self.redis is not None:
            await self.redis.close()


def _open_redis(
    settings: RedisSettings, storage: Storage, *, writes: bool, count: Callable[[str], None] | None
) -> RedisFacts:
    import_redis()
    from backends.registry.fact_key import FactKey  # noqa: PLC0415 - as above
    from backends.registry.redis.access import open_redis  # noqa: PLC0415
    from backends.registry.redis.facts import RedisFacts  # noqa: PLC0415

    try:
        redis = open_redis(settings)
    except OSError as error:  # ssl's own errors are among them
        named = f"{error.filename}: " if error.filename else ""
        raise Problem(
            f"redis.tls cannot be used ({named}{error.strerror or error}): certificate, key and rootcas name PEM files"
        ) from None

    def count_error() -> None:
        if count is not None:
            count("Errors")

    return RedisFacts(redis, FactKey(storage, writes=writes), where=settings.where, on_error=count_error)
