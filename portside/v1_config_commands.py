"""What `portside v1 config check` prints."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from portside.problems import Problem
from portside.server.listening import show_address
from portside.settings.docker_registry.flavors import Source
from portside.settings.remarks import Kind
from portside.settings.v1_checking import Explanation, Line, explain


def report_lines(path: Path | None, environment: Mapping[str, str]) -> tuple[list[str], bool]:
    """Returns lines for a terminal, and whether it would start."""
    try:
        found = explain(path, environment)
    except Problem as problem:
        return [str(problem), "it would not start"], False
    return [*_table(found), *_verdict(found)], found.starts


def report_json(path: Path | None, environment: Mapping[str, str]) -> tuple[str, bool]:
    """Returns one JSON object, and whether it would start."""
    try:
        found = explain(path, environment)
    except Problem as problem:
        nothing = dict.fromkeys(("line", "key", "variable", "source"))
        only: dict[str, object] = {**nothing, "verdict": Kind.REFUSED.value, "becomes": {}, "message": str(problem)}
        about = {"file": str(path) if path is not None else None, "flavor": None, "starts": False}
        return json.dumps({**about, "lines": [only]}, indent=2), False
    lines = [
        {
            "line": each.line or None,
            "key": each.key or None,
            "variable": each.variable or None,
            "source": each.source.value if each.key or each.variable else None,
            "verdict": each.verdict.value,
            "becomes": dict(each.becomes),
            "message": each.text or None,
        }
        for each in found.lines
    ]
    about = {"file": str(found.path) if found.path is not None else None, "flavor": found.flavor or None}
    return json.dumps({**about, "starts": found.starts, "lines": lines}, indent=2, default=str), found.starts


def _table(found: Explanation) -> Iterator[str]:
    width = max((len(each.key or each.variable) for each in found.lines), default=0)
    before = None
    for each in found.lines:
        place = _place(each, found)
        if place != before:
            yield f"{place}:"
            before = place
        number = str(each.line) if each.line else ""
        yield f"{number:>5}  {each.key or each.variable:{width}}  {each.verdict.value:10}  {_why(each)}".rstrip()


def _place(line: Line, found: Explanation) -> str:
    if line.key:
        place = str(found.path) if found.path is not None else "the official image's settings"
        flavor = f", flavor {found.flavor}" if found.flavor else ""
        return place + flavor + (" (SETTINGS_FLAVOR)" if found.flavor and found.chosen_by else "")
    return "the environment" if line.variable else "besides"


def _why(line: Line) -> str:
    parts = [f"{key} = {json.dumps(value, default=str)}" for key, value in line.becomes.items()]
    if line.text and line.verdict is Kind.USED and not parts:
        parts = [line.text]
    elif line.text:
        parts = [line.text, *(f"({part})" for part in parts if line.verdict is Kind.USED)]
    return ", ".join(parts) + (_from(line) if line.key and line.verdict is Kind.USED else "")


def _from(line: Line) -> str:
    if not line.variable:
        return ""
    return f", by {line.variable}" if line.source is Source.VARIABLE else f", since {line.variable} is not set"


def _verdict(found: Explanation) -> Iterator[str]:
    refused = sum(each.verdict is Kind.REFUSED for each in found.lines)
    if not found.starts or found.settings is None:
        yield f"`portside v1` would not start: see what is refused ({refused})"
        return
    where = ", ".join(show_address(each.address) for each in found.settings.listeners)
    place = found.settings.v1_storage.root or "memory"
    yield f"`portside v1` would start, listen on {where} and have its data in {place}"
