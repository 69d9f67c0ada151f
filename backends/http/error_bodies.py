"""How each protocol writes an error, for the registries and for the proxy when it answers for one. PURE.

Docker 1.9 to 1.13 decide by v2's body whether they fall back to v1: what distribution sends, a canonical message *with
a detail*, makes them do so where an image is missing (WIRE section 2a).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from backends.model.errors import ErrorCode

MOST_ERRORS = 100


def v1_error(detail: str) -> bytes:
    """Returns `{"error": "<detail>"}`, written as docker-registry does."""
    return json.dumps({"error": detail}).encode("ascii")


def v2_error(
    code: ErrorCode,
    detail: str,
    *,
    message: str = "",
    facts: Mapping[str, object] | Sequence[object] | None = None,
    each: Sequence[str] = (),
) -> bytes:
    """Returns `{"errors": [{"code", "message", "detail"}]}` (distribution specification, "Error Codes").

    Args:
        code: what went wrong.
        detail: a sentence for a person.
        message: instead of the code's canonical one, for clients that show nothing else.
        facts: are the detail, instead of the sentence, where the message is that; where there are none, it is null.
        each: an error is sent for each of these, with it alone as the detail, as distribution does for each missing
            blob; if they are too many, the last error has the sentence.
    """
    details: list[object] = [*each[:MOST_ERRORS]]
    if len(each) > MOST_ERRORS or not each:
        details.append({"reason": detail} if facts is None else facts or None)
    errors = [{"code": code.name, "message": message or code.message, "detail": found} for found in details]
    return json.dumps({"errors": errors}, separators=(",", ":")).encode() + b"\n"
