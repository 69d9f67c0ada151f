"""Looking at the queues of a root from outside, also from another process. In a thread; raises OSError."""

from __future__ import annotations

import os
from collections.abc import Sequence

from backends.notify.log import QueueReport
from backends.notify.places import Places
from backends.notify.reading import LogReader
from backends.notify.segments import Segments, read_tail


def report_queues(root: int, *, oldest: bool = False) -> Sequence[QueueReport]:
    """Returns the queues of all endpoints that have a place.

    Args:
        root: an open descriptor of the root.
        oldest: whether the oldest event of each is looked for, for which a part of the log is read.
    """
    places = Places(root)
    first, last = _ends(root)
    found = []
    for key in places.keys():  # noqa: SIM118 - a method of ours
        place = places.read(key)
        if place is None:
            continue
        pending = max(0, last - max(place.sequence, first - 1))
        losing = max(0, first - 1 - place.sequence) if place.sequence >= 0 else 0
        first_event = _oldest(root, place.sequence) if pending and oldest else None
        found.append(QueueReport(key, pending, losing, place, places.read_state(key), first_event))
    return found


def _ends(root: int) -> tuple[int, int]:
    """Returns the first sequence that the log may have, and the last that it has."""
    try:
        segments = Segments(root, make=False)
    except FileNotFoundError:
        return 1, 0
    try:
        names = segments.names()
        if not names:
            return 1, 0
        fd = segments.open(names[-1])
        try:
            tail = read_tail(fd, 0, os.fstat(fd).st_size)
        finally:
            os.close(fd)
        return names[0], tail.sequence if tail.sequence is not None else names[-1] - 1
    finally:
        segments.close()


def _oldest(root: int, after: int) -> bytes | None:
    reader = LogReader(root, after)
    try:
        while True:
            batch = reader.read()
            if batch.events:
                return batch.events[0].content
            if batch.last == after:
                return None
            after = batch.last
    finally:
        reader.close()
