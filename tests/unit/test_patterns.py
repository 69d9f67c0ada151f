"""No regular expression is one that early versions of Python 3.11 get wrong.

A possessive repeat goes on from the wrong place there when what it repeats fails behind a repeat of its own
(gh-106052): `a(?:b++c)*+` finds `ab` in `abd`, and `fullmatch` may take half a text for a whole one.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
FILES = [path for folder in ("backends", "portside", "proxy") for path in sorted((ROOT / folder).rglob("*.py"))]
_REPEATS = {"MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"}
_parse = import_module("re._parser").parse  # nothing public tells what a pattern is made of


def patterns(file: Path) -> Iterator[str | bytes]:
    """Every text of a module that may be a pattern with a possessive repeat."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Constant) and isinstance(node.value, str | bytes):
            text = node.value if isinstance(node.value, str) else node.value.decode("latin-1")
            if re.search(r"[+*?}]\+", text):
                try:
                    re.compile(text)
                except re.error:
                    continue
                yield text


def parts_of(argument: Any) -> Iterator[Any]:
    """The sequences within an argument of an operation."""
    if type(argument).__name__ == "SubPattern":
        yield argument
    elif isinstance(argument, list | tuple):
        for each in argument:
            yield from parts_of(each)


def has_repeat(sequence: Any) -> bool:
    return any(
        str(name) in _REPEATS or any(has_repeat(part) for part in parts_of(argument)) for name, argument in sequence
    )


def may_fail_behind_a_repeat(sequence: Any) -> bool:
    """Whether something follows a repeat, here or within."""
    items = list(sequence)
    return any(has_repeat([item]) for item in items[:-1]) or any(
        may_fail_behind_a_repeat(part) for _, argument in items for part in parts_of(argument)
    )


def is_wrong(sequence: Any) -> bool:
    return any(
        (str(name) == "POSSESSIVE_REPEAT" and any(may_fail_behind_a_repeat(part) for part in parts_of(argument)))
        or any(is_wrong(part) for part in parts_of(argument))
        for name, argument in sequence
    )


def test_no_possessive_repeat_can_fail_behind_a_repeat_within() -> None:
    found = [(file.relative_to(ROOT).as_posix(), pattern) for file in FILES for pattern in patterns(file)]
    assert len(found) > 5
    assert [(file, pattern) for file, pattern in found if is_wrong(_parse(pattern))] == []


@pytest.mark.parametrize(
    ("pattern", "wrong"),
    [
        ("a(?:b++c)*+", True),
        ("[a-z0-9]++(?:(?:\\.|_{1,2}|-++)[a-z0-9]++)*+", True),
        ('([0-9a-f]++)(?:;[a-z]++(?:=(?:[a-z]++|"[a-z]*+"))?+)*+', True),
        ("(?:x(?:ab*c)?)++", True),
        ('"(?:[^"\\\\]++|\\\\.)*+"?', False),
        ("a*+b(?:c+d)*", False),
    ],
)
def test_what_is_wrong_is_recognised(pattern: str, *, wrong: bool) -> None:
    assert is_wrong(_parse(pattern)) == wrong
