"""Rows and their figures, bounds on these, and what a bound says of medians. PURE.

A bound says: the subject's median, divided by the other's median where there is one, keeps a limit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum


class Better(Enum):
    """Which way is better."""

    LESS = "≤"
    MORE = "≥"


class Verdict(Enum):
    """What a bound, or a line with several, says; the worst first."""

    BELOW = "below floor"
    FLOOR = "floor kept"
    AIM = "aim reached"
    OPEN = ""


@dataclass(frozen=True, slots=True)
class Bound:
    """What is asked.

    Attributes:
        subject: the contestant that must keep it.
        against: the contestant whose median divides the subject's; None for absolute figures.
        floor: the limit that must be kept.
        aim: the limit that one wishes to keep; None for none.
    """

    subject: str
    against: str | None
    floor: float
    aim: float | None = None


@dataclass(frozen=True, slots=True)
class Metric:
    """One figure of a row.

    Attributes:
        key: `row.figure`, as in `small.tag.cpu`.
        title: what it is, for readers.
        unit: of its samples.
    """

    key: str
    title: str
    unit: str
    better: Better
    bounds: tuple[Bound, ...] = ()


@dataclass(frozen=True, slots=True)
class Row:
    """What is measured together."""

    name: str
    title: str
    metrics: tuple[Metric, ...]


def keeps(value: float, limit: float, better: Better) -> bool:
    return value <= limit if better is Better.LESS else value >= limit


def judge(metric: Metric, bound: Bound, medians: Mapping[str, float]) -> Verdict:
    """Says whether a bound is kept; OPEN when a contestant was not measured."""
    value = compared(bound.subject, bound.against, medians)
    if value is None:
        return Verdict.OPEN
    if not keeps(value, bound.floor, metric.better):
        return Verdict.BELOW
    return Verdict.AIM if bound.aim is not None and keeps(value, bound.aim, metric.better) else Verdict.FLOOR


def compared(subject: str, against: str | None, medians: Mapping[str, float]) -> float | None:
    """Returns a median, or the ratio of two; None when there is none."""
    if subject not in medians:
        return None
    if against is None:
        return medians[subject]
    other = medians.get(against)
    return medians[subject] / other if other else None
