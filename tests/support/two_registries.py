"""Portside and a distribution, by one settings file each over volumes of their own, given the same at first."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.support.commands import running_command
from tests.support.differences import Received, Step, Table, Talk, compare, load_state
from tests.support.ports import free_port
from tests.support.programs import find_program, running

PROGRAMS: Mapping[int, str] = {2: "docker-registry", 3: "registry"}
"""Of each edition of distribution: Debian's 2.8.2, and 3.1.2."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A request, both answers, and in what they differ."""

    step: Step
    theirs: Received
    ours: Received

    @property
    def facets(self) -> frozenset[str]:
        return compare(self.theirs, self.ours)


class Pair:
    """Two registries that are asked the same, by their ports."""

    def __init__(self, theirs: int, ours: int) -> None:
        self._theirs = Talk(theirs)
        self._ours = Talk(ours)

    def ask(self, steps: Sequence[Step]) -> list[Asked]:
        """Sends requests to both, one after the other."""
        return [Asked(step, self._theirs.send(step), self._ours.send(step)) for step in steps]


@contextlib.contextmanager
def running_pair(edition: int, table: Table, folder: Path) -> Iterator[tuple[Pair, list[Asked]]]:
    """Runs both with the settings of a table, and gives them the starting state; yields what they said to that too."""
    with _both(edition, {}, folder) as pair:
        state = pair.ask(load_state().steps)
        if not table.settings:
            yield pair, state
            return
    with _both(edition, table.settings, folder) as pair:
        yield pair, state


@contextlib.contextmanager
def _both(edition: int, settings: Mapping[str, Any], folder: Path) -> Iterator[Pair]:
    ports = {name: free_port() for name in ("theirs", "ours")}
    files = {name: write_settings(folder / name, port, settings) for name, port in ports.items()}
    theirs = [find_program(PROGRAMS[edition]), "serve", str(files["theirs"])]
    with (
        running(theirs, folder / "theirs.log", port=ports["theirs"]),
        running_command("v2", files["ours"], folder=folder, port=ports["ours"]),
    ):
        yield Pair(ports["theirs"], ports["ours"])


def write_settings(folder: Path, port: int, more: Mapping[str, Any]) -> Path:
    """Writes the file of a registry on a loopback port, with data of its own below `folder`; returns its path."""
    folder.mkdir(exist_ok=True)
    storage = {"filesystem": {"rootdirectory": str(folder / "data")}, **more.get("storage", {})}
    settings = {
        "version": 0.1,
        "log": {"level": "info", "accesslog": {"disabled": True}},
        "storage": storage,
        "http": {
            "addr": f"127.0.0.1:{port}",
            "headers": {"X-Content-Type-Options": ["nosniff"]},  # as in the file that comes with every distribution
            **more.get("http", {}),
        },
        "compatibility": {"schema1": {"enabled": True}},
    }
    path = folder / "config.yml"
    path.write_text(yaml.safe_dump(settings))
    return path
