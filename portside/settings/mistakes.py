"""pydantic's findings in a person's words, without a secret."""

from __future__ import annotations

import re
from typing import Any

from backends.http.masking import MASK, masked
from portside.settings.remarks import Remark, refused

_SECRET = ("secret", "password", "key", "token")
_ANYTHING = frozenset({"headers", "fields", "options"})
"""Sections whose values may be anything: a header may be an Authorization, a field whatever its owner writes."""
_WITH_SECRETS = ("redis", "notifications", "health", "log.hooks", "middleware", "auth", "proxy", "storage")
"""Where text stands in place of one of these, or of a section in it, it may be what belongs into it."""
_NOT_A_SECTION = frozenset({"dict_type", "list_type", "tuple_type", "model_type", "model_attributes_type"})
_TUPLE = "Input should be a valid tuple"
# pydantic's sentences in a person's words.
_WORDS = {
    _TUPLE: "it must be a list, such as [a, b]",
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
    if isinstance(value, dict) and message == _WORDS[_TUPLE]:
        message = "it must be a list: write `- ` before the first key of each entry"
    is_text = not isinstance(value, dict | list | tuple) and "@" not in str(value)
    hidden = _is_secret(path, str(found["type"])) or not is_text or repr(value) in message
    shown = "" if hidden else " (it is empty)" if value is None else f" (it is {value!r:.80})"
    return refused(path, f"{message[:1].lower()}{message[1:]}{shown}")


def shown_address(text: str) -> str:
    """Returns what was written in the place of an address, as a message may show it: there may be a password in it."""
    scheme, mark, rest = text.rpartition("://")
    if "@" in rest:
        rest = f"{MASK}@{rest.rpartition('@')[2]}"
    return f"{masked(f'{scheme}{mark}{rest}')!r:.80}"


def _is_secret(path: str, kind: str) -> bool:
    """Whether a value must not be shown."""
    steps = path.split(".")
    if not _ANYTHING.isdisjoint(steps) or any(word in steps[-1] for word in _SECRET):
        return True
    return kind in _NOT_A_SECTION and f"{path}.".startswith(tuple(f"{each}." for each in _WITH_SECRETS))
