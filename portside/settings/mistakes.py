"""pydantic's findings in a person's words, without a secret."""

from __future__ import annotations

import re
from typing import Any

from portside.settings.remarks import Remark, refused

_SECRET = ("secret", "password", "key", "token")
_HIDDEN = frozenset({"headers", "fields", "options"})
# pydantic's sentences in a person's words.
_WORDS = {
    "Input should be a valid tuple": "it must be a list, such as [a, b]",
    "Input should be a valid list": "it must be a list, such as [a, b]",
    "Input should be a valid dictionary": "it must be a section: keys, each with a value",
    "Input should be a valid boolean, unable to interpret input": "it must be true or false",
    "Input should be a valid boolean": "it must be true or false",
    "Input should be a valid integer, unable to parse string as an integer": "it must be a whole number",
    "Input should be a valid integer, got a number with a fractional part": "it must be a whole number",
    "Input should be a valid integer": "it must be a whole number",
    "Input should be a valid number, unable to parse string as a number": "it must be a number",
    "Input should be a valid string": "it must be text",
    "Input should be": "it must be",
    "Field required": "it is missing",
}
_INSTANCE = re.compile(r" or instance of \w+")


def describe_mistake(found: Any) -> Remark:
    """Returns what is wrong: the path, what is allowed, what was found."""
    path = ".".join(str(part) for part in found["loc"])
    message = _INSTANCE.sub("", str(found["msg"]).removeprefix("Value error, "))
    for theirs, plainly in _WORDS.items():
        message = message.replace(theirs, plainly)
    value = found.get("input")
    hidden = _is_secret(path) or isinstance(value, dict | list | tuple) or "@" in str(value) or repr(value) in message
    shown = "" if hidden else " (it is empty)" if value is None else f" (it is {value!r:.80})"
    return refused(path, f"{message[:1].lower()}{message[1:]}{shown}")


def _is_secret(path: str) -> bool:
    """Whether a value must not be shown: a header may be an Authorization, a field anything."""
    parts = path.split(".")
    return not _HIDDEN.isdisjoint(parts) or any(word in parts[-1] for word in _SECRET)
