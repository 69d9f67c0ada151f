"""`python -m bench`: Portside against distribution, nginx in front of it, and nginx with static files, as one table.

Status 0: every floor is kept; 1: a line is below its floor; 2: something was not measured, and a sentence says why.
"""

from __future__ import annotations

import datetime as dt
import json
import signal
import sys
import time
from pathlib import Path
from typing import Any, NoReturn

import click

from bench.floors import EARLIER, PORTSIDE, ROLES, ROWS, rows_named
from bench.peers import CONTESTANTS
from bench.programs import Hindrance
from bench.running import machine, run_bench
from bench.scale import FULL, QUICK
from bench.size import run_size
from bench.table import as_json, below_floor, render

PLACE = click.option(
    "--dir",
    "place",
    default="/var/tmp",  # on a disk; /tmp is memory on some machines
    show_default=True,
    type=click.Path(exists=True, file_okay=False, writable=True, path_type=Path),
    help="Where servers and data lie meanwhile.",
)

FORMS = {"one": PORTSIDE, "roles": ROLES}


@click.group(invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--quick", is_flag=True, help="Two minutes: a few short rounds of everything.")
@click.option("--rounds", type=click.IntRange(min=1), help="Measure everything so often.")
@click.option("--only", multiple=True, metavar="SUBSTRING", help="Only rows with this in name or title; repeatable.")
@click.option(
    "--contestants",
    metavar="NAMES",
    help=f"Only these, joined by commas: {', '.join(name for name in CONTESTANTS if name not in EARLIER.values())}.",
)
@click.option(
    "--json", "json_path", type=click.Path(dir_okay=False, path_type=Path), help="Write everything there too."
)
@click.option(
    "--before",
    type=click.Path(file_okay=False, exists=True, path_type=Path),
    metavar="CHECKOUT",
    help="Measure an earlier build of Portside beside this one, started in the same way.",
)
@click.option("--list", "show", is_flag=True, help="Show the rows.")
@PLACE
@click.pass_context
def main(
    context: click.Context,
    *,
    quick: bool,
    rounds: int | None,
    only: tuple[str, ...],
    contestants: str | None,
    json_path: Path | None,
    before: Path | None,
    show: bool,
    place: Path,
) -> None:
    """Measure Portside in both forms against nginx with docker-registry, and nginx with static files.

    Ratios within one run count; CPU is that of all server processes, in seconds.
    """
    begun = time.monotonic()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _end)  # by an exception, so that servers are ended and files removed
    if context.invoked_subcommand is not None:
        return
    if show:
        click.echo("\n".join(f"{row.name:17} {row.title}" for row in ROWS))
        return
    scale = QUICK if quick else FULL
    if rounds is not None:
        scale = scale.of_rounds(rounds)
    names = _contestants(contestants, before=before is not None)
    try:
        rows = rows_named(only)
    except ValueError as error:
        _fail(error)
    try:
        lines, left_out = run_bench(rows, names, scale, place=place, before=before)
    except Hindrance as hindrance:
        _fail(hindrance)
    turns = f"{scale.rounds} rounds ({scale.small_rounds} of small requests)"
    about = f"{scale.name}: {turns}, medians (least..most); {machine(place)}"
    click.echo(f"{about}\n{render(lines, names)}")
    if json_path is not None:
        result = {"date": f"{dt.datetime.now(dt.UTC):%Y-%m-%d}", "about": about, "lines": as_json(lines)}
        json_path.write_text(json.dumps(result, indent=2) + "\n")
    for sentence in left_out:
        click.echo(f"bench: {sentence}", err=True)
    click.echo(f"bench: {len(rows)} row{'s' * (len(rows) > 1)} took {time.monotonic() - begun:.0f} s", err=True)
    sys.exit(1 if below_floor(lines) else 2 if left_out else 0)


@main.command()
@click.option("--gib", default=10.0, show_default=True, type=click.FloatRange(min=0.01), help="The layer's size.")
@click.option("--form", type=click.Choice(list(FORMS)), help="Only this one.  [default: both]")
@PLACE
def size(*, gib: float, form: str | None, place: Path) -> None:
    """Push and pull one huge layer through both forms, and watch the memory."""
    kept = True
    try:
        for sentence, fine in run_size(gib, place=place, forms=[FORMS[form]] if form else list(FORMS.values())):
            click.echo(sentence)
            kept = kept and fine
    except Hindrance as hindrance:
        _fail(hindrance)
    sys.exit(0 if kept else 1)


def _contestants(wanted: str | None, *, before: bool) -> tuple[str, ...]:
    """Returns names in the table's order; each form of Portside has its earlier one right behind it."""
    possible = [name for name in CONTESTANTS if name not in EARLIER.values()]
    names = possible if wanted is None else [name.strip() for name in wanted.split(",")]
    for name in names:
        if name not in possible:
            _fail(f"there is no contestant {name}; there are {', '.join(possible)}")
    chosen = [name for name in possible if name in names]
    return tuple(each for name in chosen for each in ([name, EARLIER[name]] if before and name in EARLIER else [name]))


def _fail(sentence: Any) -> NoReturn:
    click.echo(f"bench: {sentence}", err=True)
    sys.exit(2)


def _end(number: int, _: Any) -> NoReturn:
    sys.exit(128 + number)


if __name__ == "__main__":
    main()
