"""Durations as Go writes them: `300ms`, `1.5h`, `2h45m`; a bare number is nanoseconds. PURE."""

from __future__ import annotations

import re

_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_PART = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)")


def parse_duration(value: object) -> float:
    """Returns a duration in seconds.

    Raises:
        ValueError: it is not a valid duration; the message says what one looks like.
    """
    if isinstance(value, bool):
        raise ValueError("a duration is written like 30s, 500ms or 1h30m")
    if isinstance(value, int):
        return value * 1e-9
    text = str(value).strip()
    parts = _PART.findall(text)
    if text == "0":
        return 0.0
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError("a duration is written like 30s, 500ms or 1h30m")
    return sum(float(number) * _UNITS[unit] for number, unit in parts)
