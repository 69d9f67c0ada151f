"""What is cached where (`storage.cache`)."""

from __future__ import annotations

from dataclasses import dataclass

from backends.registry.facts import ENTRIES
from backends.registry.redis.settings import RedisSettings


@dataclass(frozen=True, slots=True)
class CacheSettings:
    """What is cached where.

    Attributes:
        entries: how many facts a process remembers.
        redis: where the processes share them; None for nowhere.
        announcement: what is said at start, in distribution's words; "" where the settings ask for no cache.
    """

    entries: int = ENTRIES
    redis: RedisSettings | None = None
    announcement: str = ""
