"""`portside v1 check` on the volume that settings name."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backends.storage import layout
from backends.storage.room import show_size
from portside.problems import Problem
from portside.settings.loading import Role, load_settings
from portside.v1_check.findings import Finding
from portside.v1_check.layers import Layer, check_layer, find_layers
from portside.v1_check.progress import Progress
from portside.v1_check.reading import Pace, Stopped
from portside.v1_check.showing import counted, finding_facts, finding_line
from portside.v1_check.structure import Structure, check_structure, scope_of
from portside.v1_check.volume import User, Volume
from portside.volumes import require_folders

MOST_AT_ONCE = 4
"""So many layers are read at once at most: more are no faster on any disk, and servers read from it too."""


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked for.

    Attributes:
        config: the settings file; None for none.
        environment: all variables.
        flags: as for `load_settings`.
        names: the repositories that are looked at; none for the whole volume.
        quick: whether layers are left unread.
        as_json: for machines.
    """

    config: Path | None
    environment: Mapping[str, str]
    flags: Mapping[str, Any]
    names: Sequence[str]
    quick: bool
    as_json: bool


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a check came to.

    Attributes:
        wrong: how many things are wrong.
        is_whole: whether it was not stopped before its end.
    """

    wrong: int
    is_whole: bool


def check(request: Request, pace: Pace, *, say: Callable[[str], None], is_terminal: bool) -> Outcome:
    """Looks at a volume, and says what it finds, a line each.

    Args:
        request: what is asked for.
        pace: how fast, and how long.
        say: prints a line.
        is_terminal: whether progress can be drawn on stderr.

    Raises:
        Problem: it cannot be looked at.
        Stopped: it was stopped before it had found out anything.
    """
    settings = load_settings(Role.V1, request.config, request.environment, request.flags)
    trees = [layout.V1_REPOSITORIES, layout.V1_IMAGES, layout.PRIMARY, layout.V2]
    folder = require_folders([settings.v1_storage], trees)
    volume = Volume(Path(settings.v1_storage.root), _user(folder))
    scope, missing = scope_of(volume, request.names)
    if missing:
        raise Problem(f"there is no repository {', '.join(missing)} of v1 on {volume.root}")
    report = _Report(volume.user.uid, say, as_json=request.as_json)
    progress = Progress(is_terminal=is_terminal, is_quiet=request.as_json)
    structure = check_structure(volume, scope, pace, progress.looked)
    progress.pause()
    report.tell(structure.findings)
    layers = [] if request.quick else find_layers(volume, structure.images)
    is_whole = _read_layers(volume, layers, pace, report, progress)
    report.sum_up(volume, structure, layers, progress, is_whole=is_whole, quick=request.quick)
    return Outcome(report.wrong, is_whole)


def _user(folder: Path) -> User:
    """Returns whom the registry runs as: who runs this, or, as root may read everything, whose the volume is."""
    if (uid := os.geteuid()) != 0:
        return User(uid, frozenset({os.getegid(), *os.getgroups()}))
    info = folder.stat()
    return User(info.st_uid, frozenset({info.st_gid}))


def _read_layers(volume: Volume, layers: Sequence[Layer], pace: Pace, report: _Report, progress: Progress) -> bool:
    """Reads layers in threads; whether it came to the end."""
    if not layers:
        return True
    at_once = min(MOST_AT_ONCE, os.cpu_count() or 1)
    with (
        progress.reading(len(layers), sum(layer.size for layer in layers)),
        ThreadPoolExecutor(at_once) as threads,
    ):
        work: set[Future[Sequence[Finding]]] = set()
        try:
            for layer in layers:
                if len(work) >= 2 * at_once:
                    work = _take(work, report, progress)
                work.add(threads.submit(check_layer, volume, layer, pace, progress.passed))
            while work:
                work = _take(work, report, progress)
        except Stopped:
            return False
        except BaseException:
            pace.stop()
            raise
    return True


def _take(work: set[Future[Sequence[Finding]]], report: _Report, progress: Progress) -> set[Future[Sequence[Finding]]]:
    done, left = wait(work, return_when=FIRST_COMPLETED)
    for each in done:
        findings = each.result()
        progress.layer_done()
        if findings:
            progress.pause()
            report.tell(findings)
    return left


class _Report:
    def __init__(self, user: int, say: Callable[[str], None], *, as_json: bool) -> None:
        self.wrong = 0
        self.notes = 0
        self._user = user
        self._say = say
        self._as_json = as_json

    def tell(self, findings: Sequence[Finding]) -> None:
        """Says what was found, what is wrong first."""
        for finding in sorted(findings, key=lambda each: not each.kind.is_wrong):
            self.wrong += finding.kind.is_wrong
            self.notes += not finding.kind.is_wrong
            if self._as_json:
                self._say(json.dumps(finding_facts(finding, self._user)))
            else:
                self._say(finding_line(finding, self._user))

    def sum_up(
        self,
        volume: Volume,
        structure: Structure,
        layers: Sequence[Layer],
        progress: Progress,
        *,
        is_whole: bool,
        quick: bool,
    ) -> None:
        """Says what was looked at and how much was found."""
        if self._as_json:
            facts = {
                "level": "summary",
                "root": volume.root,
                "repositories": structure.repositories,
                "tags": structure.tags,
                "images": len(structure.images),
                "layers": progress.layers,
                "bytes": progress.bytes,
                "wrong": self.wrong,
                "notes": self.notes,
                "whole": is_whole,
                "quick": quick,
            }
            self._say(json.dumps(facts))
            return
        read = f"{counted(progress.layers, 'layer')} ({show_size(progress.bytes)}) read"
        if quick:
            read = "no layer read"
        elif not is_whole:
            read += f" of {len(layers)}, then stopped"
        verdict = f"{self.wrong or 'nothing'} {'is' if self.wrong <= 1 else 'are'} wrong"
        images = f"{counted(structure.tags, 'tag')}, {counted(len(structure.images), 'image')}"
        self._say(
            f"{volume.root}: {counted(structure.repositories, 'repository', 'repositories')}, {images}, {read};"
            f" {verdict}, {counted(self.notes, 'note')}"
        )


def is_terminal() -> bool:
    """Whether somebody sees what goes to stderr as it comes."""
    return sys.stderr.isatty()
