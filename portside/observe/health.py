"""Whether this process can do its work: what its checks found lately, and the answer to a health request.

The address `/debug/health` is distribution's. It answers 200 while pulls work and 503 when they cannot; the body names
everything that is wrong, also what only keeps pushes from working. Every listener has it, so that `portside health`
and orchestrators need no further port, and asking leaves no access line.

Invariant: a question costs nothing. Each check has its own interval, for which what it found counts, however many ask;
one that hangs costs one thread, says so, and keeps no other from its turn.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

from portside.observe.bounds import BOUND_SECONDS, INTERVAL_SECONDS

if TYPE_CHECKING:
    from portside.observe.check_settings import FileCheck, HttpCheck, TcpCheck

_log = logging.getLogger("portside.health")


@dataclass(frozen=True, slots=True)
class HealthSettings:
    """What is checked (`health`).

    Attributes:
        enabled: whether storage is.
        interval_seconds: how long a finding about it counts.
        threshold: so many times in a row something must be found before it is reported; 0 counts as 1.
        configured: what the settings name beside it. While one of these fails, no request is answered.
    """

    enabled: bool = True
    interval_seconds: float = INTERVAL_SECONDS
    threshold: int = 0
    configured: tuple[FileCheck | HttpCheck | TcpCheck, ...] = ()


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is wrong.

    Attributes:
        what: where, in a word or two: `storage`, `v2 registry`.
        reason: a sentence for the operator.
        fatal: pulls do not work.
        public: what clients are told instead of `what`, where that is an address or a path.
        announced: whether its beginning and its end are lines of the log; what has lines of its own needs none.
    """

    what: str
    reason: str
    fatal: bool
    public: str = ""
    announced: bool = True


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
            each.what if whole else each.public or each.what: each.reason if whole else "failing"
            for each in self.findings
            if whole or each.fatal
        }
        return json.dumps(shown).encode() + b"\n"


Probe = Callable[[], Awaitable[Sequence[Finding]]]


class Check:
    """One check: bounded in time, counted, never twice at once.

    Args:
        what: where to look for what is wrong when it hangs.
        probe: finds.
        threshold: so many times in a row something must be found before it counts.
        interval_seconds: how long what it found counts.
        bound_seconds: how long it may take; longer is a finding.
        fatal: whether pulls do not work when it hangs.
        public: as `Finding.public`, when it hangs.
        stops_requests: whether no request is to be answered while it finds something.
    """

    def __init__(
        self,
        what: str,
        probe: Probe,
        *,
        threshold: int = 1,
        interval_seconds: float = INTERVAL_SECONDS,
        bound_seconds: float | None = None,
        fatal: bool = True,
        public: str = "",
        stops_requests: bool = False,
    ) -> None:
        self._what = what
        self._probe = probe
        self._threshold = threshold
        self._interval = interval_seconds
        self._bound = bound_seconds
        self._fatal = fatal
        self._public = public
        self._probing: asyncio.Task[Sequence[Finding]] | None = None
        self._looking: asyncio.Task[None] | None = None
        self._since = 0.0
        self._times: Counter[str] = Counter()
        self._until = 0.0
        self.findings: tuple[Finding, ...] = ()
        self.has_looked = False
        self.stops_requests = stops_requests

    @property
    def seconds_left(self) -> float:
        """How long what it found still counts."""
        return max(0.0, self._until - time.monotonic())

    async def look(self) -> None:
        """Checks again; those who ask meanwhile wait for the same, and a check that still hangs is not begun again."""
        if self._looking is None:
            self._looking = asyncio.ensure_future(self._look())
        await asyncio.shield(self._looking)

    async def _look(self) -> None:
        try:
            found = await self._find_in_time()
        finally:
            self._looking = None
        self._times = Counter({each.what: self._times[each.what] + 1 for each in found})
        self.findings = tuple(each for each in found if self._times[each.what] >= self._threshold)
        self.has_looked = True
        self._until = time.monotonic() + self._interval

    async def _find_in_time(self) -> Sequence[Finding]:
        if self._probing is None:
            self._probing = asyncio.ensure_future(self._find())
            self._since = time.monotonic()
        await asyncio.wait([self._probing], timeout=BOUND_SECONDS if self._bound is None else self._bound)
        if self._probing.done():
            found, self._probing = self._probing.result(), None
            return found
        waited = time.monotonic() - self._since
        reason = f"it has not answered for {waited:.0f} seconds"
        return (Finding(self._what, reason, fatal=self._fatal, public=self._public),)

    async def close(self) -> None:
        """Ends a check that is in progress."""
        for task in (self._looking, self._probing):
            if task is not None:
                task.cancel()
                await asyncio.wait([task])

    async def _find(self) -> Sequence[Finding]:
        try:
            return await self._probe()
        except Exception as error:  # noqa: BLE001 - the last net: it is logged, and the answer says so
            _log.exception("the check of %s failed", self._what)
            reason = f"its check failed ({type(error).__name__}); the log has the reason"
            return (Finding(self._what, reason, fatal=self._fatal, public=self._public),)


class Health:
    """All checks of this process.

    Args:
        checks: each by itself.
        on_change: called with what was found before and now, when they differ.

    Attributes:
        stops_requests: what keeps requests from being answered, if anything does.
    """

    def __init__(self, checks: Sequence[Check], *, on_change: Callable[[Report, Report], None] | None = None) -> None:
        self._checks = checks
        self._on_change = on_change
        self._last = Report(())
        self._watched = False
        self.stops_requests = False

    async def report(self) -> Report:
        """Returns what was found within each check's interval.

        While somebody watches, only a check that has never looked is waited for.
        """
        due = [check for check in self._checks if not check.has_looked or not (self._watched or check.seconds_left)]
        if due:
            # A check of the settings may have longer than a caller waits; what it finds is in a later answer.
            await asyncio.wait([asyncio.ensure_future(self._look(check)) for check in due], timeout=BOUND_SECONDS)
        return self._last

    async def _look(self, check: Check) -> None:
        await check.look()
        before, self._last = self._last, Report(tuple(each for check in self._checks for each in check.findings))
        self.stops_requests = any(each.stops_requests and each.findings for each in self._checks)
        if self._on_change is not None and (before.beyond(self._last) or self._last.beyond(before)):
            self._on_change(before, self._last)

    async def watch(self) -> None:
        """Looks at every interval, whether somebody asks or not, until it is cancelled."""
        self._watched = True
        try:
            await asyncio.gather(*map(self._watch, self._checks))
        finally:
            self._watched = False

    async def _watch(self, check: Check) -> NoReturn:
        while True:
            await self._look(check)
            await asyncio.sleep(max(0.01, check.seconds_left))

    async def close(self) -> None:
        """Ends what is in progress; called once nobody watches any more, before what is checked is closed."""
        for check in self._checks:
            await check.close()
