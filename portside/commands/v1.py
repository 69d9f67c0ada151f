"""`portside v1 check` and `rename`: what is below `portside v1` beside running the registry."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import click

from portside.commands.options import CONFIG, DATA, fail, options, say

CANNOT_LOOK = 2
"""The status of `check` where it could not look: 0 is sound, 1 is that something is wrong."""

STOPPED = 130
"""The status of what was stopped before its end, as shells have it for Ctrl-C."""


@click.command(short_help="Look whether a v1 volume is sound; change nothing.")
@click.argument("names", metavar="[CONFIG] [NAME]...", nargs=-1)
@options(DATA)
@click.option("--quick", is_flag=True, help="Names and small files only: no layer is read.")
@click.option("--rate", metavar="SIZE", help="Read so much a second at most: 50MB.  [default: as fast as the disk is]")
@click.option("--json", "as_json", is_flag=True, help="For machines, a line for each finding.")
def check(names: tuple[str, ...], data: str | None, quick: bool, rate: str | None, as_json: bool) -> None:  # noqa: FBT001 - click's flags
    """Look whether a v1 volume is sound, beside running servers or without any; nothing is changed.

    It says what is wrong and how it is mended, a line each, then how much it has looked at. With NAMEs of repositories
    it looks only at these and the images that they need. The status is 0 where nothing is wrong (there may be notes),
    1 where something is, 2 where it could not look. docs/v1-check.md explains each finding.

    \b
    portside v1 check --data /tmp/registry
    portside v1 check portside.yml team/app
    """  # noqa: D301 - click's mark for lines that stay as they are
    from portside.problems import Problem  # noqa: PLC0415
    from portside.settings.places import settings_path  # noqa: PLC0415
    from portside.settings.sizes import parse_size  # noqa: PLC0415
    from portside.v1_check.command import Request, is_terminal  # noqa: PLC0415
    from portside.v1_check.command import check as look  # noqa: PLC0415
    from portside.v1_check.reading import Pace, Stopped  # noqa: PLC0415

    config = None
    if names and (names[0].endswith((".yml", ".yaml")) or Path(names[0]).is_file()):
        config, names = Path(names[0]), names[1:]
    try:
        most = None if rate is None else parse_size(rate)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--rate") from None
    if most == 0:
        raise click.BadParameter("nothing would ever be read", param_hint="--rate")
    request = Request(
        config or settings_path(os.environ), os.environ, {"data": data}, names, quick=quick, as_json=as_json
    )
    pace = Pace(most)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: pace.stop())
    try:
        outcome = look(request, pace, say=say, is_terminal=is_terminal())
    except Problem as problem:
        fail(str(problem), status=CANNOT_LOOK)
    except Stopped:
        fail("stopped before anything was found out", status=STOPPED)
    sys.exit(1 if outcome.wrong else 0 if outcome.is_whole else STOPPED)


@click.command(short_help="Rename what docker-registry wrote before 0.8.1, so that it is found.")
@options(CONFIG, DATA)
@click.option("--dry-run", is_flag=True, help="Only say what would be renamed.")
def rename(config: Path | None, data: str | None, dry_run: bool) -> None:  # noqa: FBT001 - click's flags
    """Give repositories and tags that docker-registry wrote before 0.8.1 the names that 0.9.1 and Portside read.

    Only names that Docker itself never pushed are concerned; `portside v1 check` says whether there are some. Servers
    may run beside it, docker-registry 0.9.1 too; those before 0.8.1 find nothing of it afterwards. docs/v1-names.md
    has more. Run it as the user that the registry runs as.

    \b
    portside v1 rename --data /tmp/registry --dry-run
    """  # noqa: D301 - click's mark for lines that stay as they are
    from portside.problems import Problem  # noqa: PLC0415
    from portside.settings.places import settings_path  # noqa: PLC0415
    from portside.v1_renaming import rename_older  # noqa: PLC0415

    try:
        say(rename_older(config or settings_path(os.environ), os.environ, {"data": data}, say=say, dry_run=dry_run))
    except Problem as problem:
        fail(str(problem))
