"""Layers that were read to find out what they hold, and gzips that were made of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry


class LayerMetrics:
    """A `LayerObserver`; what it is told comes seldom, so it is counted at once."""

    def __init__(self, registry: CollectorRegistry) -> None:
        from prometheus_client import Counter, Gauge  # noqa: PLC0415 - see MetricsFolder

        self._read = Counter(
            "portside_layers_read_total",
            "Layers that were read to find out what they hold: while they were pushed, on demand, in the background.",
            ("reason",),
            registry=registry,
        )
        self._bytes = Counter(
            "portside_layers_read_bytes_total",
            "Bytes of these layers, as they are stored and inflated.",
            ("reason", "form"),
            registry=registry,
        )
        self._gzips = Counter(
            "portside_layers_transcoded_total",
            "Gzips that were made of layers that old clients cannot read.",
            registry=registry,
        )
        self._gzip_bytes = Counter("portside_layers_transcoded_bytes_total", "Bytes of these gzips.", registry=registry)
        self._unreadable = Counter(
            "portside_layers_unreadable_total", "Layers that were damaged, or passed a bound.", registry=registry
        )
        self._left = Gauge(
            "portside_layers_background",
            "Tags whose layers the pass over what is stored has looked at, and how many it has found.",
            ("state",),
            registry=registry,
            multiprocess_mode="mostrecent",
        )

    def measured(self, how: str, stored_bytes: int, raw_bytes: int) -> None:
        """Counts a layer that was read to its end."""
        self._read.labels(how).inc()
        self._bytes.labels(how, "stored").inc(stored_bytes)
        self._bytes.labels(how, "inflated").inc(raw_bytes)

    def transcoded(self, stored_bytes: int, gzip_bytes: int) -> None:  # noqa: ARG002 - others ask for both
        """Counts a gzip."""
        self._gzips.inc()
        self._gzip_bytes.inc(gzip_bytes)

    def failed(self) -> None:
        """Counts a layer that could not be read."""
        self._unreadable.inc()

    def passed(self, done: int, found: int) -> None:
        """Tells how far the pass over what is stored is."""
        self._left.labels("done").set(done)
        self._left.labels("found").set(found)
