"""Entity tags, and the conditions that clients put on them (RFC 9110 sections 8.8.3 and 13.1).

Each argument `lines` is every line of a header field: lists may be split over several lines.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

_TAG = re.compile(r'(W/)?("[^"\x00-\x20\x7f]*+")')


def none_match_fails(lines: Sequence[str], etag: str) -> bool:
    """Whether `If-None-Match` names this tag (or `*`, anything), so that its client has the content already.

    Tags are compared weakly: `W/"x"` names `"x"`. A tag without its quotes, which distribution takes too, is taken when
    it is the whole line.

    Args:
        lines: of `If-None-Match`.
        etag: the content's, with its quotes.
    """
    if _anything(lines) or etag[1:-1] in lines:
        return True
    return any(match[2] == etag for match in _tags(lines))


def match_holds(lines: Sequence[str], etag: str) -> bool:
    """Whether `If-Match` names this tag (or `*`). Tags are compared strongly: a weak one names nothing."""
    return _anything(lines) or any(match[0] == etag for match in _tags(lines))


def range_holds(line: str, *, etag: str | None, last_modified: str | None) -> bool:
    """Whether `If-Range` names exactly the content that is here, so that a part of it may be sent.

    Args:
        line: of `If-Range`: a strong tag, or the date that the client got.
        etag: the content's, with its quotes; None when it has none.
        last_modified: its `Last-Modified`; None when it has none.
    """
    return line.strip() in {validator for validator in (etag, last_modified) if validator}


def _anything(lines: Iterable[str]) -> bool:
    return any(line.strip() == "*" for line in lines)


def _tags(lines: Iterable[str]) -> Iterable[re.Match[str]]:
    return (match for line in lines for match in _TAG.finditer(line))
