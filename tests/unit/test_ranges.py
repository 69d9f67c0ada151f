from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.model.errors import ErrorCode, RegistryError
from backends.model.ranges import (
    MAX_HEADER,
    MAX_RANGES,
    ByteRange,
    Unsatisfiable,
    parse_content_range,
    parse_ranges,
)

HUGE = "9" * 60


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("bytes=500-1499", (500, 1499)),
        ("bytes=500-", (500, 2047)),
        ("bytes=-500", (1548, 2047)),
        ("bytes=2000-5000", (2000, 2047)),
        ("bytes=0-0", (0, 0)),
        ("bytes=2047-2047", (2047, 2047)),
        ("bytes=-5000", (0, 2047)),
        ("bytes=0-", (0, 2047)),
        ("Bytes=0-1", (0, 1)),
        ("  bytes=0-1 ", (0, 1)),
        ("bytes= 0-1\t", (0, 1)),
        ("bytes=0-1,", (0, 1)),
        ("bytes=, ,0-1", (0, 1)),
        (f"bytes=0-{HUGE}", (0, 2047)),
        (f"bytes=-{HUGE}", (0, 2047)),
    ],
)
def test_ranges_that_have_something(header: str, expected: tuple[int, int]) -> None:
    part = parse_ranges(header, 2048)
    assert isinstance(part, ByteRange)
    assert (part.first, part.last) == expected
    assert part.length == expected[1] - expected[0] + 1


@pytest.mark.parametrize(
    "header",
    [
        "",
        "bytes",
        "bytes=",
        "bytes=-",
        "bytes=a-b",
        "bytes=,",
        "bytes =0-1",
        "bytes=0 -1",
        "bytes=0-1;5-6",
        "bytes=0-1,x",
        "bytes=0-1,5",
        "bytes=0-1,-",
        "bytes=0-1,bytes=5-6",
        "bytes=--1",
        "bytes=1-2-3",
        "lines=0-1",
        "bytes=0x1-2",
        "bytes=\u0661-2",
        "bytes=0-1/2048",
        "bytes=0-" + "9" * 1_000_000,
        "bytes=0-1," * 10_000,
    ],
)
def test_ranges_that_are_ignored(header: str) -> None:
    assert parse_ranges(header, 2048) is None


@pytest.mark.parametrize(
    ("header", "size"),
    [
        ("bytes=500-0", 2048),
        ("bytes=5000-10000", 2048),
        ("bytes=2048-", 2048),
        ("bytes=-0", 2048),
        (f"bytes={HUGE}-", 2048),
        ("bytes=0-0", 0),
        ("bytes=0-", 0),
        ("bytes=-1", 0),
    ],
)
def test_ranges_that_lie_outside(header: str, size: int) -> None:
    with pytest.raises(Unsatisfiable):
        parse_ranges(header, size)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("bytes=0-3,10-13", [(0, 3), (10, 13)]),
        ("bytes=0-3, 10-13", [(0, 3), (10, 13)]),
        ("bytes=0-3 ,\t10-13,,", [(0, 3), (10, 13)]),
        ("bytes=10-13,0-3", [(10, 13), (0, 3)]),  # the order asked
        ("bytes=0-3,4-7", [(0, 3), (4, 7)]),  # touching ranges stay apart
        ("bytes=0-9,5-14", [(0, 9), (5, 14)]),  # overlapping ones too
        ("bytes=0-3,0-3", [(0, 3), (0, 3)]),
        ("bytes=0-3,2000-", [(0, 3), (2000, 2047)]),
        ("bytes=0-3,-10", [(0, 3), (2038, 2047)]),
        ("bytes=2000-5000,0-0", [(2000, 2047), (0, 0)]),
        ("bytes=0-3,2048-", [(0, 3)]),  # one left of several: still several
        ("bytes=5000-6000,0-3,9999-", [(0, 3)]),
        ("bytes=0-3,7-5", [(0, 3)]),
        ("bytes=0-3,-0", [(0, 3)]),
        ("bytes=0-1023,1024-", [(0, 1023), (1024, 2047)]),
    ],
)
def test_several_ranges_are_answered_one_by_one_in_the_order_asked(
    header: str, expected: list[tuple[int, int]]
) -> None:
    assert parse_ranges(header, 2048) == tuple(ByteRange(*each) for each in expected)


@pytest.mark.parametrize("header", ["bytes=2048-,5000-6000", "bytes=9-5,-0", f"bytes={HUGE}-,-0"])
def test_several_ranges_that_all_lie_outside_are_not_satisfiable(header: str) -> None:
    with pytest.raises(Unsatisfiable):
        parse_ranges(header, 2048)


def test_there_is_a_bound_to_the_number_of_ranges_and_to_their_sum() -> None:
    many = [f"{number}-{number}" for number in range(MAX_RANGES)]
    found = parse_ranges("bytes=" + ",".join(many), 10_000)
    assert isinstance(found, tuple)
    assert len(found) == MAX_RANGES
    assert parse_ranges("bytes=" + ",".join([*many, "5000-5000"]), 10_000) is None
    assert parse_ranges("bytes=0-999,0-999", 2000) is not None
    assert parse_ranges("bytes=0-999,0-999", 1999) is None
    assert parse_ranges("bytes=0-,0-", 2048) is None
    assert parse_ranges("bytes=0-1" + " " * MAX_HEADER, 2048) is None


_spec = st.one_of(
    st.tuples(st.integers(0, 120), st.integers(0, 120)).map(lambda pair: f"{pair[0]}-{pair[1]}"),
    st.integers(0, 120).map(lambda first: f"{first}-"),
    st.integers(0, 120).map(lambda suffix: f"-{suffix}"),
)


def _bytes_of(spec: str, content: bytes) -> bytes:
    """What one range has of the content, by RFC 9110's words and Python's slices."""
    first, _, last = spec.partition("-")
    if not first:
        return content[max(0, len(content) - int(last)) :] if int(last) else b""
    return content[int(first) : int(last) + 1 if last else None]


@given(st.lists(_spec, min_size=1, max_size=8), st.integers(0, 100), st.sampled_from([",", ", ", " ,", ",,"]))
def test_each_range_that_was_asked_has_its_own_bytes(specs: list[str], size: int, comma: str) -> None:
    content = bytes(range(size))
    wanted = [part for part in (_bytes_of(spec, content) for spec in specs) if part]
    try:
        found = parse_ranges("bytes=" + comma.join(specs), size)
    except Unsatisfiable:
        assert not wanted
        return
    if found is None:
        assert sum(map(len, wanted)) > size
        return
    ranges = (found,) if isinstance(found, ByteRange) else found
    assert isinstance(found, tuple) == (len(specs) > 1)
    assert [content[each.first : each.last + 1] for each in ranges] == wanted
    assert all(each.length == each.last - each.first + 1 > 0 for each in ranges)


@given(st.text(alphabet="bytes=0123456789-, ", max_size=30), st.integers(0, 10_000))
def test_no_header_is_too_strange(header: str, size: int) -> None:
    for each in (header, "bytes=" + header):
        try:
            found = parse_ranges(each, size)
        except Unsatisfiable:
            continue
        if found is not None:
            assert re.match(r"\s*bytes=", each, re.IGNORECASE)
            ranges = (found,) if isinstance(found, ByteRange) else found
            assert all(0 <= part.first <= part.last < size for part in ranges)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("0-1023", (0, 1023)),
        ("1024-2047", (1024, 2047)),
        ("bytes 0-1023/4096", (0, 1023)),
        ("bytes 0-1023/*", (0, 1023)),
        ("0-1023/4096", (0, 1023)),
        (" 7-7 ", (7, 7)),
    ],
)
def test_chunks_say_where_they_begin(header: str, expected: tuple[int, int]) -> None:
    assert parse_content_range(header) == ByteRange(*expected)


@pytest.mark.parametrize(
    "header",
    ["", "0", "-", "5-4", "-1-5", "a-b", "bytes=0-5", "0-5,6-7", "0-" + "9" * 20, HUGE + "-" + HUGE, "bytes */5"],
)
def test_a_content_range_that_is_not_valid_is_a_bad_request(header: str) -> None:
    with pytest.raises(RegistryError) as caught:
        parse_content_range(header)
    assert (caught.value.code, caught.value.status) == (ErrorCode.RANGE_INVALID, 400)
