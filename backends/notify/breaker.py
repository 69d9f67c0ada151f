"""When the next attempt may be made: distribution's breaker. PURE.

Attempts that fail follow one another almost at once until `threshold` of them have failed in a row; from then on each
waits until `backoff` has passed since the last failure. The first that succeeds begins anew. Source: `Breaker` in
docker/go-events `retry.go`, which distribution's endpoints use; it never gives an event up.
"""

from __future__ import annotations

LEAST_SECONDS = 0.01
"""So much is between two attempts however high the threshold is: they share a process with the registries."""


class Breaker:
    """The state of one endpoint; times are seconds by any clock that only goes forward.

    Attributes:
        failures: how many attempts have failed in a row.
    """

    def __init__(self, threshold: int, backoff: float) -> None:
        self._threshold = threshold
        self._backoff = backoff
        self._failed_at = 0.0
        self.failures = 0

    def wait(self, now: float) -> float:
        """Returns how many seconds to wait before the next attempt."""
        if not self.failures:
            return 0.0
        pause = max(self._backoff, LEAST_SECONDS) if self.failures >= self._threshold else LEAST_SECONDS
        return max(0.0, self._failed_at + pause - now)

    def failed(self, now: float) -> None:
        """Takes note of an attempt that failed."""
        self.failures += 1
        self._failed_at = now

    def succeeded(self) -> None:
        """Takes note of an attempt that succeeded."""
        self.failures = 0
