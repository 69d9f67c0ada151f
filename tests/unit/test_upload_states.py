"""The table of an upload's states: whole, without dead ends, and nothing in it that loses an acknowledged byte."""

from __future__ import annotations

import itertools

import pytest

from backends.registry.upload_states import TRANSITIONS, Event, ImpossibleEvent, State, next_state

KEPT, ENDED = State.GROWING, {State.COMMITTED, State.REJECTED}


@pytest.mark.parametrize(("state", "event"), list(itertools.product(State, Event)))
def test_an_event_leads_where_the_table_says_or_is_a_mistake(state: State, event: Event) -> None:
    if event in TRANSITIONS[state]:
        assert next_state(state, event) is TRANSITIONS[state][event]
    else:
        with pytest.raises(ImpossibleEvent, match=f"{event.name} in state {state.name}"):
            next_state(state, event)


def test_every_state_has_a_row_and_every_event_a_place() -> None:
    assert set(TRANSITIONS) == set(State)
    assert {event for row in TRANSITIONS.values() for event in row} == set(Event)


@pytest.mark.parametrize("state", list(State))
def test_from_every_state_one_comes_to_the_end(state: State) -> None:
    reached, grown = {state}, True
    while grown:
        more = {after for each in reached for after in TRANSITIONS[each].values()}
        grown = not more <= reached
        reached |= more
    assert State.GONE in reached
    assert not TRANSITIONS[State.GONE]


def test_nothing_is_removed_but_what_has_ended() -> None:
    assert {state for state, row in TRANSITIONS.items() if Event.REMOVED in row} == ENDED


def test_it_is_a_blob_only_after_its_digest_was_found_right_and_takes_no_byte_after_that() -> None:
    into_committed = {state for state, row in TRANSITIONS.items() if State.COMMITTED in row.values()}
    assert into_committed == {State.VERIFIED}
    into_verified = {event for row in TRANSITIONS.values() for event, after in row.items() if after is State.VERIFIED}
    assert into_verified == {Event.MATCHED}
    assert {state for state, row in TRANSITIONS.items() if Event.APPENDED in row} == {KEPT}


def test_what_finds_no_room_ends_wherever_it_was() -> None:
    for state in (State.GROWING, State.VERIFIED):
        assert TRANSITIONS[state][Event.NO_ROOM] is State.REJECTED
