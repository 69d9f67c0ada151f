"""What a worker does about notifications: the log of events on its root, and the senders of its endpoints.

Imported only where an endpoint is configured.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from backends.model.events import Event, Form, Source
from backends.notify.file_log import FileLog
from backends.notify.log import EventLog
from backends.notify.memory_log import MemoryLog
from backends.notify.senders import QueueObserver, Senders
from backends.notify.settings import EndpointSettings, MediaType, NotifySettings
from backends.storage.driver import StorageError
from backends.storage.settings import StorageSettings
from portside.observe.health import Check, Finding

if TYPE_CHECKING:
    from backends.notify.posting import Outcome

CHECK_SECONDS = 5.0
"""How long it counts what was found about the endpoints."""

_FORMS = {MediaType.V1: Form.V1, MediaType.V2: Form.V2}

_log = logging.getLogger("portside.notifications")


class LoggedEvents:
    """`Events` (`backends/registry/events.py`) that a log keeps.

    Args:
        log: where they go.
        settings: their letter.
        instance: the id of this start.
    """

    wanted = True

    def __init__(self, log: EventLog, settings: NotifySettings, *, instance: str) -> None:
        self._log = log
        self._form = _FORMS[settings.media_type]
        self.source = Source(settings.source, instance)
        self.includes_references = settings.references
        self._noting: set[asyncio.Task[None]] = set()

    async def record(self, events: Sequence[Event], /) -> None:
        large = any(event.is_large for event in events)
        await self._log.append(await asyncio.to_thread(self._encode, events) if large else self._encode(events))

    def note(self, event: Event, /) -> None:
        if not event.is_large:
            self._log.note(event.to_json(self._form))
            return
        task = asyncio.create_task(self._note_large(event))
        self._noting.add(task)
        task.add_done_callback(self._noting.discard)

    async def close(self) -> None:
        """Waits until what was noted is in the log."""
        await asyncio.gather(*self._noting)

    async def _note_large(self, event: Event) -> None:
        for content in await asyncio.to_thread(self._encode, [event]):
            self._log.note(content)

    def _encode(self, events: Sequence[Event]) -> Sequence[bytes]:
        return [event.to_json(self._form) for event in events]


class Notifications:
    """The log, and who sends from it.

    Args:
        settings: which endpoints.
        place: the root of the log; what is told of two roots is on the first.
        writes: whether anything may be written there. If not, events are kept in memory, by each worker for itself.
        instance: the id of this start.
        observer: counts.

    Attributes:
        events: for the store.

    Raises:
        StorageError: the root cannot be opened.
    """

    def __init__(
        self, settings: NotifySettings, place: StorageSettings, *, writes: bool, instance: str, observer: QueueObserver
    ) -> None:
        self._settings = settings
        on_disk = place.driver == "filesystem" and writes
        self._event_log: EventLog = FileLog(Path(place.root), settings) if on_disk else MemoryLog(settings)
        self._senders = Senders(self._event_log, settings, observer)
        self.events = LoggedEvents(self._event_log, settings, instance=instance)

    async def prepare(self) -> None:
        """Gives new endpoints their place, before anything is served."""
        try:
            await self._event_log.prepare()
        except StorageError as error:
            _log.warning("the log of events cannot be opened yet, and what changes cannot be told: %s", error)

    async def watch(self) -> None:
        """Sends until it is cancelled."""
        await self._senders.watch()

    def check(self) -> Check:
        """Returns the check of the endpoints; it never keeps a registry from being used."""
        return Check(
            "notifications",
            partial(find_failing, self._settings.endpoints, self._event_log),
            interval_seconds=CHECK_SECONDS,
            fatal=False,
        )

    async def close(self) -> None:
        """Writes what was noted; called after the last request."""
        await self.events.close()
        await self._event_log.close()


async def find_failing(endpoints: Sequence[EndpointSettings], event_log: EventLog) -> Sequence[Finding]:
    """Finds endpoints that do not take events, those that lose some to the log's bound, and a log that is not well."""
    try:
        queues = {queue.key: queue for queue in await event_log.report()}
    except StorageError as error:
        return [Finding("notifications", f"the log of events cannot be read: {error}", fatal=False)]
    found = []
    try:
        await event_log.probe()
    except StorageError as error:
        why = f"the log of events cannot be written, so pushes and deletions are refused: {error}"
        found.append(Finding("notifications", why, fatal=False))
    for endpoint in endpoints:
        queue = queues.get(endpoint.key)
        reasons = []
        if queue is not None and queue.state.failures >= endpoint.threshold:
            since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(queue.state.failing_since))
            reasons.append(f"it has not taken events since {since}: {queue.state.error}; {queue.pending} wait")
        if queue is not None and queue.losing:
            reasons.append(f"{queue.losing} events were dropped, since the log of events is full")
        if reasons:
            found.append(Finding(f"endpoint {endpoint.name}", "; ".join(reasons), fatal=False, announced=False))
    return found


class NoMetrics:
    """`QueueObserver` where there is no listener for metrics."""

    def count_taken(self, endpoint: str) -> None:
        """Counts nothing."""

    def count_outcome(self, endpoint: str, outcome: Outcome) -> None:
        """Counts nothing."""

    def count_dropped(self, endpoint: str, *, events: int, pulls: int) -> None:
        """Counts nothing."""

    def set_pending(self, endpoint: str, number: int) -> None:
        """Counts nothing."""
