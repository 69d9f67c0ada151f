"""`portside v1 config check`: docker-registry's configuration explained."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from portside.commands.options import say


@click.group(short_help="Explain docker-registry's configuration.")
def config() -> None:
    """Look at docker-registry's settings without a server."""


@config.command("check", short_help="Say what becomes of each key of docker-registry's file.")
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.option("--flavor", metavar="NAME", help="The flavor, instead of SETTINGS_FLAVOR; '' for a file without flavors.")
@click.option("--json", "as_json", is_flag=True, help="For machines.")
def check(file: Path | None, flavor: str | None, as_json: bool) -> None:  # noqa: FBT001 - click's flags
    """Say what becomes of each key of docker-registry's FILE and of each of its variables; nothing is started.

    Each key is used (with what it becomes), overridden (by a REGISTRY_ variable), ignored, or refused; the status is 1
    where something is refused: `portside v1` would not start. Without FILE: what DOCKER_REGISTRY_CONFIG names, or the
    settings of the official image.
    """
    from portside.v1_config_commands import report_json, report_lines  # noqa: PLC0415

    environment = {**os.environ, **({"SETTINGS_FLAVOR": flavor} if flavor is not None else {})}
    if as_json:
        text, starts = report_json(file, environment)
    else:
        lines, starts = report_lines(file, environment)
        text = "\n".join(lines)
    say(text)
    sys.exit(0 if starts else 1)
