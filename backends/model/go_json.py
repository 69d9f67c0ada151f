r"""JSON as Go reads and writes it, with the values of members as they were written (FORMATS sections 2.1 and 8). PURE.

Digests are of bytes: a member that passes from one document to another must keep its text, so `1.50` stays `1.50`,
`"\/"` stays `"\/"`, and keys within a value keep their order. What Go's encoder changes in a raw value is changed here
too: blanks between tokens go, and `<`, `>`, `&`, U+2028 and U+2029 become escapes. Older Go's form is written, as
Docker's images of all years have it: of control characters `\n`, `\r` and `\t` are short, all others `\u00XX`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from backends.model.strict_json import parse_json

_HTML = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}
_SHORT = {"\\b": "\\u0008", "\\f": "\\u000c"}
_ESCAPED = re.compile(r"\\.")
_NOT_BLANK = re.compile(r'"(?:[^"\\]++|\\.)*+"?|[^" \t\r\n]++', re.DOTALL)
_BLANK = re.compile(r"[ \t\r\n]*+")
_TOKEN = re.compile(r'"(?:[^"\\]++|\\.)*+"?|[^][{},:"]++|[][{},:]', re.DOTALL)
_OPENS, _CLOSES, _BREAKS = frozenset("[{"), frozenset("]}"), frozenset("[{,")
_DECODER = json.JSONDecoder()
_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))
INDENT = "   "
"""Three spaces, as Docker, distribution and skopeo indent manifests."""


def parse_members(text: str) -> dict[str, str]:
    """Returns the members of a JSON object: by their keys, in its order, the text of their values.

    Raises:
        ValueError: it is not an object, or not JSON with one meaning (`strict_json`).
    """
    return parse_object(text)[1]


def parse_object(text: str) -> tuple[dict[str, Any], dict[str, str]]:
    """Returns the members of a JSON object twice: by their keys their values, and the text of these.

    Raises:
        ValueError: as of `parse_members`.
    """
    values = parse_json(text.encode("utf-8"))
    if not isinstance(values, dict):
        raise ValueError("it is not a JSON object")
    return values, dict(zip(values, _values_of(text, len(values)), strict=True))


def _values_of(text: str, count: int) -> list[str]:
    """Returns the text of each value of an object, which is known to be one."""
    found = []
    position = text.index("{") + 1
    for _ in range(count):
        _, end_of_key = _DECODER.raw_decode(text, _skip_blank(text, position))
        start = _skip_blank(text, _skip_blank(text, end_of_key) + 1)
        _, end = _DECODER.raw_decode(text, start)
        found.append(text[start:end])
        position = _skip_blank(text, end) + 1
    return found


def _skip_blank(text: str, position: int) -> int:
    match = _BLANK.match(text, position)
    assert match is not None
    return match.end()


def dump(value: Any) -> str:
    """Writes a value without blanks, as Go's `json.Marshal`: text, whole numbers, lists, objects in their order."""
    text = _escape(_ENCODER.encode(value))
    if "\\b" not in text and "\\f" not in text:
        return text
    return _ESCAPED.sub(lambda match: _SHORT.get(match[0], match[0]), text)


def dump_members(members: Mapping[str, str]) -> str:
    """Writes an object of raw values, its keys in the order of their bytes, as Go writes a map."""
    return join_members(dict(sorted(members.items())))


def join_members(members: Mapping[str, str]) -> str:
    """Writes an object of raw values in their order."""
    return "{" + ",".join([f"{dump(key)}:{compact(raw)}" for key, raw in members.items()]) + "}"


def compact(raw: str) -> str:
    """Returns a JSON text as Go writes a raw value: without blanks between tokens, HTML's characters escaped.

    The text is known to be JSON; of any other, something is returned in linear time.
    """
    return _escape("".join(_NOT_BLANK.findall(raw)))


def _escape(text: str) -> str:
    for character, escaped in _HTML.items():
        if character in text:
            text = text.replace(character, escaped)
    return text


def indent(raw: str) -> str:
    """Returns a JSON text with three spaces for each level, as Go's `json.MarshalIndent` lays it out."""
    written: list[str] = []
    depth, before = 0, ""
    for part in _TOKEN.findall(compact(raw)):
        depth -= part in _CLOSES
        if before in _OPENS if part in _CLOSES else before not in _BREAKS:
            written.append(": " if part == ":" else part)
        else:
            written.append("\n" + INDENT * depth + part)
        depth += part in _OPENS
        before = part
    return "".join(written)
