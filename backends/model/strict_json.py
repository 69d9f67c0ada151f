"""JSON as two readers cannot read differently: what is ambiguous is refused (SECURITY section 2, "Parsing")."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, NoReturn

MAX_DEPTH = 64
MAX_DIGITS = 100
"""Of one integer: Python takes time with the square of them, and no reader of manifests has room for a fifth."""

_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
_NO_STRUCTURE = bytes(set(range(256)) - set(b'"[]{}'))
_OPENS = frozenset(b"[{")


def parse_json(content: bytes) -> Any:
    """Parses UTF-8 JSON.

    Raises:
        ValueError: not JSON, not UTF-8, a key twice in one object, NaN or Infinity, an unpaired surrogate, nested
            deeper than 64, an integer of more than 100 digits; the message says which.
    """
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"it is not UTF-8 at byte {error.start}") from None
    if _is_deep(content):
        raise ValueError(f"it is nested deeper than {MAX_DEPTH} levels")
    value = json.loads(text, object_pairs_hook=_unique, parse_int=_integer, parse_constant=_refuse_constant)
    if _SURROGATE.search(text):
        try:
            json.dumps(value, ensure_ascii=False).encode("utf-8")
        except UnicodeEncodeError:
            raise ValueError("it has an unpaired surrogate") from None
    return value


def spellings(*names: str) -> Mapping[str, str]:
    """Returns names by what Go's readers, which ignore upper and lower case, take for them."""
    return {name.casefold(): name for name in names}


def refuse_lookalikes(document: Mapping[str, Any], known: Mapping[str, str]) -> None:
    """Refuses keys that some readers would take for others.

    Args:
        document: a JSON object.
        known: the keys that mean something, as `spellings` returns them.

    Raises:
        ValueError: naming the key.
    """
    for key in document:
        name = known.get(key.casefold(), key)
        if name != key:
            raise ValueError(f"some clients would read the key {key!r} as {name!r}")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f"the key {twice!r} appears twice in one object")
    return result


def _integer(text: str) -> int:
    if len(text) > MAX_DIGITS:
        raise ValueError(f"an integer has more than {MAX_DIGITS} digits")
    return int(text)


def _refuse_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is not JSON")


def _is_deep(content: bytes) -> bool:
    """Whether it is nested too deep to be parsed by a recursive parser; a cheap bound first.

    Strings go first: escaped backslashes, escaped quotes, then everything between two quotes. Where the content is not
    JSON this may be wrong, but only behind the place where the parser stops.
    """
    if content.count(b"[") + content.count(b"{") <= MAX_DEPTH:
        return False
    bare = content.replace(b"\\\\", b"").replace(b'\\"', b"").translate(None, _NO_STRUCTURE)
    depth = 0
    for byte in b"".join(bare.split(b'"')[::2]):
        if byte in _OPENS:
            depth += 1
            if depth > MAX_DEPTH:
                return True
        else:
            depth -= 1
    return False
