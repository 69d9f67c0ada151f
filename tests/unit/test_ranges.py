from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.model.errors import ErrorCode, RegistryError
from backends.model.ranges import ByteRange, Unsatisfiable, parse_content_range, parse_range

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
        (f"bytes=0-{HUGE}", (0, 2047)),
        (f"bytes=-{HUGE}", (0, 2047)),
    ],
)
def test_ranges_that_have_something(header: str, expected: tuple[int, int]) -> None:
    part = parse_range(header, 2048)
    assert part == ByteRange(*expected)
    assert part.length == expected[1] - expected[0] + 1


@pytest.mark.parametrize(
    "header",
    [
        "",
        "bytes",
        "bytes=",
        "bytes=-",
        "bytes=a-b",
        "bytes=0-1,5-6",
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
    assert parse_range(header, 2048) is None


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
        parse_range(header, size)


@given(st.text(alphabet="bytes=0123456789-, ", max_size=30), st.integers(0, 10_000))
def test_a_range_never_leaves_the_content(header: str, size: int) -> None:
    try:
        part = parse_range(header, size)
    except Unsatisfiable:
        return
    if part is not None:
        assert 0 <= part.first <= part.last < size


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
def test_a_chunks_place_that_is_none_is_a_bad_request(header: str) -> None:
    with pytest.raises(RegistryError) as caught:
        parse_content_range(header)
    assert (caught.value.code, caught.value.status) == (ErrorCode.RANGE_INVALID, 400)
