"""Entity tags and the conditions on them (RFC 9110 sections 8.8.3 and 13.1)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.model.etags import match_holds, none_match_fails, range_holds
from tests.support.cpu_time import cpu_seconds

ETAG = '"sha256:ab"'


@pytest.mark.parametrize(
    "lines",
    [
        ['"sha256:ab"'],
        ['W/"sha256:ab"'],
        ['"x", "sha256:ab"'],
        ['"x","y" , W/"sha256:ab"'],
        ['"a,b", "sha256:ab"'],
        ['"x"', '"sha256:ab"'],
        ["*"],
        [" * "],
        ["sha256:ab"],  # distribution takes it without its quotes
    ],
)
def test_a_client_that_has_the_content_names_it(lines: list[str]) -> None:
    assert none_match_fails(lines, ETAG)


@pytest.mark.parametrize(
    "lines",
    [
        [],
        [""],
        ['"x"'],
        ['"sha256:abc"'],
        ['"sha256:a"'],
        ['"*"'],
        ['w/"x"'],
        ['"x, sha256:ab"'],
        ["sha256:abc"],
        ["x, sha256:ab"],
        ['"sha256:ab'],
        ['"SHA256:AB"'],
        ["**"],
    ],
)
def test_a_client_that_has_other_content_does_not(lines: list[str]) -> None:
    assert not none_match_fails(lines, ETAG)
    assert not match_holds(lines, ETAG)


@pytest.mark.parametrize(
    ("lines", "holds"),
    [
        (['"sha256:ab"'], True),
        (['"x", "sha256:ab"'], True),
        (["*"], True),
        (['W/"sha256:ab"'], False),  # compared strongly
        (["sha256:ab"], False),
    ],
)
def test_if_match_is_compared_strongly(lines: list[str], holds: bool) -> None:  # noqa: FBT001 - a table
    assert match_holds(lines, ETAG) is holds


DATE = "Thu, 01 Jan 1970 00:00:00 GMT"


@pytest.mark.parametrize(
    ("line", "etag", "date", "holds"),
    [
        ('"sha256:ab"', ETAG, None, True),
        (' "sha256:ab" ', ETAG, None, True),
        ('"other"', ETAG, None, False),
        ('W/"sha256:ab"', ETAG, None, False),
        ('"x", "sha256:ab"', ETAG, None, False),  # no list
        ("*", ETAG, None, False),
        ("", ETAG, None, False),
        ("sha256:ab", ETAG, None, False),
        (DATE, ETAG, None, False),
        (DATE, None, DATE, True),
        ("Fri, 02 Jan 1970 00:00:00 GMT", None, DATE, False),  # a later date is another date
        ('"sha256:ab"', None, DATE, False),
        ("", None, None, False),
    ],
)
def test_if_range_names_exactly_what_is_here(line: str, etag: str | None, date: str | None, holds: bool) -> None:  # noqa: FBT001
    assert range_holds(line, etag=etag, last_modified=date) is holds


@given(st.lists(st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=30), max_size=4))
def test_only_who_names_the_tag_is_told_that_nothing_changed(lines: list[str]) -> None:
    if none_match_fails(lines, ETAG):
        assert any("sha256:ab" in line or line.strip() == "*" for line in lines)
    if match_holds(lines, ETAG):
        assert none_match_fails(lines, ETAG)


@pytest.mark.parametrize("unit", ['"', 'W/"', '"x",', 'W/"x', ","])
def test_a_long_header_takes_linear_time(unit: str) -> None:
    line = unit * (65536 // len(unit))
    assert cpu_seconds(lambda: (none_match_fails([line], ETAG), match_holds([line], ETAG))) < 0.1
