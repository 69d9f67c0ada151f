"""What a process checks of itself: each place for bytes that it opened, each registry that it forwards to."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from backends.storage.capabilities import ChecksItself, capability
from backends.storage.driver import StorageError
from backends.storage.room import RoomWatch
from backends.storage.storage import Storage
from portside.observe.health import Check, Finding, Health, HealthSettings, Report
from portside.observe.voice import Voice
from proxy.routing import Backend

if TYPE_CHECKING:
    from proxy.forwarding import Forwarder

_log = logging.getLogger("portside.health")


def make_health(
    settings: HealthSettings,
    storages: Mapping[str, Storage],
    upstreams: Mapping[Backend, Forwarder],
    *,
    writes: bool,
    voice: Voice,
) -> Health:
    """Puts the checks of a process together.

    Args:
        settings: how storage is checked.
        storages: each place for bytes, by what it is called.
        upstreams: registries elsewhere.
        writes: whether anything is ever to be written.
        voice: which of the workers logs what all see.
    """
    checks = [
        Check(what, partial(_check_storage, what, checked, writes=writes), threshold=settings.threshold)
        for what, storage in storages.items()
        if settings.enabled and (checked := capability(storage.driver, ChecksItself)) is not None
    ]
    if writes:
        checks += [
            Check(f"{what} room", partial(_check_room, what, storage.room)) for what, storage in storages.items()
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


async def _check_room(what: str, room: RoomWatch) -> Sequence[Finding]:
    if not room.is_low:
        return ()
    return [Finding(f"{what} room", room.shortage, fatal=False)]


async def _check_upstream(what: str, upstream: Forwarder) -> Sequence[Finding]:
    wrong = await upstream.ask_health()
    return [Finding(what, wrong, fatal=True)] if wrong else ()


def _log_change(voice: Voice, before: Report, now: Report) -> None:
    if not voice.is_ours():
        return
    for finding in now.beyond(before):
        _log.log(logging.ERROR if finding.fatal else logging.WARNING, "health: %s: %s", finding.what, finding.reason)
    wrong = {finding.what for finding in now.findings}
    for finding in before.findings:
        if finding.what not in wrong:
            _log.info("health: %s: healthy again", finding.what)
