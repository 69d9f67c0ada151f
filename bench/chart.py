"""`python -m bench.chart RESULT.json ROW FILE.svg`: one figure of a run of the bench, a bar for each contestant.

RESULT.json is what `python -m bench --json` writes; ROW is the key of a line of it, such as `pull.eight.cpu`. The chart
says which row it shows, of which day and machine, so that whoever doubts it can run the row again.
"""

from __future__ import annotations

import json
from pathlib import Path
from statistics import median
from typing import Any
from xml.sax.saxutils import escape

import click

from bench.floors import DISTRIBUTION, PORTSIDE, REFERENCE, ROLES, STATIC
from bench.table import number

NAMES = {
    REFERENCE: "nginx in front of distribution",
    DISTRIBUTION: "distribution 3, its own TLS",
    STATIC: "nginx, static files",
    PORTSIDE: "Portside",
    ROLES: "Portside, three processes",
}
"""Contestants as readers know them; others, such as an earlier build, have no bar."""

_WIDTH, _LEFT, _RIGHT = 720, 250, 130
_TOP, _BAR, _GAP = 64, 26, 14
_FONT = "font-family='system-ui, sans-serif' fill='#1f2328'"


def draw(result: dict[str, Any], key: str) -> str:
    """Returns the chart of a line as SVG. PURE.

    Args:
        result: what the bench wrote.
        key: the line's.

    Raises:
        LookupError: the bench has not measured it.
    """
    line = next((each for each in result["lines"] if each["key"] == key), None)
    if line is None:
        raise LookupError(f"there is no line {key}, only {', '.join(dict.fromkeys(e['key'] for e in result['lines']))}")
    samples = {name: line["samples"][name] for name in NAMES if name in line["samples"]}
    longest = max(median(each) for each in samples.values())
    heights = range(_TOP, _TOP + len(samples) * (_BAR + _GAP), _BAR + _GAP)
    bars = [_bar(name, figures, longest, y) for (name, figures), y in zip(samples.items(), heights, strict=True)]
    bottom = heights.stop
    title = f"{line['title']}, {line['unit']}"
    drawn = [
        _text(16, 28, title, size=16),
        _text(
            16, 48, "of all server processes; less is better; medians, in parentheses the least and the most", size=12
        ),
        *bars,
        _text(16, bottom + 12, f"row {key} of `make bench`, {result['date']}", size=11),
        _text(16, bottom + 30, result["about"], size=11),
    ]
    return "\n".join(
        [
            f"<svg xmlns='http://www.w3.org/2000/svg' width='{_WIDTH}' height='{bottom + 44}' role='img'>",
            f"<title>{escape(title)}</title>",
            "<rect width='100%' height='100%' fill='#ffffff'/>",
            *drawn,
            "</svg>\n",
        ]
    )


def _text(x: int, y: int, text: str, *, size: int, anchor: str = "start") -> str:
    return f"<text x='{x}' y='{y}' font-size='{size}' text-anchor='{anchor}' {_FONT}>{escape(text)}</text>"


def _bar(name: str, figures: list[float], longest: float, y: int) -> str:
    width = round(median(figures) / longest * (_WIDTH - _LEFT - _RIGHT))
    colour = "#1a7f37" if name in {PORTSIDE, ROLES} else "#8c959f"
    middle = y + _BAR - 8
    said = f"{number(median(figures))} ({number(min(figures))}..{number(max(figures))})"
    return "\n".join(
        [
            _text(_LEFT - 12, middle, NAMES[name], size=14, anchor="end"),
            f"<rect x='{_LEFT}' y='{y}' width='{width}' height='{_BAR}' rx='3' fill='{colour}'/>",
            _text(_LEFT + width + 8, middle, said, size=14),
        ]
    )


@click.command()
@click.argument("result", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("row")
@click.argument("chart", type=click.Path(dir_okay=False, path_type=Path))
def main(result: Path, row: str, chart: Path) -> None:
    """Draw one line of a bench's result."""
    try:
        chart.write_text(draw(json.loads(result.read_text()), row))
    except LookupError as error:
        raise click.ClickException(str(error)) from None


if __name__ == "__main__":
    main()
