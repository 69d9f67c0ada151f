"""Whether this process can do its work: what its checks found lately, and the answer to a health request.

The address `/debug/health` is distribution's. It answers 200 while pulls work and 503 when they cannot; the body names
everything that is wrong, also what only keeps pushes from working. Every listener has it, so that `portside health`
and orchestrators need no further port, and asking leaves no access line.

Invariant: a question costs nothing. What was found counts for the configured interval (`health.storagedriver`), however
many ask, and a check that hangs costs one thread and says so.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NoReturn

BOUND_SECONDS = 3.0
"""How long a check may take: less than callers usually wait."""

_log = logging.getLogger("portside.health")


@dataclass(frozen=True, slots=True)
class HealthSettings:
    """How storage is checked (`health.storagedriver`).

    Attributes:
        enabled: whether it is at all.
        interval_seconds: how long a finding counts.
        threshold: so many times in a row something must be found before it is reported; 0 counts as 1.
    """

    enabled: bool = True
    interval_seconds: float = 10.0
    threshold: int = 0


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is wrong.

    Attributes:
        what: where, in a word or two: `storage`, `v2 registry`.
        reason: a sentence for the operator.
        fatal: pulls do not work.
    """

    what: str
    reason: str
    fatal: bool


@dataclass(frozen=True, slots=True)
class Report:
    """What was found."""

    findings: tuple[Finding, ...]

    @property
    def status(self) -> int:
        """The HTTP status: 503 when pulls do not work."""
        return 503 if any(finding.fatal for finding in self.findings) else 200

    def beyond(self, other: Report) -> tuple[Finding, ...]:
        """Returns what is wrong here and not there, whatever the reasons say: they may have times and sizes in them."""
        there = {(each.what, each.fatal) for each in other.findings}
        return tuple(each for each in self.findings if (each.what, each.fatal) not in there)

    def body(self, *, whole: bool) -> bytes:
        """Returns the body.

        Args:
            whole: with the reasons, which name folders and addresses; else only what does not work.
        """
        shown: Mapping[str, str] = {
            each.what: each.reason if whole else "failing" for each in self.findings if whole or each.fatal
        }
        return json.dumps(shown).encode() + b"\n"


Probe = Callable[[], Awaitable[Sequence[Finding]]]


class Check:
    """One check: bounded in time, counted, never twice at once.

    Args:
        what: where to look for what is wrong when it hangs.
        probe: finds.
        threshold: so many times in a row something must be found before it counts.
    """

    def __init__(self, what: str, probe: Probe, *, threshold: int = 1) -> None:
        self._what = what
        self._probe = probe
        self._threshold = threshold
        self._running: asyncio.Task[Sequence[Finding]] | None = None
        self._since = 0.0
        self._times: Counter[str] = Counter()
        self.findings: tuple[Finding, ...] = ()

    async def look(self) -> None:
        """Checks again; a check that still hangs is not begun again."""
        if self._running is None:
            self._running = asyncio.ensure_future(self._find())
            self._since = time.monotonic()
        await asyncio.wait([self._running], timeout=BOUND_SECONDS)
        if self._running.done():
            found, self._running = self._running.result(), None
        else:
            waited = time.monotonic() - self._since
            found = (Finding(self._what, f"it has not answered for {waited:.0f} seconds", fatal=True),)
        self._times = Counter({each.what: self._times[each.what] + 1 for each in found})
        self.findings = tuple(each for each in found if self._times[each.what] >= self._threshold)

    async def close(self) -> None:
        """Ends a check that is in progress."""
        if self._running is not None:
            self._running.cancel()
            await asyncio.wait([self._running])

    async def _find(self) -> Sequence[Finding]:
        try:
            return await self._probe()
        except Exception as error:  # noqa: BLE001 - the last net: it is logged, and the answer says so
            _log.exception("the check of %s failed", self._what)
            return (
                Finding(self._what, f"its check failed ({type(error).__name__}); the log has the reason", fatal=True),
            )


class Health:
    """All checks of this process.

    Args:
        checks: made together.
        interval_seconds: how long what they found counts.
        on_change: called with what was found before and now, when they differ.
    """

    def __init__(
        self,
        checks: Sequence[Check],
        *,
        interval_seconds: float = 10.0,
        on_change: Callable[[Report, Report], None] | None = None,
    ) -> None:
        self._checks = checks
        self._interval = interval_seconds
        self._on_change = on_change
        self._last = Report(())
        self._until = 0.0
        self._looking: asyncio.Task[None] | None = None

    async def report(self) -> Report:
        """Returns what was found within the interval; looks when that is longer ago."""
        if self._checks and time.monotonic() >= self._until:
            if self._looking is None:
                self._looking = asyncio.ensure_future(self._look())
            await asyncio.shield(self._looking)
        return self._last

    async def _look(self) -> None:
        try:
            await asyncio.gather(*(check.look() for check in self._checks))
        finally:
            self._looking = None
        before, self._last = self._last, Report(tuple(each for check in self._checks for each in check.findings))
        self._until = time.monotonic() + self._interval
        if self._on_change is not None and (before.beyond(self._last) or self._last.beyond(before)):
            self._on_change(before, self._last)

    async def watch(self) -> NoReturn:
        """Looks at every interval, whether somebody asks or not, until it is cancelled."""
        while True:
            await self.report()
            await asyncio.sleep(max(0.01, self._until - time.monotonic()))

    async def close(self) -> None:
        """Ends what is in progress; called once nobody watches any more, before what is checked is closed."""
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.wait([self._looking])
        for check in self._checks:
            await check.close()
