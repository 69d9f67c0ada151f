"""The address at which a client asks again whose answer takes long: its own, with a count of how often it did.

Clients wait half a minute or a minute for the head of an answer, and give up after it; a redirect starts their clock
anew. All follow it, nine times at least (FOUND 37).
"""

from __future__ import annotations

KEY = "portside-wait"
"""In the query: how many redirects a client has followed already."""

REDIRECTS = 8
_COUNTS = {str(count): count for count in range(1, REDIRECTS + 1)}


def next_address(raw_path: str) -> str | None:
    """Returns path and query of the next request; None where a client has asked as often as it is sure to follow.

    Args:
        raw_path: path and query of this one.
    """
    path, _, query = raw_path.partition("?")
    fields = [field for field in query.split("&") if field]
    count = next((_COUNTS.get(value, 0) for key, _, value in map(_split, fields) if key == KEY), 0)
    if count >= REDIRECTS:
        return None
    rest = [field for field in fields if _split(field)[0] != KEY]
    return f"{path}?{'&'.join([*rest, f'{KEY}={count + 1}'])}"


def _split(field: str) -> tuple[str, str, str]:
    return field.partition("=")
