"""How far a reader of the log is, and what it has missed. PURE."""

from __future__ import annotations

from collections.abc import Sequence

from backends.notify.log import UNKNOWN, Batch, Event
from backends.notify.records import Kind, Record


class Position:
    """A place in the sequence of records.

    Args:
        after: the last sequence that was taken; `UNKNOWN` where whatever comes first is to be taken.

    Attributes:
        sequence: the last one now.
    """

    def __init__(self, after: int) -> None:
        self.sequence = after

    def take(self, records: Sequence[Record]) -> Batch:
        """Takes records in order; those that were taken already are skipped, and those that are missing counted."""
        events: list[Event] = []
        dropped_events = dropped_pulls = 0
        for record in records:
            covers = _covers(record)
            if self.sequence == UNKNOWN:
                self.sequence = record.sequence - covers
            ahead = record.sequence - self.sequence
            if ahead <= 0:
                continue
            covers = min(covers, ahead)
            dropped_events += ahead - covers
            self.sequence = record.sequence
            match record.kind:
                case Kind.EVENT | Kind.PULL:
                    events.append(Event(record.sequence, record.payload, dropped_events, dropped_pulls))
                    dropped_events = dropped_pulls = 0
                case Kind.DROPPED:
                    dropped_pulls += covers
                case Kind.SEAL:
                    pass
        return Batch(events, self.sequence, dropped_events, dropped_pulls)


def _covers(record: Record) -> int:
    """How many sequences a record stands for."""
    match record.kind:
        case Kind.EVENT | Kind.PULL:
            return 1
        case Kind.DROPPED:
            return int(record.payload)
        case Kind.SEAL:
            return 0
