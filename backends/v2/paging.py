"""Pages of a listing: `n`, `last`, and the `Link` to the next page (distribution specification, "Listing tags")."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote

from backends.model.errors import ErrorCode, RegistryError

LONGEST = 9
"""Numbers with more digits are beyond any page."""


def parse_page_size(
    query: Mapping[str, str], *, default: int | None, most: int, refuses_more: bool = False
) -> int | None:
    """Returns `n`.

    Args:
        query: the request's.
        default: the answer when it is absent; None for everything.
        most: larger numbers count as this one.
        refuses_more: larger numbers are errors.

    Raises:
        RegistryError: PAGINATION_NUMBER_INVALID: it is not a number, or negative, or refused.
    """
    text = query.get("n", "")
    if not text:
        return default
    if not text.isascii() or not text.isdigit():
        raise RegistryError(
            ErrorCode.PAGINATION_NUMBER_INVALID, f"n={text[:20]!r} must be a number of entries, 0 or more"
        )
    asked = most + 1 if len(text) > LONGEST else int(text)
    if asked > most and refuses_more:
        raise RegistryError(
            ErrorCode.PAGINATION_NUMBER_INVALID,
            f"n={text[:20]} is more than {most}, the most that this registry lists at once (catalog.maxentries)",
        )
    return min(asked, most)


def next_link(path: str, *, last: str, size: int, kept: str = "") -> dict[str, str]:
    """Returns the header that leads to the page after `last`; `kept` is what else its query has, quoted."""
    more = f"&{kept}" if kept else ""
    return {"Link": f'<{path}?last={quote(last, safe="")}&n={size}{more}>; rel="next"'}
