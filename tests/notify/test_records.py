"""Lines of the log: whatever a kill, a power cut or a broken disk makes of them, no record is made up or lost."""

from __future__ import annotations

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.notify.log import UNKNOWN, Batch, Event
from backends.notify.positions import Position
from backends.notify.records import Kind, Record, decode, encode, last, split, without_pulls

payloads = st.binary(max_size=200).map(lambda content: content.replace(b"\n", b" "))
records = st.lists(
    st.builds(Record, st.integers(1, 10**18), st.sampled_from([Kind.EVENT, Kind.PULL]), payloads), max_size=20
)


def written(found: list[Record]) -> bytes:
    return b"".join(map(encode, found))


@given(records)
def test_records_come_back(found: list[Record]) -> None:
    content = written(found)
    assert split(content) == (found, len(content))
    assert last(content, begins_line=True) == (found[-1] if found else None)


@given(records, st.integers(0))
def test_a_cut_loses_nothing_before_it(found: list[Record], cut: int) -> None:
    content = written(found)
    kept = content[: cut % (len(content) + 1)]
    whole, consumed = split(kept)
    assert whole == found[: len(whole)]
    assert written(list(whole)) == kept[:consumed]
    assert b"\n" not in kept[consumed:]


@given(records, records, st.one_of(st.binary(max_size=300), st.integers(0, 10000).map(bytes)))
def test_whatever_a_power_cut_leaves_at_the_end_is_passed_over(
    before: list[Record], after: list[Record], tail: bytes
) -> None:
    """The next writer begins a line of its own."""
    content = written(before) + tail
    torn = b"" if content.endswith(b"\n") or not content else b"\n"
    whole, consumed = split(content + torn + written(after))
    assert whole == before + after
    assert consumed == len(content + torn + written(after)) or not after


@given(records.filter(bool), st.integers(0), st.integers(1, 255))
def test_a_damaged_byte_costs_one_record_or_two(found: list[Record], place: int, change: int) -> None:
    content = bytearray(written(found))
    content[place % len(content)] ^= change
    whole, _ = split(bytes(content))
    assert all(record in found for record in whole)
    assert len(whole) >= len(found) - 2


@given(records.filter(bool), st.integers(0))
def test_the_last_record_is_found_from_anywhere_before_it(found: list[Record], start: int) -> None:
    content = written(found)
    begin = len(written(found[:-1]))
    assert last(content[start % (begin + 1) :], begins_line=False) in {found[-1], None}
    if len(found) > 1:
        assert last(content[min(start % (begin + 1), begin - 1) :], begins_line=False) == found[-1]


def test_a_client_cannot_write_a_record_within_an_event() -> None:
    """A User-Agent may have any text; a reader that begins in the middle must not take it for a line."""
    fields = b"999999 e"
    rest = b'"}'
    forged = b"%b %08x %b" % (fields, zlib.crc32(rest, zlib.crc32(fields)), rest)
    line = encode(Record(5, Kind.EVENT, b'{"useragent":"' + forged))
    inside = line[line.index(forged) :]
    assert decode(inside[:-1]) == Record(999999, Kind.EVENT, rest), "it looks like one"
    assert last(inside, begins_line=False) is None
    assert last(encode(Record(4, Kind.EVENT, b"{}")) + line, begins_line=False) == Record(5, Kind.EVENT, line[13:-1])


@pytest.mark.parametrize(
    "line",
    [b"", b" ", b"1 e", b"1 e 00000000 {}", b"x e 00000000 {}", b"1 q 00000000 {}", b"9" * 30 + b" e 00000000 {}"],
)
def test_what_is_not_a_record_is_none(line: bytes) -> None:
    assert decode(line) is None


def test_an_event_of_several_lines_is_refused() -> None:
    with pytest.raises(ValueError, match="one line"):
        encode(Record(1, Kind.EVENT, b'{\n"a":1}'))


def events_missed(batch: Batch) -> int:
    return batch.dropped_events + sum(event.dropped_events for event in batch.events)


def pulls_missed(batch: Batch) -> int:
    return batch.dropped_pulls + sum(event.dropped_pulls for event in batch.events)


sequenced = st.lists(st.sampled_from([Kind.EVENT, Kind.PULL]), max_size=40).map(
    lambda kinds: [Record(number, kind, b"{}") for number, kind in enumerate(kinds, 1)]
)


@given(sequenced, st.integers(-1, 45))
def test_dropped_pulls_are_counted_and_nothing_else_changes(found: list[Record], after: int) -> None:
    content, dropped = without_pulls(written(found))
    assert dropped == sum(record.kind is Kind.PULL for record in found)
    again, more = without_pulls(content)
    assert (again, more) == (content, 0)
    start = max(0, after)
    batch = Position(after).take(split(content)[0])
    assert [event.sequence for event in batch.events] == [
        record.sequence for record in found if record.kind is Kind.EVENT and record.sequence > start
    ]
    assert pulls_missed(batch) == sum(record.kind is Kind.PULL and record.sequence > start for record in found)
    assert events_missed(batch) == 0


@given(sequenced, st.sets(st.integers(1, 40)))
def test_what_is_missing_is_counted(found: list[Record], missing: set[int]) -> None:
    left = [record for record in found if record.sequence not in missing]
    batch = Position(0).take(left)
    assert batch.last == (left[-1].sequence if left else 0)
    assert events_missed(batch) == batch.last - len(left)


def test_a_place_that_is_unknown_takes_what_comes_first() -> None:
    batch = Position(UNKNOWN).take([Record(7, Kind.EVENT, b"{}"), Record(9, Kind.EVENT, b"[]")])
    assert batch == Batch([Event(7, b"{}"), Event(9, b"[]", dropped_events=1)], 9)
