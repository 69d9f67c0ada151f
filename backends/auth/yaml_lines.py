"""YAML as a tree whose every value knows its line, read with bounds. PURE.

Every scalar is its source text (`on`, `yes` and `123` are names like others). Nothing is constructed, nothing expands:
an alias is the value that its anchor has, and no tag has a meaning.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

MAX_DEPTH = 16

_Parser: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times as fast, where PyYAML has libyaml
_PLAIN_TAGS = frozenset({None, "!", *(f"tag:yaml.org,2002:{kind}" for kind in ("str", "seq", "map"))})

_TAB = "'\\t'"
# What the parsers say, by a part of it, in the words of a person who writes a file of rules.
_WORDS = {
    _TAB: "the indentation has a tab; YAML allows only spaces",
    "cannot start any token": "text that begins with `*`, `&`, `@`, `%` or the like must be in quotes",
    "alphabetic or numeric character": "text that begins with `*` or `&` must be in quotes",
    "mapping values are not allowed": "no key can stand here; look at the indentation of this line and the one above",
    "'-' indicator": "the entries of a list begin in one column, each with `- `",
    "<block end>": "the entries of a list begin in one column, each with `- `, and so do the keys of one entry",
    "expected key": "the keys of one entry begin in one column",
    "':'": "there is a key without `:` and a space after it",
    "end of stream": "a quotation mark is not closed",
    "or ']'": "a list in [ ] is not closed, or lacks a comma",
    "or '}'": "an entry in { } is not closed, or lacks a comma",
    "<document start>": "only one list can stand in the file",
    "unknown escape": "`\\\\` in double quotes begins an escape; write it in single quotes",
    "node content": "something is missing here, or a `{` or `[` is not closed",
    "special characters are not allowed": "there is a character that YAML forbids; look for control characters",
    "control characters are not allowed": "there is a character that YAML forbids; look for control characters",
}


class YamlError(Exception):
    """A text that is not valid YAML, or more than is read.

    Attributes:
        line: from 1.
        sentence: what is wrong.
    """

    def __init__(self, line: int, sentence: str) -> None:
        super().__init__(line, sentence)
        self.line = line
        self.sentence = sentence


@dataclass(frozen=True, slots=True)
class Text:
    """A scalar.

    Attributes:
        is_plain: it has no quotes, so YAML might take it for something else than text.
    """

    line: int
    value: str
    is_plain: bool


@dataclass(slots=True)
class Items:
    """A list."""

    line: int
    values: list[Value] = field(default_factory=list)


@dataclass(slots=True)
class Keys:
    """A mapping, with keys that stand twice.

    Attributes:
        source: its source text.
    """

    line: int
    pairs: list[tuple[Value, Value]] = field(default_factory=list)
    source: str = ""


Value = Text | Items | Keys


def read_lines(text: str) -> Value | None:
    """Returns the one document; None where there is nothing.

    Raises:
        YamlError: it is not valid YAML, or uses more of it than is read here.
    """
    lines = text.split("\n")
    try:
        return _build(yaml.parse(text, Loader=_Parser), lines)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        said = str(getattr(error, "problem", None) or error)
        at = mark.line if mark is not None else 0
        if re.match(r" *\t", lines[min(at, len(lines) - 1)]):
            said = _TAB
        why = next((words for theirs, words in _WORDS.items() if theirs in said), said)
        raise YamlError(at + 1, why) from None


@dataclass(slots=True)
class _Open:
    """A list or mapping that is being read."""

    value: Items | Keys
    start: Any
    anchor: str | None
    key: Value | None = None


def _build(events: Iterator[Any], lines: list[str]) -> Value | None:
    root: Value | None = None
    stack: list[_Open] = []
    anchors: dict[str, Value | None] = {}
    documents = 0
    end: Any = None  # of what was read last
    for event in events:
        begins, ends = event.start_mark, event.end_mark
        line = begins.line + 1
        match event:
            case yaml.DocumentStartEvent():
                documents += 1
                if documents > 1:
                    raise YamlError(line, "only one list can stand in the file; take out the `---`")
                continue
            case yaml.AliasEvent():
                found = anchors.get(str(event.anchor))
                if found is None:
                    raise YamlError(
                        line, f"`*{event.anchor}` stands for nothing before it; put text with a `*` in quotes"
                    )
                end, value = ends, found
            case yaml.ScalarEvent():
                _require_plain_tag(event, line)
                end, value = ends, Text(line, event.value, not event.style)
                if event.anchor:
                    anchors[event.anchor] = value
            case yaml.SequenceStartEvent() | yaml.MappingStartEvent():
                _require_plain_tag(event, line)
                if len(stack) >= MAX_DEPTH:
                    raise YamlError(line, "this is nested too deeply")
                made = Items(line) if isinstance(event, yaml.SequenceStartEvent) else Keys(line)
                stack.append(_Open(made, begins, event.anchor))
                if event.anchor:
                    anchors[event.anchor] = None
                continue
            case yaml.SequenceEndEvent() | yaml.MappingEndEvent():
                closed = stack.pop()
                value = closed.value
                if ends.index > begins.index or end is None:  # a bracket; else it ends by its indentation
                    end = ends
                if isinstance(value, Keys):
                    value.source = _source(lines, closed.start, end)
                if closed.anchor:
                    anchors[closed.anchor] = value
            case _:
                continue
        if not stack:
            root = value
        else:
            _add(stack[-1], value)
    return root


def _add(above: _Open, value: Value) -> None:
    if isinstance(above.value, Items):
        above.value.values.append(value)
    elif above.key is None:
        above.key = value
    else:
        above.value.pairs.append((above.key, value))
        above.key = None


def _require_plain_tag(event: Any, line: int) -> None:
    if event.tag not in _PLAIN_TAGS:
        raise YamlError(line, f"the tag {event.tag!r} has no meaning here; take it out, or put the text in quotes")


def _source(lines: list[str], start: Any, end: Any) -> str:
    """Returns what stands between two places, without the indentation that all of it has."""
    taken = lines[start.line : end.line + 1]
    if not taken:
        return ""
    taken[-1] = taken[-1][: end.column]
    taken[0] = taken[0][start.column :]
    return "\n".join([taken[0], *(each.removeprefix(" " * start.column) for each in taken[1:])]).rstrip()
