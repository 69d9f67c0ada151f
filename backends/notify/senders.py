"""All senders of a process: for each endpoint it tries to be the one process of the installation that sends.

Where several processes share a log, each tries every second; the one that has an endpoint's lock sends to it until it
ends in whatever way.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import AsyncExitStack
from typing import Protocol

from backends.notify.log import EventLog
from backends.notify.posting import Poster
from backends.notify.sender import Observer, Sender
from backends.notify.settings import EndpointSettings, NotifySettings
from backends.storage.driver import StorageError

ELECT_SECONDS = 1.0
REPORT_SECONDS = 2.0

_log = logging.getLogger("portside.notifications")


class QueueObserver(Observer, Protocol):
    """Counts what senders do, and how long queues are."""

    def set_pending(self, endpoint: str, number: int) -> None:
        """So many events wait for it."""


class Senders:
    """The senders of one log in this process.

    Args:
        log: what is sent.
        settings: where to.
        observer: counts.
    """

    def __init__(self, log: EventLog, settings: NotifySettings, observer: QueueObserver) -> None:
        self._log = log
        self._settings = settings
        self._observer = observer
        self._ours: set[str] = set()

    async def watch(self) -> None:
        """Sends until it is cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._log.watch())
            group.create_task(self._report())
            for endpoint in self._settings.endpoints:
                group.create_task(self._keep_sending(endpoint))

    async def _keep_sending(self, endpoint: EndpointSettings) -> None:
        failed = ""
        while True:
            try:
                await self._send(endpoint)
                failed = ""
            except Exception as error:  # noqa: BLE001 - the last net: what fails once must not end it for good
                if repr(error) == failed:
                    pass  # it was said
                elif isinstance(error, StorageError):
                    _log.warning("the events for endpoint %s cannot be read: %s", endpoint.name, error)
                else:
                    _log.exception("sending to endpoint %s failed", endpoint.name)
                failed = repr(error)
            await asyncio.sleep(ELECT_SECONDS)

    async def _send(self, endpoint: EndpointSettings) -> None:
        """Sends until something fails; returns at once while another process sends."""
        queue = await self._log.open_queue(endpoint.key)
        if queue is None:
            return
        async with AsyncExitStack() as stack:
            stack.push_async_callback(queue.close)
            poster = Poster(endpoint, self._settings.media_type)
            stack.push_async_callback(poster.close)
            self._ours.add(endpoint.key)
            stack.callback(self._ours.discard, endpoint.key)
            _log.debug("this process sends to endpoint %s", endpoint.name)
            await Sender(endpoint, queue, poster, self._observer).run()

    async def _report(self) -> None:
        """Tells how long the queues are to which this process sends."""
        names = {endpoint.key: endpoint.name for endpoint in self._settings.endpoints}
        while True:
            await asyncio.sleep(REPORT_SECONDS)
            if not self._ours:
                continue
            try:
                reports = await self._log.report()
            except StorageError as error:
                _log.debug("the queues cannot be looked at: %s", error)
                continue
            for report in reports:
                if report.key in self._ours:
                    self._observer.set_pending(names[report.key], report.pending)
