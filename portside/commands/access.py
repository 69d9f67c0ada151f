"""`portside access`: check a file of rules, explain what is decided."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from portside.commands.options import fail, say

MISTAKE = 2
"""The status of `explain` where there is no answer: 0 is allowed, 1 is denied."""


@click.group(short_help="Check the rules of access, and explain what they decide.")
def access() -> None:
    """Look at the rules of access (gateway.access) without a server."""


@access.command(short_help="Say what is wrong with a file of rules, or what it grants.")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="For machines.")
def check(file: Path, as_json: bool) -> None:  # noqa: FBT001 - click's flags
    """Say all that is wrong with a FILE of rules, by line, with status 1; or what it grants to everybody."""
    from portside.access_rules import check as look  # noqa: PLC0415

    found = look(file)
    if as_json:
        import json  # noqa: PLC0415

        click.echo(json.dumps(found.facts))
    else:
        say("\n".join(found.lines))
    sys.exit(0 if found.is_usable else 1)


@access.command(short_help="Explain whether USER may do ACTION to NAME, and by which rule.")
@click.argument("user")
@click.argument("action", type=click.Choice(["pull", "push", "delete"]))
@click.argument("name")
@click.option("--rules", metavar="FILE", type=click.Path(path_type=Path), help="A file of rules, without settings.")
@click.option(
    "--config", metavar="FILE", type=click.Path(path_type=Path), help="The settings file that names the rules."
)
@click.option(
    "--group", "groups", metavar="GROUP", multiple=True, help="A group that the user's token names; repeatable."
)
@click.option("--claim", "claims", metavar="NAME=VALUE", multiple=True, help="What the token says; repeatable.")
@click.option("--json", "as_json", is_flag=True, help="For machines.")
def explain(
    user: str,
    action: str,
    name: str,
    rules: Path | None,
    config: Path | None,
    groups: tuple[str, ...],
    claims: tuple[str, ...],
    as_json: bool,  # noqa: FBT001 - click's flags
) -> None:
    """Explain whether USER may do ACTION to the repository NAME, and which line decides; `-` is who has not logged in.

    Without --rules it asks those that the settings name, which are found as for `portside serve`. The status is 0 where
    it is allowed, 1 where it is denied, 2 where there is a mistake. What a token server's token is limited to comes on
    top.

    \b
    portside access explain --rules access.yml alice push team/app
    portside access explain --rules access.yml - pull base
    """  # noqa: D301 - click's mark for lines that stay as they are
    from portside.access_rules import Question, load_rules  # noqa: PLC0415
    from portside.access_rules import explain as decide  # noqa: PLC0415
    from portside.problems import Problem  # noqa: PLC0415

    if rules is not None and config is not None:
        raise click.UsageError("give --rules or --config, not both")
    try:
        facts = decide(load_rules(rules, config, os.environ), Question(user, groups, claims, action, name))
    except Problem as problem:
        fail(str(problem), status=MISTAKE)
    if as_json:
        import json  # noqa: PLC0415

        click.echo(json.dumps(facts))
    else:
        for key, value in facts.items():
            if value is not None:
                say(f"{key + ':':12} " + str(value).replace("\n", "\n" + " " * 13))
    sys.exit(0 if facts["answer"] == "allowed" else 1)
