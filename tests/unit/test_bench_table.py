"""What bench/ makes of its samples: medians, ratios, floors, verdicts and the table."""

from __future__ import annotations

import pytest

from bench.floors import DISTRIBUTION, PORTSIDE, REFERENCE, ROLES, ROWS, STATIC, rows_named
from bench.judging import Better, Bound, Metric, Verdict, judge
from bench.table import Line, as_json, below_floor, figure, lines_of, number, render

CPU = Metric(
    "small.tag.cpu",
    "manifest: CPU",
    "s/10k",
    Better.LESS,
    (Bound(PORTSIDE, REFERENCE, 1 / 8, 1 / 18), Bound(ROLES, REFERENCE, 1 / 3, 1 / 5)),
)
RATE = Metric("small.tag.rps", "manifest: rate", "1/s", Better.MORE, (Bound(PORTSIDE, REFERENCE, 8, 18),))
PULL = Metric(
    "pull.cpu", "pull: CPU", "s/GB", Better.LESS, (Bound(PORTSIDE, REFERENCE, 0.5), Bound(PORTSIDE, STATIC, 1))
)
START = Metric("start.ms", "cold start", "ms", Better.LESS, (Bound(PORTSIDE, None, 600, 300),))


@pytest.mark.parametrize(
    ("metric", "portside", "verdict"),
    [
        (CPU, 2.01, Verdict.BELOW),
        (CPU, 2.0, Verdict.FLOOR),
        (CPU, 0.8, Verdict.AIM),
        (RATE, 127.0, Verdict.BELOW),
        (RATE, 128.0, Verdict.FLOOR),
        (RATE, 288.0, Verdict.AIM),
        (START, 601.0, Verdict.BELOW),
        (START, 600.0, Verdict.FLOOR),
    ],
)
def test_a_floor_is_kept_up_to_its_very_limit(metric: Metric, portside: float, verdict: Verdict) -> None:
    assert judge(metric, metric.bounds[0], {REFERENCE: 16.0, PORTSIDE: portside}) is verdict


def test_the_median_of_the_rounds_is_judged_and_not_their_mean() -> None:
    (line,) = lines_of(START, {PORTSIDE: [100.0, 9000.0, 120.0]})
    assert line.verdict is Verdict.AIM


def test_each_form_that_has_a_floor_gets_its_own_line() -> None:
    lines = lines_of(CPU, {REFERENCE: [16.0], PORTSIDE: [1.0], ROLES: [6.0]})
    assert [(line.subject, line.verdict) for line in lines] == [(PORTSIDE, Verdict.FLOOR), (ROLES, Verdict.BELOW)]


def test_a_form_that_was_not_measured_gets_no_line() -> None:
    assert [line.subject for line in lines_of(CPU, {REFERENCE: [16.0], PORTSIDE: [1.0]})] == [PORTSIDE]
    assert [line.subject for line in lines_of(CPU, {REFERENCE: [16.0]})] == [PORTSIDE]


def test_the_worst_of_several_floors_decides() -> None:
    line = Line(PULL, {REFERENCE: [2.2], STATIC: [0.9], PORTSIDE: [1.0]}, PORTSIDE)
    assert line.verdict is Verdict.BELOW
    assert line.ratio(STATIC) == pytest.approx(1.0 / 0.9)


def test_of_several_floors_those_that_are_not_kept_say_so() -> None:
    (line,) = lines_of(PULL, {REFERENCE: [2.2], STATIC: [0.9], PORTSIDE: [1.0]})
    assert as_json([line])[0]["floor"] == "≤ 1/2 n+d2, ≤ 1 static (no)"
    (line,) = lines_of(PULL, {REFERENCE: [2.2], STATIC: [1.1], PORTSIDE: [1.0]})
    assert as_json([line])[0]["floor"] == "≤ 1/2 n+d2, ≤ 1 static"


def test_without_the_contestant_of_a_floor_nothing_is_judged() -> None:
    (line,) = lines_of(RATE, {PORTSIDE: [5.0]})
    assert line.verdict is Verdict.OPEN
    assert not below_floor([line])


def test_a_line_below_its_floor_says_so_in_the_table() -> None:
    lines = lines_of(RATE, {REFERENCE: [100.0, 90.0, 110.0], PORTSIDE: [700.0]})
    heads, row = render(lines, (REFERENCE, PORTSIDE)).splitlines()
    assert heads.split() == ["unit", "n+d2", "portside", "/n+d2", "/d3", "/static", "floor"]
    assert row.split()[2:] == [
        *("1/s", "100", "(90..110)", "700", "(700..700)", "7"),
        *("≥", "8", "n+d2", "below", "floor"),
    ]
    assert below_floor(lines)


def test_the_file_holds_every_sample() -> None:
    (found,) = as_json(lines_of(RATE, {REFERENCE: [100.0, 90.0], PORTSIDE: [900.0]}))
    assert found["samples"] == {REFERENCE: [100.0, 90.0], PORTSIDE: [900.0]}
    assert found["verdict"] == "floor kept"
    assert found["ratios"][REFERENCE] == pytest.approx(900 / 95)


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0"), (0.00012, "0.0001"), (0.0123, "0.0123"), (1.234, "1.23"), (61_234.5, "61234")]
)
def test_a_number_has_three_digits_and_no_exponent(value: float, text: str) -> None:
    assert number(value) == text


def test_a_figure_shows_the_median_between_the_extremes() -> None:
    assert figure([3.0, 1.0, 2.0]) == "2 (1..3)"


def test_rows_are_chosen_by_a_part_of_their_name_or_title() -> None:
    assert {row.name for row in rows_named(("connect", "cold start"))} == {"connect", "connect-one", "start"}
    assert rows_named(()) == ROWS
    with pytest.raises(ValueError, match=r"there is no row nonsense; there are small\.base"):
        rows_named(("nonsense",))


ASKED = {
    ("small.base.cpu", PORTSIDE, STATIC): (1.25, 0.9),
    ("small.tag.cpu", PORTSIDE, STATIC): (1.25, 0.9),
    ("small.digest.cpu", PORTSIDE, STATIC): (1.25, 0.9),
    ("small.head.cpu", PORTSIDE, STATIC): (1.25, 0.9),
    ("small.blob.cpu", PORTSIDE, STATIC): (2, 1.25),
    ("small.tag.cpu", ROLES, STATIC): (6, 4),
    ("small.blob.cpu", ROLES, STATIC): (6, 4),
    ("small.tag.faults", PORTSIDE, None): (0.1, 0.1),
    ("connect.cpu", PORTSIDE, DISTRIBUTION): (1, 0.9),
    ("connect-one.cpu", PORTSIDE, DISTRIBUTION): (1, 0.9),
    ("pull.one.cpu", PORTSIDE, STATIC): (0.8, 0.7),
    ("pull.one.cpu", ROLES, STATIC): (1.1, 0.85),
    ("pull.eight.cpu", PORTSIDE, STATIC): (0.75, 0.65),
    ("pull.eight.cpu", ROLES, STATIC): (1.1, 0.85),
    ("pull.one.faults", PORTSIDE, None): (2, 2),
    ("push.one.cpu", PORTSIDE, DISTRIBUTION): (0.9, 0.75),
    ("push.one-length.cpu", PORTSIDE, DISTRIBUTION): (0.9, 0.75),
    ("push.eight-length.cpu", PORTSIDE, DISTRIBUTION): (0.95, 0.8),
    ("push.real.cpu", PORTSIDE, DISTRIBUTION): (0.95, 0.8),
    ("push.real-put.cpu", PORTSIDE, DISTRIBUTION): (0.95, 0.8),
    ("push.one.cpu", ROLES, DISTRIBUTION): (1.1, None),
    ("push.eight.cpu", PORTSIDE, DISTRIBUTION): (0.95, 0.8),
    ("push.eight.cpu", ROLES, DISTRIBUTION): (1.1, None),
    ("push.eight.rate", PORTSIDE, DISTRIBUTION): (1, None),
    ("push.eight.faults", PORTSIDE, None): (2, 2),
    ("latency.p99", PORTSIDE, STATIC): (2.5, 1.5),
    ("slow.p99", PORTSIDE, None): (10, 5),
    ("slow.pauses", PORTSIDE, None): (5, 2.5),
    ("start.ms", PORTSIDE, None): (350, 300),
    ("memory.idle", PORTSIDE, None): (65, 55),
    ("memory.worker", PORTSIDE, None): (40, 40),
    ("growth.tag", PORTSIDE, None): (1.25, 1.25),
    ("growth.refer", PORTSIDE, None): (1.25, 1.25),
    ("growth.told", PORTSIDE, None): (1.25, 1.25),
    ("growth.converted", PORTSIDE, None): (1.25, 1.25),
    ("growth.search", PORTSIDE, None): (1.25, 1.25),
    ("growth.v1_push", PORTSIDE, None): (1.25, 1.25),
}
"""Floors and aims of PERFORMANCE, section 2: by figure, form and the contestant that it is compared with."""


def test_what_is_asked_is_what_the_specification_asks() -> None:
    asked = {
        (metric.key, bound.subject, bound.against): (bound.floor, bound.aim)
        for row in ROWS
        for metric in row.metrics
        for bound in metric.bounds
    }
    assert {key: asked.get(key) for key in ASKED} == ASKED


def test_every_row_but_those_that_inform_has_a_floor() -> None:
    free = {metric.key for row in ROWS for metric in row.metrics if not metric.bounds}
    assert free == {
        "pull.one.rate",
        "pull.eight.rate",
        "pull.twenty.rate",
        "push.one.rate",
        "push.one-length.rate",
        "convert.first.cpu",
        # What a second pull may cost is bounded for the whole; each of its requests is shown.
        "convert.again.tag",
        "convert.again.digest",
        "convert.again.head",
        "convert.again.config",
        "convert.again.layer",
        "convert.push.whole",
        "convert.push.plain",
        "convert.gzip.cpu",
        "connect.rate",
        "latency.p50",
        "slow.quiet",
        "slow.rate",
        "memory.all",
        "memory.growth",
        "told.blob",
        "told.manifest",
    }
