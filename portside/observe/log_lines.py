"""One event as a line: logfmt, JSON, or logstash's JSON. PURE.

By hand, since the parent says its first lines while it starts, and a library for it takes longer to import than
Portside takes to serve.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

MESSAGE = {"text": "msg", "json": "msg", "logstash": "message"}
"""What the message is called in each form."""


def render(form: str, event: Mapping[str, Any], *, exception: str = "") -> str:
    """Returns an event as a line, without its end.

    Args:
        form: `text`, `json` or `logstash`.
        event: keys and values in the order in which they are to stand, `time` among them.
        exception: a traceback; in text it follows on lines of its own, indented, so that none passes for an event.
    """
    if form == "text":
        pairs = " ".join(f"{_key(key)}={_value(value)}" for key, value in event.items())
        return pairs + "".join(f"\n    {escaped(part)}" for part in exception.splitlines())
    shown = dict(event)
    if form == "logstash":
        shown = {"@version": "1", "@timestamp": shown.pop("time"), "type": "portside", **shown}
    if exception:
        shown["exception"] = exception
    return json.dumps(shown, default=str)


def escaped(text: str) -> str:
    """Returns text in which control characters are written out."""
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode() for character in text
    )


def _key(key: str) -> str:
    return "".join(character if character.isprintable() and character not in ' ="' else "_" for character in key)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    text = escaped(str(value))
    if text and not set(text) & set(' ="'):
        return text
    quoted = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{quoted}"'
