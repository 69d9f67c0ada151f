"""Times are written as Go writes them again."""

from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.model.timestamps import EPOCH, ZERO, normalise


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        (ZERO, ZERO),
        (EPOCH, EPOCH),
        ("2015-02-10T12:00:00.1234560Z", "2015-02-10T12:00:00.123456Z"),
        ("2015-02-10T12:00:00.000Z", "2015-02-10T12:00:00Z"),
        ("2015-02-10T12:00:00.1234567891Z", "2015-02-10T12:00:00.123456789Z"),
        ("2015-02-10T12:00:00.0000000009Z", "2015-02-10T12:00:00Z"),
        ("2013-03-23T22:24:18.81842600-07:00", "2013-03-23T22:24:18.818426-07:00"),
        ("2013-03-23T22:24:18,50Z", "2013-03-23T22:24:18.5Z"),
        ("2013-03-23T22:24:18+00:00", "2013-03-23T22:24:18Z"),
        ("2013-03-23T22:24:18-00:00", "2013-03-23T22:24:18Z"),
        ("2013-03-23T22:24:18+00:30", "2013-03-23T22:24:18+00:30"),
        ("2012-02-29T23:59:59Z", "2012-02-29T23:59:59Z"),
        ("2000-02-29T00:00:00Z", "2000-02-29T00:00:00Z"),
        ("9999-12-31T23:59:59.999999999+23:59", "9999-12-31T23:59:59.999999999+23:59"),
    ],
)
def test_a_time_loses_only_what_go_leaves_out(text: str, normal: str) -> None:
    assert normalise(text) == normal


@pytest.mark.parametrize(
    "text",
    [None, 1424000000, "", "yesterday", "2015-02-10", "2015-02-10T12:00:00", "2015-02-10t12:00:00z",
     "2015-02-10T12:00Z", "2015-02-10 12:00:00Z", "2015-13-01T00:00:00Z", "2015-00-01T00:00:00Z",
     "2015-02-29T00:00:00Z", "1900-02-29T00:00:00Z", "2015-04-31T00:00:00Z", "2015-01-00T00:00:00Z",
     "2015-02-10T24:00:00Z", "2015-02-10T12:60:00Z", "2015-02-10T12:00:60Z", "2015-02-10T12:00:00.Z",
     "2015-02-10T12:00:00+24:00", "2015-02-10T12:00:00+01:60", "2015-02-10T12:00:00+0100",
     "2015-02-10T12:00:00Z\n", "12015-02-10T12:00:00Z", "\u0662015-02-10T12:00:00Z",
     "2015-02-10T12:00:00." + "1" * 101 + "Z"],
)  # fmt: skip
def test_what_is_no_time_is_none(text: object) -> None:
    assert normalise(text) is None


zones = st.builds(lambda minutes: dt.timezone(dt.timedelta(minutes=minutes)), st.integers(-1439, 1439))


@given(st.datetimes(timezones=zones), st.text("0123456789", max_size=6))
def test_any_time_stays_the_same_moment(time: dt.datetime, more_digits: str) -> None:
    head, sign, zone = time.isoformat(timespec="microseconds").rpartition("+" if "+" in time.isoformat()[19:] else "-")
    normal = normalise(f"{head}{more_digits}{sign}{zone}")
    assert normal is not None
    assert normalise(normal) == normal
    fraction = normal[19:].rstrip("Z").partition("+")[0].partition("-")[0]
    assert len(fraction) <= 10
    assert not fraction.endswith("0")
    assert dt.datetime.fromisoformat(normal) == time
