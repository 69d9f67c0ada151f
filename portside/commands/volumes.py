"""`portside inspect`, `reindex` and `delete`: commands that work on a volume by themselves, beside running servers."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import click

from portside.commands.options import CONFIG, DATA, fail, options, say


@click.command(short_help="Show what is stored under a name, and what each client receives of it.")
@click.argument("name", metavar="NAME[:TAG|@DIGEST]", required=False)
@options(CONFIG, DATA)
@click.option("--all", "all_of_it", is_flag=True, help="All tags of all repositories, a line each; without NAME.")
@click.option("--convert", is_flag=True, help="Make what clients would receive and has not been made yet.")
@click.option("--json", "as_json", is_flag=True, help="For machines.")
def inspect(
    name: str | None,
    config: Path | None,
    data: str | None,
    all_of_it: bool,  # noqa: FBT001 - click's flags
    convert: bool,  # noqa: FBT001
    as_json: bool,  # noqa: FBT001
) -> None:
    """Show what a tag names, and what each generation of clients receives of it; of a repository, all its tags.

    With --all, show what each generation receives of every tag there is; `portside inspect --all portside.yml`.

    It reads the volume, beside running servers or without any, and writes nothing. What has not been made yet for a
    client is computed where that takes no reading of layers; --convert makes it, as the first pull would.
    """
    from portside.inspecting.command import inspect as look  # noqa: PLC0415
    from portside.inspecting.listing import inspect_all  # noqa: PLC0415
    from portside.problems import Problem  # noqa: PLC0415
    from portside.settings.loading import settings_path  # noqa: PLC0415

    if all_of_it:
        if config is not None:
            raise click.UsageError(f"--all is for every tag there is; leave out {name}")
        config, name = None if name is None else Path(name), None
    elif name is None:
        raise click.UsageError("write NAME, NAME:TAG or NAME@DIGEST, or --all for every tag there is")
    settings = config or settings_path(os.environ)
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    try:
        if name is None:
            inspect_all(settings, os.environ, {"data": data}, say=say, converts=convert, as_json=as_json)
        else:
            say(look(name, settings, os.environ, {"data": data}, converts=convert, width=width, as_json=as_json))
    except Problem as problem:
        fail(str(problem))


@click.command(short_help="Find what another registry has written to the volume.")
@options(CONFIG, DATA)
def reindex(config: Path | None, data: str | None) -> None:
    """Look through a v2 volume for referrers and blobs that another registry has written, beside running servers.

    `serve` and `v2` do the same when they start, and once a day (gateway.index.interval). Run it as the user that the
    registry runs as.
    """
    from portside.problems import Problem  # noqa: PLC0415
    from portside.reindexing import reindex as look_through  # noqa: PLC0415
    from portside.settings.loading import settings_path  # noqa: PLC0415

    def say(line: str) -> None:
        click.echo(line, err=True)

    try:
        click.echo(look_through(config or settings_path(os.environ), os.environ, {"data": data}, say=say))
    except Problem as problem:
        fail(str(problem))


@click.command(short_help="Delete a whole repository on the volume.")
@click.argument("name")
@options(CONFIG, DATA)
@click.option("--dry-run", is_flag=True, help="Only say what would be deleted.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def delete(name: str, config: Path | None, data: str | None, dry_run: bool, yes: bool) -> None:  # noqa: FBT001 - click's flags
    """Delete a repository with all its tags, manifests and uploads, of v2 and v1, beside running servers.

    Repositories below its name stay, and so does content, until a garbage collection. It works also where clients may
    not delete (storage.delete.enabled). Run it as the user that the registry runs as.
    """
    from portside.delete_repository import delete_repository  # noqa: PLC0415
    from portside.problems import Problem  # noqa: PLC0415
    from portside.settings.loading import settings_path  # noqa: PLC0415

    def confirm(what: str) -> bool:
        if yes:
            return True
        if not sys.stdin.isatty():
            raise Problem(f"nobody is there to ask: --yes would {what}")
        return click.confirm(what[0].upper() + what[1:] + "?")

    try:
        click.echo(
            delete_repository(
                name,
                config or settings_path(os.environ),
                os.environ,
                {"data": data},
                dry_run=dry_run,
                confirm=confirm,
            )
        )
    except Problem as problem:
        fail(str(problem))
