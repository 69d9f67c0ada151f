"""What commands have in common: arguments and options, and how one ends that cannot do its work."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])


def options(*each: Callable[[Command], Command]) -> Callable[[Command], Command]:
    """Returns a decorator that gives a command several of them, in this order."""

    def decorate(command: Command) -> Command:
        for option in reversed(each):
            command = option(command)
        return command

    return decorate


ADDR = click.option("--addr", metavar="ADDRESS", help="Where clients reach this: :5000, 127.0.0.1:5000, unix:/path.")
DATA = click.option("--data", metavar="FOLDER", help="Where the data is.  [default: data]")
WORKERS = click.option(
    "--workers", metavar="N", type=click.IntRange(min=1, max=256), help="Processes.  [default: one per core]"
)
CONFIG = click.argument("config", required=False, type=click.Path(path_type=Path))


def say(text: str) -> None:
    """Prints text. What clients named may be in it, so nothing in it can command a terminal."""
    click.echo(_harmless(text))


def fail(sentence: str, *, status: int = 1) -> NoReturn:
    """Ends the program with a sentence on stderr."""
    click.echo(_harmless(f"portside: {sentence}"), err=True)
    sys.exit(status)


def _harmless(text: str) -> str:
    return "".join(each if each.isprintable() or each == "\n" else "?" for each in text)
