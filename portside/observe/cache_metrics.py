"""What happens at the cache of facts, by the names that distribution has for its own, of 2.8 and of 3."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

NAMES = {"Request": "requests", "Hit": "hits", "Errors": "errors"}


class CacheMetrics:
    """Counts questions to the cache; made only where the settings ask for one."""

    def __init__(self, registry: CollectorRegistry) -> None:
        from prometheus_client import Counter  # noqa: PLC0415 - see MetricsFolder

        self._by_type = Counter(
            "registry_storage_cache_total", "Questions to the cache, by type.", ("type",), registry=registry
        )
        self._alone = {
            what: Counter(
                f"registry_storage_cache_{name}_total", "The same, as distribution 3 has it.", registry=registry
            )
            for what, name in NAMES.items()
        }

    def count(self, what: str) -> None:
        """Counts a `Request`, a `Hit`, a `Miss`, or one of the `Errors`."""
        self._by_type.labels(what).inc()
        if what in self._alone:
            self._alone[what].inc()
