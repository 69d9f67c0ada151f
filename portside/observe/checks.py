"""What a process checks of itself: each place for bytes that it opened, each registry that it forwards to."""

from __future__ import annotations

import logging
from collections import Counter
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
    from backends.registry.redis.facts import RedisFacts
    from proxy.forwarding import Forwarder

REDIS_INTERVAL_SECONDS = 2.0
"""How long Redis stays unasked after it has failed."""

_log = logging.getLogger("portside.health")


def make_health(
    settings: HealthSettings,
    storages: Mapping[str, Storage],
    upstreams: Mapping[Backend, Forwarder],
    *,
    writes: bool,
    voice: Voice,
    redis: RedisFacts | None = None,
    more: Sequence[Check] = (),
    mark: str = "",
) -> Health:
    """Puts the checks of a process together.

    Args:
        settings: how storage is checked.
        storages: each place for bytes, by what it is called.
        upstreams: registries elsewhere.
        writes: whether anything is ever to be written.
        voice: which of the workers logs what all see.
        redis: what is cached there, if anything is.
        more: checks of parts that this process has.
        mark: by which this program knows its own questions.
    """
    interval = settings.interval_seconds
    checks = [
        Check(
            what,
            partial(_check_storage, what, checked, writes=writes),
            threshold=settings.threshold,
            interval_seconds=interval,
        )
        for what, storage in storages.items()
        if settings.enabled and (checked := capability(storage.driver, ChecksItself)) is not None
    ]
    if writes:
        checks += [
            Check(f"{what} room", partial(_check_room, what, storage.room), interval_seconds=interval)
            for what, storage in storages.items()
        ]
    for backend, upstream in upstreams.items():
        what = f"{backend.value} registry"
        checks.append(Check(what, partial(_check_upstream, what, upstream), interval_seconds=interval))
    if redis is not None:
        checks.append(
            Check("redis", partial(_check_redis, redis), interval_seconds=REDIS_INTERVAL_SECONDS, fatal=False)
        )
    checks += [*more, *_configured(settings, mark)]
    return Health(checks, on_change=partial(_log_change, voice))


def _configured(settings: HealthSettings, mark: str) -> Sequence[Check]:
    if not settings.configured:
        return ()
    from portside.observe.configured_checks import make_check  # noqa: PLC0415 - seldom wanted

    numbers: Counter[type] = Counter()
    checks = []
    for each in settings.configured:
        checks.append(make_check(each, numbers[type(each)], mark=mark))
        numbers[type(each)] += 1
    return checks


async def _check_redis(facts: RedisFacts) -> Sequence[Finding]:
    wrong = await facts.probe()
    return [Finding("redis", f"{wrong}; what it would say is read from storage", fatal=False)] if wrong else ()


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


def _is_announced(finding: Finding) -> bool:
    return finding.announced


def _log_change(voice: Voice, before: Report, now: Report) -> None:
    if not voice.is_ours():
        return
    for finding in filter(_is_announced, now.beyond(before)):
        _log.log(logging.ERROR if finding.fatal else logging.WARNING, "health: %s: %s", finding.what, finding.reason)
    wrong = {finding.what for finding in now.findings}
    for finding in filter(_is_announced, before.findings):
        if finding.what not in wrong:
            _log.info("health: %s: healthy again", finding.what)
