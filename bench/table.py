"""The table: medians, spreads, ratios, floors, verdicts, as text and as JSON. PURE."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from statistics import median
from typing import Any

from bench.floors import EARLIER, PEERS, PORTSIDE
from bench.judging import Better, Bound, Metric, Verdict, compared, judge

_ORDER = tuple(Verdict)
_LARGEST_DENOMINATOR = 20


@dataclass(frozen=True, slots=True)
class Line:
    """A metric's samples, and what they say about one of Portside's forms.

    Attributes:
        samples: figures of all rounds, by contestant.
        subject: the form that is compared and judged.
    """

    metric: Metric
    samples: Mapping[str, Sequence[float]]
    subject: str

    @property
    def medians(self) -> dict[str, float]:
        return {name: median(figures) for name, figures in self.samples.items() if figures}

    @property
    def bounds(self) -> tuple[Bound, ...]:
        return tuple(bound for bound in self.metric.bounds if bound.subject == self.subject)

    @property
    def verdict(self) -> Verdict:
        """The worst of its bounds' verdicts; OPEN only when none could be judged."""
        said = {judge(self.metric, bound, self.medians) for bound in self.bounds} - {Verdict.OPEN}
        return next((verdict for verdict in _ORDER if verdict in said), Verdict.OPEN)

    def ratio(self, against: str) -> float | None:
        """The subject's median divided by another's."""
        return compared(self.subject, against, self.medians)


def lines_of(metric: Metric, samples: Mapping[str, Sequence[float]]) -> tuple[Line, ...]:
    """Returns one line for each form that the metric asks something of; one for Portside where it asks nothing
    of those that were measured."""
    asked = dict.fromkeys(bound.subject for bound in metric.bounds)
    subjects = [subject for subject in asked if subject in samples] or [PORTSIDE]
    return tuple(Line(metric, samples, subject) for subject in subjects)


def below_floor(lines: Sequence[Line]) -> bool:
    return any(line.verdict is Verdict.BELOW for line in lines)


def figure(samples: Sequence[float]) -> str:
    """Returns the median and, in parentheses, the least and the most."""
    return f"{number(median(samples))} ({number(min(samples))}..{number(max(samples))})"


def render(lines: Sequence[Line], contestants: Sequence[str]) -> str:
    """Returns the table as text: one row for each line, columns as wide as they must be."""
    before = any(name in contestants for name in EARLIER.values())
    heads = ["", "unit", *contestants, *(f"/{peer}" for peer in PEERS), *(["/before"] if before else []), "floor", ""]
    rows = [heads, *(_cells(line, contestants, before=before) for line in lines)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(heads))]
    numbers = range(2, len(heads) - 2)
    return "\n".join(
        "  ".join(
            cell.rjust(widths[column]) if column in numbers else cell.ljust(widths[column])
            for column, cell in enumerate(row)
        ).rstrip()
        for row in rows
    )


def as_json(lines: Sequence[Line]) -> list[dict[str, Any]]:
    """Returns everything that the table shows, and every sample."""
    return [
        {
            "key": line.metric.key,
            "title": line.metric.title,
            "unit": line.metric.unit,
            "subject": line.subject,
            "samples": {name: list(figures) for name, figures in line.samples.items()},
            "medians": line.medians,
            "ratios": {other: line.ratio(other) for other in (*PEERS, EARLIER[line.subject])},
            "floor": _asked(line),
            "verdict": line.verdict.value,
        }
        for line in lines
    ]


def number(value: float) -> str:
    """Returns three significant digits without an exponent."""
    if value == 0:
        return "0"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}" if abs(value) >= 0.001 else f"{value:.4f}"


def _cells(line: Line, contestants: Sequence[str], *, before: bool) -> list[str]:
    medians = line.medians
    figures = [figure(line.samples[name]) if name in medians else "" for name in contestants]
    others = (*PEERS, *((EARLIER[line.subject],) if before else ()))
    ratios = ["" if (ratio := line.ratio(other)) is None else number(ratio) for other in others]
    title = line.metric.title if line.subject == PORTSIDE else f"  {line.subject}"
    return [title, line.metric.unit, *figures, *ratios, _asked(line), line.verdict.value]


def _asked(line: Line) -> str:
    """Every floor; where there are several, those that are not kept say so."""
    return ", ".join(_limit(bound, line.metric.better) + _broken(line, bound) for bound in line.bounds)


def _broken(line: Line, bound: Bound) -> str:
    below = len(line.bounds) > 1 and judge(line.metric, bound, line.medians) is Verdict.BELOW
    return " (no)" if below else ""


def _limit(bound: Bound, better: Better) -> str:
    fraction = Fraction(bound.floor).limit_denominator(_LARGEST_DENOMINATOR)
    readable = f"{fraction}" if bound.against and fraction.numerator == 1 else f"{bound.floor:g}"
    return f"{better.value} {readable}" + (f" {bound.against}" if bound.against else "")
