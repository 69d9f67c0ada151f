"""What is cached where (`storage.cache`)."""

from __future__ import annotations

from dataclasses import dataclass

from backends.registry.facts import ENTRIES
from backends.registry.redis.settings import RedisSettings


@dataclass(frozen=True, slots=True)
class CacheSettings:
    """What is cached where.

    Attributes:
        announcement: what is said at start, in distribution's words.
        entries: how many facts a process remembers.
        redis: where the processes share them; None for nowhere.
    """

    announcement: str
    entries: int = ENTRIES
    redis: RedisSettings | None = None
