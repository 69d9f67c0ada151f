"""Sizes in bytes as people write them: `500MiB`, `2GiB`, `10GB`; a bare number is bytes. PURE."""

from __future__ import annotations

import re

_UNITS = {"B": 1} | {
    f"{letter}{kind}": base ** (power + 1)
    for kind, base in (("B", 1000), ("iB", 1024))
    for power, letter in enumerate("KMGTP")
}
_SIZE = re.compile(r"(\d{1,18}(?:\.\d{1,6})?) ?([KMGTP]?i?B)?", re.ASCII)


def parse_size(value: object) -> int:
    """Returns a size in bytes.

    Raises:
        ValueError: it is not a size; the message says what one looks like.
    """
    match = None if isinstance(value, bool) else _SIZE.fullmatch(str(value).strip())
    unit = match and (match[2] or "B")
    if match is None or unit not in _UNITS:
        raise ValueError("a size is written like 500MiB, 2GiB, 10GB or 1048576 (bytes)")
    return int(float(match[1]) * _UNITS[unit]) if "." in match[1] else int(match[1]) * _UNITS[unit]
