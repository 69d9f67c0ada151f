"""The states of an upload, as its holder sees them. PURE: a table, and nothing else.

A request that holds an upload begins in GROWING and leaves it there, for the next request, or takes it to its end. What
is at its end is taken away when the request lets go of it, whatever else happens; an upload is never left behind in a
state that no request could go on from.

    GROWING ──APPENDED──▶ GROWING ──MATCHED──▶ VERIFIED ──STORED──▶ COMMITTED ──REMOVED──▶ GONE
       │                     ▲                   │  │
       │                     └────FAILED─────────┘  NO_ROOM
       └─DIFFERED, NOT_SYNCED, NO_ROOM, CANCELLED───▶ REJECTED ──REMOVED──▶ GONE
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum


class State(Enum):
    """How far an upload is."""

    GROWING = "it takes bytes; its next holder continues where it stands"
    VERIFIED = "all its bytes are synced, and they have the digest that was asked for: it takes no more"
    COMMITTED = "it is a blob of its repository; what is left of the upload is to go"
    REJECTED = "it cannot become a blob: it is to go, with its bytes"
    GONE = "nothing of it is left"


class Event(Enum):
    """What happens to an upload."""

    APPENDED = "bytes were written"
    MATCHED = "its digest is the one that was asked for, and its bytes are synced"
    DIFFERED = "its digest is another one"
    NOT_SYNCED = "the kernel could not write all of it: a second sync would vouch for nothing"
    NO_ROOM = "the disk is full"
    CANCELLED = "its client gave it up"
    STORED = "blob and link are in place"
    FAILED = "it could not be made a blob, since storage failed or the client has gone: it may be tried again"
    REMOVED = "its folder was deleted"


TRANSITIONS: Mapping[State, Mapping[Event, State]] = {
    State.GROWING: {
        Event.APPENDED: State.GROWING,
        Event.MATCHED: State.VERIFIED,
        Event.DIFFERED: State.REJECTED,
        Event.NOT_SYNCED: State.REJECTED,
        Event.NO_ROOM: State.REJECTED,
        Event.CANCELLED: State.REJECTED,
    },
    State.VERIFIED: {
        Event.STORED: State.COMMITTED,
        Event.FAILED: State.GROWING,
        Event.NO_ROOM: State.REJECTED,
    },
    State.COMMITTED: {Event.REMOVED: State.GONE},
    State.REJECTED: {Event.REMOVED: State.GONE},
    State.GONE: {},
}


class ImpossibleEvent(Exception):  # noqa: N818 - a mistake of the program
    """This cannot happen to an upload in this state: its holder calls things in the wrong order."""


def next_state(state: State, event: Event) -> State:
    """Returns the state after an event.

    Raises:
        ImpossibleEvent: the table has none.
    """
    try:
        return TRANSITIONS[state][event]
    except KeyError:
        raise ImpossibleEvent(f"{event.name} in state {state.name}") from None
