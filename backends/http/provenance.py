"""What an answer says of an image that was converted for its client: of what it was made, and how."""

from __future__ import annotations

from collections.abc import Mapping

HEADER = "X-Portside-Converted"


def provenance(media_type: str, source: str, rule: str) -> Mapping[str, str]:
    """Returns the headers; clients show `Warning` to their users (OCI distribution specification, "Warnings").

    Args:
        media_type: the type of what was pushed.
        source: its digest, or the id of an image of v1.
        rule: the steps that made of it what is sent, in ASCII.
    """
    return {
        "Warning": f'299 - "converted for this client from {media_type}, {source} ({rule})"',
        HEADER: f'from="{media_type}"; digest="{source}"; rule="{rule}"',
    }
