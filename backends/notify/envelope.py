"""An event as it is posted: distribution's envelope, byte for byte as Go's encoder lays it out. PURE.

Source: distribution `notifications/http.go` and `event.go`: one event in each envelope, indented by three spaces.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from backends.notify.settings import EndpointSettings

_ESCAPED = str.maketrans({character: f"\\u{ord(character):04x}" for character in "<>&\u2028\u2029"})
"""Go writes them so in any string; outside of strings JSON has none of them."""


@dataclass(frozen=True, slots=True)
class Parsed:
    """An event that was read: the object, and what endpoints may ignore it by."""

    document: dict[str, Any]
    action: str
    media_type: str

    def is_ignored_by(self, endpoint: EndpointSettings) -> bool:
        """Whether an endpoint does not want it: by its media type or by its action."""
        return self.media_type in endpoint.ignored_media_types or self.action in endpoint.ignored_actions


def parse_event(content: bytes) -> Parsed:
    """Reads an event.

    Raises:
        ValueError: it is not a JSON object.
    """
    document = json.loads(content)
    if not isinstance(document, dict):
        raise ValueError("an event must be a JSON object")
    target = document.get("target")
    media_type = target.get("mediaType") if isinstance(target, dict) else ""
    return Parsed(document, _text(document.get("action")), _text(media_type))


def encode_envelope(event: Parsed) -> bytes:
    """Returns the body of a POST."""
    text = json.dumps({"events": [event.document]}, indent=3, ensure_ascii=False)
    return text.translate(_ESCAPED).encode("utf-8", "replace")


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
