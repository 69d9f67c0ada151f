"""Sending the events of a queue to its endpoint, one after another, each until it is accepted.

Invariants:
- the place is moved only behind events that the endpoint has accepted, or that it ignores;
- attempts never overlap, so the endpoint gets events in the order of the log; after a restart it may get some again;
- an endpoint that does not take events is well again when it has taken one, and not when another process sends.
"""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import replace
from typing import NoReturn, Protocol

from backends.notify.breaker import Breaker
from backends.notify.envelope import Parsed, encode_envelope, parse_event
from backends.notify.log import Event, Place, Queue, SenderState
from backends.notify.posting import Outcome, Poster
from backends.notify.settings import EndpointSettings
from backends.storage.driver import StorageError

SAVE_SECONDS = 1.0
"""How often the place is written, at most: after a kill, what was sent within it is sent again."""

TELL_SECONDS = 1.0
"""How often others are told of failures, at most."""

REST_SECONDS = 60.0
"""How often others are told that all is well."""

GATHER_SECONDS = 0.1
"""What comes within so long is read together."""

FINISH_SECONDS = 1.0
"""How long an attempt may go on once it is to stop."""

LARGE_EVENT = 64 * 1024
"""A larger one is laid out in a thread."""

_log = logging.getLogger("portside.notifications")


class Observer(Protocol):
    """Counts what a sender does."""

    def count_taken(self, endpoint: str) -> None:
        """An event is going to be sent."""

    def count_outcome(self, endpoint: str, outcome: Outcome) -> None:
        """An attempt has ended."""

    def count_dropped(self, endpoint: str, *, events: int, pulls: int) -> None:
        """Events were dropped before they could be sent."""


class Sender:
    """Sends to one endpoint, while this process is the one that may.

    Args:
        endpoint: where to.
        queue: from where.
        poster: how.
        observer: counts.
    """

    def __init__(self, endpoint: EndpointSettings, queue: Queue, poster: Poster, observer: Observer) -> None:
        self._endpoint = endpoint
        self._queue = queue
        self._poster = poster
        self._observer = observer
        self._breaker = Breaker(endpoint.threshold, endpoint.backoff_seconds)
        self._place = queue.place
        self._saved_at = time.monotonic() - SAVE_SECONDS  # so that whoever dies at once gets ahead all the same
        self._state = replace(queue.state, name=endpoint.name, url=endpoint.shown_url)
        self._told = queue.state
        self._told_at = -REST_SECONDS
        self._redirected = False
        self._save_failed = False

    async def run(self) -> NoReturn:
        """Sends until it is cancelled; then the attempt that goes on may end, and the place is written.

        Raises:
            StorageError: the log cannot be read.
        """
        try:
            while True:
                batch = await self._queue.read()
                for event in batch.events:
                    self._pass_over(event.sequence - 1, events=event.dropped_events, pulls=event.dropped_pulls)
                    await self._send(event)
                    self._place = replace(self._place, sequence=event.sequence)
                    await self._save(within=SAVE_SECONDS)
                self._pass_over(batch.last, events=batch.dropped_events, pulls=batch.dropped_pulls)
                await self._save(within=SAVE_SECONDS)
                if not batch.more:
                    await self._rest()
                    await asyncio.sleep(GATHER_SECONDS)
        finally:
            await self._save(within=0.0)

    async def _rest(self) -> None:
        """Waits for events; writes down first what was sent, unless more comes soon."""
        self._state = _well(self._state)  # what it did not take has been dropped, if there was any
        if self._state != self._told or time.monotonic() - self._told_at >= REST_SECONDS:
            await self._tell()
        if self._place == self._queue.place:
            await self._queue.wait(REST_SECONDS)
            return
        await self._queue.wait(max(0.0, self._saved_at + SAVE_SECONDS - time.monotonic()))
        await self._save(within=SAVE_SECONDS)

    async def _send(self, event: Event) -> None:
        """Returns when the endpoint has accepted an event, or ignores it."""
        try:
            parsed = parse_event(event.content)
        except ValueError as error:
            _log.error("event %d of the log cannot be sent: %s", event.sequence, error)
            self._observer.count_dropped(self._endpoint.name, events=1, pulls=0)
            self._place = replace(self._place, dropped_events=self._place.dropped_events + 1)
            return
        if parsed.is_ignored_by(self._endpoint):
            return
        self._observer.count_taken(self._endpoint.name)
        body = await _lay_out(parsed, len(event.content))
        while not await self._attempt(event.sequence, body):
            wait = self._breaker.wait(time.monotonic())
            if max(wait, time.monotonic() - self._told_at) >= TELL_SECONDS:
                await self._tell()
            await self._save(within=SAVE_SECONDS)
            await asyncio.sleep(wait)
        if self._state != self._told and time.monotonic() - self._told_at >= TELL_SECONDS:
            await self._tell()  # many may wait behind it

    async def _attempt(self, sequence: int, body: bytes) -> bool:
        posting = asyncio.ensure_future(self._poster.post(body))
        try:
            await asyncio.shield(posting)
        except asyncio.CancelledError:
            await asyncio.wait([posting], timeout=FINISH_SECONDS)
            if posting.done():
                self._note_outcome(sequence, posting.result())
            posting.cancel()
            raise
        return self._note_outcome(sequence, posting.result())

    def _note_outcome(self, sequence: int, outcome: Outcome) -> bool:
        self._observer.count_outcome(self._endpoint.name, outcome)
        if outcome.accepted:
            self._place = replace(self._place, sequence=sequence)
            self._succeeded(outcome)
        else:
            self._failed(outcome)
        return outcome.accepted

    def _succeeded(self, outcome: Outcome) -> None:
        if outcome.redirect and not self._redirected:
            self._redirected = True
            _log.warning(
                "endpoint %s answers %d with another address, to which nothing is sent: redirects are not followed;"
                " name in notifications.endpoints the address that takes events",
                self._endpoint.name,
                outcome.status,
            )
        if self._state.failures:
            _log.info("endpoint %s takes events again", self._endpoint.name)
            self._state = _well(self._state)
        self._breaker.succeeded()

    def _failed(self, outcome: Outcome) -> None:
        if not self._breaker.failures:
            _log.warning(
                "endpoint %s does not take events: %s; they wait for it, and are tried again until it does",
                self._endpoint.name,
                outcome.reason,
            )
        self._breaker.failed(time.monotonic())
        since = self._state.failing_since or time.time()
        failures = self._state.failures + 1
        self._state = replace(self._state, failures=failures, failing_since=since, error=outcome.reason)

    def _pass_over(self, sequence: int, *, events: int, pulls: int) -> None:
        """Moves the place behind what has been dropped, and counts it."""
        if "pull" in self._endpoint.ignored_actions:
            pulls = 0
        place = self._place
        self._place = Place(sequence, place.dropped_events + events, place.dropped_pulls + pulls)
        if events or pulls:
            self._observer.count_dropped(self._endpoint.name, events=events, pulls=pulls)
        if events:
            _log.warning(
                "%d events were dropped before endpoint %s could take them: the log has a bound"
                " (gateway.notifications.disk)",
                events,
                self._endpoint.name,
            )

    async def _save(self, *, within: float) -> None:
        """Writes the place down, unless that was done within so many seconds."""
        if self._place == self._queue.place or time.monotonic() - self._saved_at < within:
            return
        try:
            await self._queue.advance(self._place)
        except StorageError as error:
            if not self._save_failed:
                _log.warning("it cannot be written down what endpoint %s has taken: %s", self._endpoint.name, error)
            self._save_failed = True
        else:
            self._save_failed = False
        self._saved_at = time.monotonic()

    async def _tell(self) -> None:
        """Tells other processes how this endpoint does."""
        try:
            await self._queue.tell(self._state)
        except StorageError as error:
            _log.debug("it cannot be written down how endpoint %s does: %s", self._endpoint.name, error)
        self._told, self._told_at = self._state, time.monotonic()


def _well(state: SenderState) -> SenderState:
    return replace(state, failures=0, failing_since=0.0, error="")


async def _lay_out(event: Parsed, size: int) -> bytes:
    if size > LARGE_EVENT:
        return await asyncio.to_thread(encode_envelope, event)
    return encode_envelope(event)
