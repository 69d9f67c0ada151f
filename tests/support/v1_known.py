"""In what Portside's v1 is known to differ from docker-registry 0.9.1: `tests/data/differences-v1/known/`.

`python -m tests.support.v1_known` asks Portside, and writes the files anew; what differs otherwise than it did gets the
name `?`, for which there is no row in `docs/differences-v1.md`.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import yaml

from tests.support.commands import running_command
from tests.support.ports import free_port
from tests.support.v1_differences import DATA, Table, compare, load_rules, load_tables, send
from tests.support.v1_recordings import read_recording

WHERE: Final = ("v1", ":5000")
"""`portside v1` alone, and behind Portside's proxy."""

Known = Mapping[str, frozenset[str]]
"""The facets in which two answers differ, by the name of the difference."""


def load_known(table: Table, where: str) -> list[Known]:
    """In what the answers to each step of a table are known to differ, of Portside's v1 alone, or behind its proxy."""
    found: list[Known] = [{} for _ in table.steps]
    for line in _known_file(table).read_text().splitlines():
        places, number, title, *named = line.split(" | ")
        if where not in places.split():
            continue
        assert table.steps[int(number)].title == title, f"{line}: that step is {table.steps[int(number)].title}"
        found[int(number)] = dict(_parse_facets(each) for each in named)
    return found


def _parse_facets(text: str) -> tuple[str, frozenset[str]]:
    name, _, facets = text.partition(": ")
    return name, frozenset(facets.split(", "))


def write_known(table: Table, known: Mapping[str, Sequence[Known]]) -> None:
    """Writes them: `known` by place, for each step."""
    lines = []
    for number, step in enumerate(table.steps):
        by_text: dict[str, list[str]] = {}
        for where, each in known.items():
            text = " | ".join(f"{name}: {', '.join(sorted(facets))}" for name, facets in sorted(each[number].items()))
            by_text.setdefault(text, []).append(where)
        lines += [f"{' '.join(places)} | {number} | {step.title} | {text}" for text, places in by_text.items() if text]
    _known_file(table).parent.mkdir(exist_ok=True)
    _known_file(table).write_text("".join(f"{line}\n" for line in lines))


def _known_file(table: Table) -> Path:
    return DATA / "known" / f"{table.name}.txt"


def named_differences(tables: Sequence[Table], where: str) -> set[str]:
    """The name of each difference that some request is known to show."""
    return {name for table in tables for known in load_known(table, where) for name in known}


@contextlib.contextmanager
def serving(where: str, table: Table, folder: Path) -> Iterator[int]:
    """Runs `portside v1`, or all of Portside, over a fresh volume."""
    port = free_port()
    settings = merge(
        {
            "version": 0.1,
            "log": {"level": "info", "accesslog": {"disabled": True}},
            "storage": {"filesystem": {"rootdirectory": str(folder / "data")}, "delete": {"enabled": True}},
            "http": {"addr": f"127.0.0.1:{port}"},
        },
        table.settings,
    )
    config = folder / "config.yml"
    config.write_text(yaml.safe_dump(settings))
    with running_command("v1" if where == "v1" else "serve", config, folder=folder, port=port):
        yield port


def merge(settings: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    """Returns settings with more of them, section by section."""
    merged = dict(settings)
    for name, value in more.items():
        merged[name] = merge(merged.get(name, {}), value) if isinstance(value, Mapping) else value
    return merged


def _named(facets: frozenset[str], known: Known) -> Known:
    """Names facets as they were."""
    named = {name: each & facets for name, each in known.items() if each & facets}
    unknown = facets - frozenset[str]().union(*named.values())
    return {**named, "?": unknown} if unknown else named


if __name__ == "__main__":
    for each in load_tables():
        found: dict[str, list[Known]] = {}
        for place in WHERE:
            with tempfile.TemporaryDirectory() as temporary, serving(place, each, Path(temporary)) as at:
                answered = [send(at, asked) for asked in each.steps]
            together = zip(read_recording(each), answered, load_known(each, place), strict=True)
            rules = load_rules(place).keys()
            found[place] = [_named(compare(theirs, ours) - rules, known) for theirs, ours, known in together]
        write_known(each, found)
