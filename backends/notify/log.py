"""The interface of a log of events, and of an endpoint's queue: its place in the log.

One suite, `tests/contracts/test_event_log.py`, holds both logs to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NoReturn, Protocol

UNKNOWN = -1
"""The sequence of a place that cannot be read: everything that is in the log is sent again."""


@dataclass(frozen=True, slots=True)
class Event:
    """An event in the log.

    Attributes:
        sequence: it only grows.
        content: a JSON object.
        dropped_events: so many before it were dropped, or are damaged.
        dropped_pulls: so many pulls before it were dropped.
    """

    sequence: int
    content: bytes
    dropped_events: int = 0
    dropped_pulls: int = 0


@dataclass(frozen=True, slots=True)
class Batch:
    """What comes next for an endpoint.

    Attributes:
        events: in the order of the log.
        last: the sequence up to which everything has been read, for `Queue.advance`.
        dropped_events: so many are missing behind the last of them, as in `Event`.
        dropped_pulls: so many pulls.
        more: whether more may be there already; if not, `Queue.wait` says when there is.
    """

    events: Sequence[Event]
    last: int
    dropped_events: int = 0
    dropped_pulls: int = 0
    more: bool = True


@dataclass(frozen=True, slots=True)
class Place:
    """How far an endpoint is.

    Attributes:
        sequence: of the last event that it has taken.
        dropped_events: how many it never got, since it was first configured.
        dropped_pulls: and how many pulls.
    """

    sequence: int
    dropped_events: int = 0
    dropped_pulls: int = 0


@dataclass(frozen=True, slots=True)
class SenderState:
    """What an endpoint's sender last said of itself.

    Attributes:
        name: of the endpoint.
        url: of the endpoint, as it may be shown.
        failures: attempts that failed since the last that did not.
        failing_since: when the first of them was, in seconds since 1970; 0 when there is none.
        error: what the last of them met.
    """

    name: str = ""
    url: str = ""
    failures: int = 0
    failing_since: float = 0.0
    error: str = ""


@dataclass(frozen=True, slots=True)
class QueueReport:
    """An endpoint's queue as it is seen from outside.

    Attributes:
        key: of the endpoint.
        pending: events that wait, about: dropped pulls among them count.
        oldest: the first of them; None when none waits, or it was not asked for.
        losing: how many of them the log has dropped already.
        place: how far it is.
        state: what its sender last said.
    """

    key: str
    pending: int
    losing: int
    place: Place
    state: SenderState
    oldest: bytes | None = None


class Queue(Protocol):
    """An endpoint's place in the log; one process at a time has it (`senders`)."""

    @property
    def place(self) -> Place:
        """How far the endpoint is, what `advance` was last told."""
        ...

    @property
    def state(self) -> SenderState:
        """What `tell` was last told when this was opened, perhaps by another process."""
        ...

    async def read(self) -> Batch:
        """Returns what comes next after the last batch; without events when nothing has come yet."""
        ...

    async def advance(self, place: Place) -> None:
        """Remembers how far the endpoint is, so that it survives a power cut.

        Raises:
            StorageError: it could not be written; then it is as before.
        """
        ...

    async def tell(self, state: SenderState) -> None:
        """Tells other processes how its sender does. It need not survive a power cut.

        Raises:
            StorageError: it could not be written.
        """
        ...

    async def wait(self, seconds: float) -> None:
        """Waits until there may be more to read: at once for this process's events, soon for others'."""
        ...

    async def close(self) -> None:
        """Releases what it holds."""
        ...


class EventLog(Protocol):
    """The log of one root."""

    async def prepare(self) -> None:
        """Gives each endpoint that has no place yet one at the end of the log.

        Called before anything is served: what is pushed from then on is theirs.

        Raises:
            StorageError: the volume does not take it now; `append` tries again.
        """
        ...

    async def probe(self) -> None:
        """Tries again whether it can be written, where it could not be when it was tried last; else does nothing.

        Raises:
            StorageError: it cannot.
        """
        ...

    async def append(self, events: Sequence[bytes]) -> None:
        """Appends events; they are on disk when it returns. Cancelling the caller does not withdraw them.

        Args:
            events: compact JSON objects, in this order.

        Raises:
            StorageFull: there is no room.
            StorageError: they could not be written for another reason. Some of them may be in the log all the same.
        """
        ...

    def note(self, event: bytes) -> None:
        """Has an event appended within a second. A kill may lose it."""
        ...

    async def open_queue(self, key: str) -> Queue | None:
        """Returns the queue of an endpoint, which is this process's until it is closed; None while another has it.

        Raises:
            StorageError: its place cannot be read.
        """
        ...

    async def watch(self) -> NoReturn:
        """Deletes what every endpoint has taken, and what exceeds the bound, until it is cancelled."""
        ...

    async def report(self) -> Sequence[QueueReport]:
        """Returns all queues that have a place, without their oldest events, which would have to be looked for.

        Raises:
            StorageError: they cannot be read.
        """
        ...

    async def close(self) -> None:
        """Writes what was noted, and releases everything. May be called twice."""
        ...
