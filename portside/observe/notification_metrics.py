"""What is counted about notifications, by distribution's names (`notifications/metrics.go`) and labels.

Counted by the process that sends to an endpoint, but for what all workers of a program add up to.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

    from backends.notify.posting import Outcome


class NotificationMetrics:
    """`QueueObserver` (`backends/notify/senders.py`) for the metrics page.

    Args:
        registry: of this worker's metrics.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        from prometheus_client import Counter, Gauge  # noqa: PLC0415 - see metrics.MetricsFolder

        self._events = Counter(
            "registry_notifications_events_total",
            "Events taken from the log to be sent, and attempts: accepted, refused, without an answer.",
            ("type", "endpoint"),
            registry=registry,
        )
        self._status = Counter(
            "registry_notifications_status_total", "Answers of endpoints.", ("code", "endpoint"), registry=registry
        )
        self._pending = Gauge(
            "registry_notifications_pending_total",
            "Events that wait in an endpoint's queue.",
            ("endpoint",),
            registry=registry,
            multiprocess_mode="mostrecent",
        )
        self._dropped = Counter(
            "portside_notifications_dropped_total",
            "Events that were dropped before an endpoint could take them.",
            ("endpoint", "kind"),
            registry=registry,
        )

    def count_taken(self, endpoint: str) -> None:
        """Counts an event that is going to be sent."""
        self._events.labels("Events", endpoint).inc()

    def count_outcome(self, endpoint: str, outcome: Outcome) -> None:
        """Counts an attempt."""
        if not outcome.status:
            self._events.labels("Errors", endpoint).inc()
            return
        self._status.labels(outcome.code, endpoint).inc()
        self._events.labels("Successes" if outcome.accepted else "Failures", endpoint).inc()

    def count_dropped(self, endpoint: str, *, events: int, pulls: int) -> None:
        """Counts what an endpoint will never get."""
        if events:
            self._dropped.labels(endpoint, "event").inc(events)
        if pulls:
            self._dropped.labels(endpoint, "pull").inc(pulls)

    def set_pending(self, endpoint: str, number: int) -> None:
        """Tells how many events wait."""
        self._pending.labels(endpoint).set(number)
