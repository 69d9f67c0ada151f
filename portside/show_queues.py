"""`portside notifications`: how the queues of the configured endpoints are, read from the volume while servers run."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from backends.notify.log import QueueReport
from backends.notify.reporting import report_queues
from backends.notify.settings import EndpointSettings
from portside.problems import Problem
from portside.settings.settings import Settings


@dataclass(frozen=True, slots=True)
class ShownQueue:
    """A queue as it is shown.

    Attributes:
        endpoint: its name.
        url: without user, password and query.
        configured: whether the settings still have it.
        pending: how many events wait.
        oldest: when the first of them happened, in RFC 3339; None when none waits.
        failures: how many attempts have failed in a row.
        failing_since: when the first of them was, likewise.
        error: what the last of them met.
        dropped_events: how many it never got, since the log has a bound.
        dropped_pulls: and how many pulls.
    """

    endpoint: str
    url: str
    configured: bool
    pending: int
    oldest: str | None
    failures: int
    failing_since: str | None
    error: str
    dropped_events: int
    dropped_pulls: int


def read_queues(settings: Settings) -> Sequence[ShownQueue]:
    """Reads the queues of the process that has these settings.

    Raises:
        Problem: there is nothing to read.
    """
    endpoints = settings.notifications.endpoints if settings.notifications is not None else ()
    if not settings.roots:
        raise Problem("these settings have no registry, so nothing is told: name those of the registries")
    place = settings.roots[0]
    if place.driver != "filesystem" or settings.gates.read_only:
        raise Problem(
            "these queues are in the memory of the process that serves: its metrics and /debug/health tell of them"
        )
    try:
        root = os.open(place.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            found = {report.key: report for report in report_queues(root, oldest=True)}
        finally:
            os.close(root)
    except OSError as error:
        folder = Path(place.root).absolute()
        raise Problem(
            f"the queues in {folder} cannot be read ({error.strerror}):"
            " name the data folder with --data, or the settings file"
        ) from None
    shown = [_shown(found.pop(each.key, None), each) for each in endpoints]
    return [*shown, *(_shown(report, None) for report in found.values())]


def as_table(queues: Sequence[ShownQueue]) -> str:
    """Returns the queues as lines for people."""
    if not queues:
        return "no endpoint is configured (notifications.endpoints)"
    rows = [("endpoint", "pending", "oldest", "failures", "dropped", "url", "last error")]
    rows += [
        (
            each.endpoint + ("" if each.configured else " (not configured)"),
            str(each.pending),
            each.oldest or "-",
            str(each.failures),
            str(each.dropped_events + each.dropped_pulls),
            each.url or "-",
            each.error or "-",
        )
        for each in queues
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def as_json(queues: Sequence[ShownQueue]) -> str:
    """Returns the queues for machines."""
    return json.dumps([asdict(each) for each in queues])


def _shown(report: QueueReport | None, endpoint: EndpointSettings | None) -> ShownQueue:
    if report is None:
        assert endpoint is not None, "it is configured, or it has a queue"
        return ShownQueue(endpoint.name, endpoint.shown_url, True, 0, None, 0, None, "", 0, 0)
    return ShownQueue(
        endpoint=endpoint.name if endpoint is not None else report.state.name or report.key,
        url=endpoint.shown_url if endpoint is not None else report.state.url,
        configured=endpoint is not None,
        pending=report.pending,
        oldest=_timestamp(report.oldest),
        failures=report.state.failures,
        failing_since=_rfc3339(report.state.failing_since) if report.state.failures else None,
        error=report.state.error,
        dropped_events=report.place.dropped_events + report.losing,
        dropped_pulls=report.place.dropped_pulls,
    )


def _timestamp(event: bytes | None) -> str | None:
    if event is None:
        return None
    try:
        return str(json.loads(event)["timestamp"])
    except (ValueError, KeyError, TypeError):
        return "unknown"


def _rfc3339(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
