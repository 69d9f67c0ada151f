"""A list as the place where events go: the whole interface, in memory, with room that a test can take away."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from typing_extensions import override

from backends.model.events import Event, Source
from backends.storage.driver import StorageFull


class KeptEvents:
    """All events of a store, in the order in which they came.

    Attributes:
        wanted: of the interface.
        source: of the interface.
        includes_references: of the interface.
        events: recorded ones and noted ones.
        is_full: nothing more can be recorded; pulls are lost then.
    """

    def __init__(self, *, includes_references: bool = False) -> None:
        self.wanted = True
        self.source = Source("node1:5000", "an-instance")
        self.includes_references = includes_references
        self.events: list[Event] = []
        self.is_full = False

    async def record(self, events: Sequence[Event], /) -> None:
        if self.is_full:
            raise StorageFull("no room for events")
        self.events += events

    def note(self, event: Event, /) -> None:
        if not self.is_full:
            self.events.append(event)

    def take(self) -> list[Event]:
        """Returns what has come since it was last called."""
        taken, self.events = self.events, []
        return taken

    @property
    def told(self) -> list[str]:
        """What has come so far, in a few words each; see `words`."""
        return [words(event) for event in self.events]


class SlowEvents(KeptEvents):
    """Takes its time, so that a client may leave meanwhile.

    Attributes:
        begun: an event has begun to be recorded.
        may_end: it may be done.
        ended: it is done.
    """

    def __init__(self) -> None:
        super().__init__()
        self.begun = asyncio.Event()
        self.may_end = asyncio.Event()
        self.ended = asyncio.Event()

    @override
    async def record(self, events: Sequence[Event], /) -> None:
        self.begun.set()
        await self.may_end.wait()
        await super().record(events)
        self.ended.set()


class UnwantedEvents(KeptEvents):
    """Nobody wants events; whoever makes one all the same, fails."""

    def __init__(self) -> None:
        super().__init__()
        self.wanted = False

    @override
    async def record(self, events: Sequence[Event], /) -> None:
        raise AssertionError(events)

    @override
    def note(self, event: Event, /) -> None:
        raise AssertionError(event)


def words(event: Event) -> str:
    """An event as `push app:1 sha256:...`, with what it has of these."""
    target = event.target
    tag = f":{target.tag}" if target.tag else ""
    where = f"{target.repository}{tag}" or "-"
    return " ".join(filter(None, [event.action.value, where, str(target.digest or "")]))
