"""A command that runs something and has subcommands: which of the two its arguments mean, and what its help shows."""

from __future__ import annotations

import click
import pytest
from click.testing import CliRunner

from portside.commands.running_group import RunningGroup


@click.command(short_help="Look at it.")
@click.argument("name", required=False)
def look(name: str | None) -> None:
    """Look at it."""
    click.echo(f"look {name}")


@click.argument("config", required=False)
@click.option("--addr")
def _run(config: str | None, addr: str | None) -> None:
    click.echo(f"run {config} {addr}")


group = RunningGroup(_run, {"look": (__name__, "look")}, name="thing", help="Run the thing.", short_help="It.")


@pytest.mark.parametrize(
    ("arguments", "output"),
    [
        ([], "run None None"),
        (["config.yml"], "run config.yml None"),
        (["--addr", ":1", "config.yml"], "run config.yml :1"),
        (["--addr", "look"], "run None look"),
        (["./look"], "run ./look None"),
        (["look"], "look None"),
        (["look", "name"], "look name"),
    ],
)
def test_the_first_argument_decides(arguments: list[str], output: str) -> None:
    done = CliRunner().invoke(group, arguments)
    assert (done.exit_code, done.output) == (0, output + "\n")


def test_help_shows_options_and_subcommands() -> None:
    words = CliRunner().invoke(group, ["--help"]).output
    assert "Run the thing." in words
    assert words.index("--addr") < words.index("Commands:") < words.index("look  Look at it.")


def test_a_subcommand_explains_itself() -> None:
    done = CliRunner().invoke(group, ["look", "--help"])
    assert done.output.startswith("Usage: thing look [OPTIONS] [NAME]")


def test_a_mistake_is_told_in_the_words_of_the_command() -> None:
    done = CliRunner().invoke(group, ["--adr", "1"])
    assert done.exit_code == 2
    assert done.output.startswith("Usage: thing [OPTIONS] [CONFIG]")
