"""What a process checks of itself: each place for bytes that it opened, each registry that it forwards to."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from functools import partial

from backends.storage.driver import ChecksItself, StorageDriver, StorageError
from portside.observe.health import Check, Finding, Health, HealthSettings, Report
from portside.observe.voice import Voice
from proxy.forwarding import Forwarder
from proxy.routing import Backend

_log = logging.getLogger("portside.health")


def make_health(
    settings: HealthSettings,
    drivers: Mapping[str, StorageDriver],
    upstreams: Mapping[Backend, Forwarder],
    *,
    writes: bool,
    voice: Voice,
) -> Health:
    """Puts the checks of a process together.

    Args:
        settings: how storage is checked.
        drivers: each place for bytes, by what it is called.
        upstreams: registries elsewhere.
        writes: whether anything is ever to be written.
        voice: which of the workers logs what all see.
    """
    checks = [
        Check(what, partial(_check_storage, what, driver, writes=writes), threshold=settings.threshold)
        for what, driver in drivers.items()
        if settings.enabled and isinstance(driver, ChecksItself)
    ]
    for backend, upstream in upstreams.items():
        what = f"{backend.value} registry"
        checks.append(Check(what, partial(_check_upstream, what, upstream)))
    return Health(checks, interval_seconds=settings.interval_seconds, on_change=partial(_log_change, voice))


async def _check_storage(what: str, driver: ChecksItself, *, writes: bool) -> Sequence[Finding]:
    try:
        await driver.check_reading()
    except StorageError as error:
        return [Finding(what, str(error), fatal=True)]
    if writes:
        try:
            await driver.check_writing()
        except StorageError as error:
            return [Finding(what, f"{error}; pulls work, pushes do not", fatal=False)]
    return ()


async def _check_upstream(what: str, upstream: Forwarder) -> Sequence[Finding]:
    wrong = await upstream.ask_health()
    return [Finding(what, wrong, fatal=True)] if wrong else ()


def _log_change(voice: Voice, report: Report) -> None:
    if not voice.is_ours():
        return
    if not report.findings:
        _log.info("health: all is well again")
    for finding in report.findings:
        _log.log(logging.ERROR if finding.fatal else logging.WARNING, "health: %s: %s", finding.what, finding.reason)
