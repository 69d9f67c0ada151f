"""Pages of a listing: `n`, `last`, and the `Link` to the next page (distribution specification, "Listing tags")."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote

from backends.model.errors import ErrorCode, RegistryError


def parse_page_size(query: Mapping[str, str], *, default: int | None, most: int) -> int | None:
    """Returns `n`, clamped to `most`; `default` when it is absent (None: everything).

    Raises:
        RegistryError: PAGINATION_NUMBER_INVALID: it is not a number, or negative.
    """
    text = query.get("n", "")
    if not text:
        return default
    if not text.isascii() or not text.isdigit():
        raise RegistryError(
            ErrorCode.PAGINATION_NUMBER_INVALID, f"n={text[:20]!r} must be a number of entries, 0 or more"
        )
    return most if len(text) > 9 else min(int(text), most)  # noqa: PLR2004 - longer numbers are beyond any page


def next_link(path: str, *, last: str, size: int, kept: str = "") -> dict[str, str]:
    """Returns the header that leads to the page after `last`; `kept` is what else its query has, quoted."""
    more = f"&{kept}" if kept else ""
    return {"Link": f'<{path}?last={quote(last, safe="")}&n={size}{more}>; rel="next"'}
