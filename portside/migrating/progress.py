"""How far a migration is: a bar on a terminal, else a line now and then."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click

from backends.storage.room import show_size
from portside.migrating.planning import TagPlan
from portside.migrating.running import Outcome
from portside.migrating.showing import outcome_line

TOLD_SECONDS = 10.0
"""How often it is said how far it is, where that is not seen."""

LABEL = 30
"""So much of a tag's name is shown beside a bar."""


class Lines:
    """A line for each tag, and one now and then while layers are read.

    Args:
        total: bytes of all layers.
        say: prints a line.
    """

    def __init__(self, total: int, say: Callable[[str], None]) -> None:
        self._total = total
        self._say = say
        self._done = 0
        self._told = time.monotonic()

    def begun(self, plan: TagPlan) -> None:
        """Says nothing: the line comes with its outcome."""

    def passed(self, size: int) -> None:
        """Says from time to time how far it is."""
        self._done += size
        if time.monotonic() - self._told >= TOLD_SECONDS:
            self._told = time.monotonic()
            self._say(f"{show_size(self._done)} of {show_size(self._total)} of layers are read")

    def finished(self, outcome: Outcome) -> None:
        """Says what became of a tag."""
        self._say(outcome_line(outcome))


class Bar:
    """A bar that shows the bytes of layers and the tag at work; what was not migrated is said at the end."""

    def __init__(self, advance: Callable[[int, str], None]) -> None:
        self._advance = advance
        self._name = ""

    def begun(self, plan: TagPlan) -> None:
        """Shows the tag."""
        self._name = f"{plan.tag.name}:{plan.tag.text}"[-LABEL:]
        self._advance(0, self._name)

    def passed(self, size: int) -> None:
        """Shows that bytes are done with."""
        self._advance(size, self._name)

    def finished(self, outcome: Outcome) -> None:
        """Shows nothing: the next tag, or the end, comes at once."""


@contextmanager
def watching(total: int, say: Callable[[str], None], *, is_terminal: bool) -> Iterator[Bar | Lines]:
    """Shows how far a migration is while the context is entered.

    Args:
        total: bytes of all layers.
        say: prints a line.
        is_terminal: whether a bar can be drawn.
    """
    if not is_terminal:
        yield Lines(total, say)
        return
    with click.progressbar(length=max(total, 1), item_show_func=lambda name: name or "") as bar:
        yield Bar(bar.update)


@contextmanager
def reading(total: int, say: Callable[[str], None], *, is_terminal: bool) -> Iterator[Callable[[int], None]]:
    """Shows how much was read while the context is entered; as `watching`."""
    with watching(total, say, is_terminal=is_terminal) as watcher:
        yield watcher.passed
