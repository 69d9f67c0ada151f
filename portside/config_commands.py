"""What `portside config check` and `portside config schema` print."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from portside.problems import Problem
from portside.settings.checking import Line, Report, check
from portside.settings.remarks import Kind
from portside.settings.settings import Role


def report_lines(role: str, path: Path | None, environment: Mapping[str, str]) -> tuple[list[str], bool]:
    """Returns lines for a terminal, and whether it would start."""
    try:
        report = check(Role(role), path, environment)
    except Problem as problem:
        return [str(problem), "it would not start"], False
    return [*_table(report, path), _verdict(role, report)], report.starts


def report_json(role: str, path: Path | None, environment: Mapping[str, str]) -> tuple[str, bool]:
    """Returns one JSON object, and whether it would start."""
    about = {"file": str(path) if path is not None else None, "role": role}
    try:
        report = check(Role(role), path, environment)
    except Problem as problem:
        only = {"line": None, "variable": None, "key": None, "verdict": Kind.REFUSED.value, "message": str(problem)}
        return json.dumps({**about, "starts": False, "lines": [only]}, indent=2), False
    lines = [
        {
            "line": each.line or None,
            "variable": each.variable or None,
            "key": each.key or None,
            "verdict": each.verdict.value,
            "message": each.text or None,
        }
        for each in report.lines
    ]
    return json.dumps({**about, "starts": report.starts, "lines": lines}, indent=2), report.starts


def _table(report: Report, path: Path | None) -> Iterator[str]:
    width = max((len(_name(each)) for each in report.lines), default=0)
    before = None
    for each in report.lines:
        place = str(path) if each.line else "the environment" if each.variable else "besides"
        if place != before:
            yield f"{place}:"
            before = place
        number = str(each.line) if each.line else ""
        yield f"{number:>5}  {_name(each):{width}}  {each.verdict.value:11}  {_why(each)}".rstrip()


def _name(line: Line) -> str:
    return line.variable or line.key or ("-" if line.line else "")


def _why(line: Line) -> str:
    """Leaves out what stands at the beginning of the line anyhow."""
    text = line.text
    for name in (line.variable, line.key):
        if name and text.startswith((f"{name}:", f"{name} ")):
            text = text.removeprefix(name).removeprefix(" (environment)").lstrip(": ")
    return f"{line.key}: {text}".rstrip(": ") if line.variable and line.key else text


def _verdict(role: str, report: Report) -> str:
    refused = sum(each.verdict is Kind.REFUSED for each in report.lines)
    if report.starts:
        return f"`portside {role}` would start with these settings"
    return f"`portside {role}` would not start: see what is refused ({refused})"
