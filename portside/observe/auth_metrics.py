"""Logins, refusals and checks of passwords."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

    from backends.auth.passwords import Outcome
    from backends.auth.schemes import Failure


class AuthMetrics:
    """Counts them at once: beside what each costs, that is nothing. Made only where there is access control."""

    def __init__(self, registry: CollectorRegistry) -> None:
        from prometheus_client import Counter, Histogram  # noqa: PLC0415 - see MetricsFolder

        self._logins = Counter(
            "portside_auth_logins_total", "Logins that succeeded, by scheme.", ("scheme",), registry=registry
        )
        self._failures = Counter(
            "portside_auth_failures_total",
            "Requests that were refused for what they may not or whom they did not show, by scheme and reason.",
            ("scheme", "reason"),
            registry=registry,
        )
        self._checks = Counter(
            "portside_auth_password_checks_total",
            "Passwords that were not remembered as right, by what became of them.",
            ("outcome",),
            registry=registry,
        )
        self._seconds = Histogram(
            "portside_auth_password_seconds",
            "Time that the bcrypt of one password took.",
            buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5),
            registry=registry,
        )

    def logged_in(self, scheme: str) -> None:
        """Counts a login."""
        self._logins.labels(scheme).inc()

    def failed(self, scheme: str, failure: Failure) -> None:
        """Counts a refusal."""
        self._failures.labels(scheme or "none", failure.value).inc()

    def count(self, outcome: Outcome) -> None:
        """Counts a password."""
        self._checks.labels(outcome.value).inc()

    def time(self, seconds: float) -> None:
        """Takes note of how long a bcrypt took."""
        self._seconds.observe(seconds)
