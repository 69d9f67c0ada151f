"""`portside migrate`: plan, run, verify."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from portside.commands.options import CONFIG, DATA, fail, options, say

if TYPE_CHECKING:
    from portside.migrating.commands import Task

_NAMES = options(
    CONFIG,
    DATA,
    click.option(
        "--map", "pairs", metavar="OLD=NEW", multiple=True, help="What v2 calls OLD, or OLD:TAG=NEW:TAG; repeatable."
    ),
    click.option(
        "--names", "file", metavar="FILE", type=click.Path(path_type=Path), help="A file with such lines, # for notes."
    ),
)


@click.group(short_help="Make v2 images of what v1 pushed: plan, run, verify.")
def migrate() -> None:
    """Make of every image that v1 clients pushed what any v2 registry serves: schema 2 manifests, with their blobs.

    What v1 has stays as it is, and so do tags that v2 clients have moved on. It may run beside servers. Nothing is told
    to endpoints of notifications. Run it as the user that the registry runs as.
    """


@migrate.command(short_help="Say what would be made; write nothing.")
@_NAMES
@click.option("--json", "as_json", is_flag=True, help="For machines.")
def plan(config: Path | None, data: str | None, pairs: tuple[str, ...], file: Path | None, as_json: bool) -> None:  # noqa: FBT001 - click's flags
    """Say for every tag of v1 what would be made of it, and what stands in the way; nothing is written."""
    from portside.migrating.commands import plan as show  # noqa: PLC0415
    from portside.problems import Problem  # noqa: PLC0415

    try:
        show(_task(config, data, pairs, file), as_json=as_json)
    except Problem as problem:
        fail(str(problem))


@migrate.command(short_help="Migrate; run it again to go on where it stopped.")
@_NAMES
def run(config: Path | None, data: str | None, pairs: tuple[str, ...], file: Path | None) -> None:
    """Migrate all tags of v1, one after the other.

    It may be stopped or killed at any time: run it again, and it goes on where it was. The status is 1 where a tag
    could not be migrated.
    """
    from portside.migrating.commands import run as carry_out  # noqa: PLC0415
    from portside.problems import Problem  # noqa: PLC0415

    try:
        sys.exit(0 if carry_out(_task(config, data, pairs, file)) else 1)
    except Problem as problem:
        fail(str(problem))


@migrate.command(short_help="Compare what was migrated with v1, byte by byte.")
@_NAMES
def verify(config: Path | None, data: str | None, pairs: tuple[str, ...], file: Path | None) -> None:
    """Read every migrated image and the v1 image that it was made of, and compare them. Nothing is written.

    The status is 1 where they differ, or a tag of v1 is not migrated; each is told in a sentence.
    """
    from portside.migrating.commands import verify as compare  # noqa: PLC0415
    from portside.problems import Problem  # noqa: PLC0415

    try:
        sys.exit(0 if compare(_task(config, data, pairs, file)) else 1)
    except Problem as problem:
        fail(str(problem))


def _task(config: Path | None, data: str | None, pairs: tuple[str, ...], file: Path | None) -> Task:
    from portside.migrating.commands import make_task  # noqa: PLC0415
    from portside.settings.loading import settings_path  # noqa: PLC0415

    return make_task(
        config or settings_path(os.environ),
        os.environ,
        {"data": data},
        pairs=pairs,
        file=file,
        say=say,
        is_terminal=sys.stdout.isatty(),
    )
