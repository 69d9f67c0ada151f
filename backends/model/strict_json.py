"""JSON as two readers cannot read differently: what is ambiguous is refused (SECURITY section 2, "Parsing")."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, NoReturn

MAX_DEPTH = 64


def parse_json(content: bytes) -> Any:
    """Parses UTF-8 JSON.

    Raises:
        ValueError: not JSON, not UTF-8, a key twice in one object, NaN or Infinity, an unpaired surrogate, nested
            deeper than 64; the message says which.
    """
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"it is not UTF-8 at byte {error.start}") from None
    if _depth(text) > MAX_DEPTH:
        raise ValueError(f"it is nested deeper than {MAX_DEPTH} levels")
    value = json.loads(text, object_pairs_hook=_unique, parse_constant=_refuse_constant)
    if "\\ud" in text.lower():
        try:
            json.dumps(value, ensure_ascii=False).encode("utf-8")
        except UnicodeEncodeError:
            raise ValueError("it has an unpaired surrogate") from None
    return value


def refuse_lookalikes(document: Mapping[str, Any], names: Iterable[str]) -> None:
    """Refuses keys that some readers (Go's) take for one of `names`, since they do not mind upper and lower case.

    Raises:
        ValueError: naming the key.
    """
    known = {name.casefold(): name for name in names}
    for key in document:
        name = known.get(key.casefold(), key)
        if name != key:
            raise ValueError(f"some clients would read the key {key!r} as {name!r}")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f"the key {twice!r} stands twice in one object")
    return result


def _refuse_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is not JSON")


def _depth(text: str) -> int:
    """Returns an upper bound of the nesting: brackets inside strings count too, a cheap bound first."""
    if text.count("[") + text.count("{") <= MAX_DEPTH:
        return 0
    deepest = depth = 0
    in_string = escaped = False
    for character in text:
        if in_string:
            if escaped:
                escaped = False
            elif character == "\\":
                escaped = True
            elif character == '"':
                in_string = False
        elif character == '"':
            in_string = True
        elif character in "[{":
            depth += 1
            deepest = max(deepest, depth)
            if depth > MAX_DEPTH:
                break
        elif character in "]}":
            depth -= 1
    return deepest
