"""Times in images: RFC 3339 text as Go reads and writes it (FORMATS section 2.1, step 3). PURE.

A time stays the text that it is, to the nanosecond and in its zone, and no clock or calendar of Python comes near it:
only what Go leaves out when it writes a time again is left out.
"""

from __future__ import annotations

import re

ZERO = "0001-01-01T00:00:00Z"
"""What Go writes of a time that was never set."""

EPOCH = "1970-01-01T00:00:00Z"

_TIME = re.compile(
    r"(?P<year>[0-9]{4})-(?P<month>[0-9]{2})-(?P<day>[0-9]{2})"
    r"T(?P<hour>[0-9]{2}):(?P<minute>[0-9]{2}):(?P<second>[0-9]{2})"
    r"(?:[.,](?P<fraction>[0-9]{1,100}))?"  # Go reads a comma too
    r"(?:Z|(?P<zone>[+-](?P<zone_hour>[0-9]{2}):(?P<zone_minute>[0-9]{2})))",
    re.ASCII,
)
_DIGITS_OF_NANOSECONDS = 9
_DAYS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_FEBRUARY = 2


def normalise(text: object) -> str | None:
    """Returns a time as Go would write it again: nine digits of a second at most, no zeros at their end, `Z` for zero.

    Args:
        text: what a document has there.

    Returns:
        the time; None where it is not one.
    """
    match = _TIME.fullmatch(text) if isinstance(text, str) else None
    if match is None or not _exists(match):
        return None
    fraction = (match["fraction"] or "")[:_DIGITS_OF_NANOSECONDS].rstrip("0")
    zone = match["zone"]
    return "".join(
        [
            match[0][: match.start("second") + 2],
            f".{fraction}" if fraction else "",
            "Z" if zone is None or zone[1:] == "00:00" else zone,
        ]
    )


def _exists(match: re.Match[str]) -> bool:
    """Whether Go's calendar and clock have this time; leap seconds are not among them."""
    year, month, day = int(match["year"]), int(match["month"]), int(match["day"])
    if not 1 <= month <= len(_DAYS):
        return False
    leap = month == _FEBRUARY and year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    if not 1 <= day <= _DAYS[month - 1] + leap:
        return False
    hours, minutes = [match["hour"]], [match["minute"], match["second"]]
    if match["zone"] is not None:
        hours.append(match["zone_hour"])
        minutes.append(match["zone_minute"])
    return all(int(hour) < 24 for hour in hours) and all(int(minute) < 60 for minute in minutes)  # noqa: PLR2004
