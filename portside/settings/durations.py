"""Durations as Go writes them: `300ms`, `1.5h`, `2h45m`; a bare number is nanoseconds. PURE."""

from __future__ import annotations

import re

# Go takes either of the two letters for micro.
_UNITS = {"ns": 1e-9, "us": 1e-6, "\u00b5s": 1e-6, "\u03bcs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_PART = re.compile(rf"(\d+(?:\.\d*)?|\.\d+)({'|'.join(_UNITS)})", re.ASCII)


def parse_duration(value: object) -> float:
    """Returns a duration in seconds; it may be negative.

    Raises:
        ValueError: it is not a valid duration; the message says what one looks like.
    """
    if isinstance(value, bool):
        raise ValueError("a duration is written like 30s, 500ms or 1h30m")
    if isinstance(value, int | float):
        return value * 1e-9
    text = str(value).strip()
    unsigned = text[1:] if text[:1] in {"-", "+"} else text
    if unsigned == "0":
        return 0.0
    parts = _PART.findall(unsigned)
    if not parts or "".join(number + unit for number, unit in parts) != unsigned:
        raise ValueError("a duration is written like 30s, 500ms or 1h30m")
    seconds = sum(float(number) * _UNITS[unit] for number, unit in parts)
    return -seconds if text[0] == "-" else seconds
