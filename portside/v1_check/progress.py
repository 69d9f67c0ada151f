"""How far a check is, on stderr: a bar on a terminal, else a line now and then."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import click

from backends.storage.room import show_size

TOLD_SECONDS = 10.0
DRAWN_SECONDS = 0.2


class Progress:
    """Counts what is read; called in several threads.

    Args:
        is_terminal: whether stderr is one.
        is_quiet: whether nothing is said.

    Attributes:
        layers: how many have been read.
        bytes: how much of them.
    """

    def __init__(self, *, is_terminal: bool, is_quiet: bool) -> None:
        self.layers = 0
        self.bytes = 0
        self._is_terminal = is_terminal
        self._is_quiet = is_quiet
        self._lock = threading.Lock()
        self._told = time.monotonic()
        self._total = (0, 0)

    @contextmanager
    def reading(self, layers: int, size: int) -> Iterator[None]:
        """While this is entered, it says how far it is."""
        self._total = layers, size
        self._told = time.monotonic()
        try:
            yield
        finally:
            self.pause()

    def looked(self, number: int, total: int) -> None:
        """Says how many folders of repositories and images have been looked at."""
        if self._is_due():
            self._say(number / total, f"{number} of {total} repositories and images")

    def passed(self, size: int) -> None:
        """Counts bytes."""
        with self._lock:
            self.bytes += size
            if not self._is_due():
                return
            layers, total = self._total
            where = f"{show_size(self.bytes)} of {show_size(total)}, {self.layers} of {layers} layers"
        self._say(self.bytes / max(total, 1), where)

    def _is_due(self) -> bool:
        now = time.monotonic()
        if self._is_quiet or now - self._told < (DRAWN_SECONDS if self._is_terminal else TOLD_SECONDS):
            return False
        self._told = now
        return True

    def _say(self, share: float, where: str) -> None:
        if self._is_terminal:
            share = min(1.0, share)
            click.echo(f"\r\033[K[{'#' * round(share * 30):30}] {share:4.0%}  {where}", nl=False, err=True)
        else:
            click.echo(f"{where} are done", err=True)

    def layer_done(self) -> None:
        """Counts a layer."""
        with self._lock:
            self.layers += 1

    def pause(self) -> None:
        """Makes room for a line on the terminal."""
        if self._is_terminal and not self._is_quiet:
            click.echo("\r\033[K", nl=False, err=True)
