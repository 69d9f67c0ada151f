"""How each row is measured: contestants in turn, A B C A B C, one figure of each metric in every round."""

from __future__ import annotations

import contextlib
import itertools
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from bench import proc
from bench.beside_pushes import measure_beside_pushes
from bench.contents import MANIFEST_TYPE, Contents, blobs_of, forget_pushes
from bench.contestants import Contestant, Credentials, started_together
from bench.converting import converting
from bench.floors import BEFORE, EARLIER, PORTSIDE, REFERENCE
from bench.growth import measure_growth
from bench.image_pulls import measure_image_pulls
from bench.judging import Metric, Row
from bench.listings import measure_listings
from bench.load import Load
from bench.logged_in import logged_in
from bench.moving import grown, idle, move
from bench.peers import WITH_ONE_WORKER
from bench.programs import Programs
from bench.pushing import PUSHES, measure_push, moved
from bench.scale import RATE, Scale
from bench.told import measure_told
from bench.v1_images import measure_v1_push, v1_images
from bench.varied import WITH_TOKENS, asked_of, measure_tokens, measure_varied

Samples = dict[str, dict[str, list[float]]]
"""Figures of each round: by metric, by contestant."""

ACCEPT = f"-header=Accept: {MANIFEST_TYPE}"
T = TypeVar("T")


class Shared:
    """Servers that several rows of one kind share: started by the first of them, ended behind the last."""

    def __init__(self) -> None:
        self._stack = contextlib.ExitStack()
        self._started: dict[Any, Any] = {}

    def started(self, start: Callable[..., contextlib.AbstractContextManager[T]], bench: Bench) -> T:
        """Returns what `start` starts, now or for an earlier row."""
        if start not in self._started:
            context = start(bench.folder, bench.credentials, bench.programs, bench.load, bench.scale)
            self._started[start] = self._stack.enter_context(context)
        found: T = self._started[start]
        return found

    def close(self) -> None:
        """Ends them; further rows start others."""
        self._started.clear()
        self._stack.close()


@dataclass(frozen=True, slots=True)
class Bench:
    """What rows are measured with.

    Attributes:
        contestants: running, with the contents in them, in the table's order.
        seeds: numbers of contents that nobody has pushed yet.
        shared: servers of several rows of one kind.
    """

    contestants: Sequence[Contestant]
    contents: Contents
    load: Load
    scale: Scale
    programs: Programs
    credentials: Credentials
    folder: Path
    seeds: Iterator[int] = field(default_factory=lambda: itertools.count(1000))
    shared: Shared = field(default_factory=Shared)

    @property
    def registries(self) -> list[Contestant]:
        return [each for each in self.contestants if each.takes_pushes]


def kind_of(row: Row) -> str:
    return row.name.partition(".")[0]


def measure_row(bench: Bench, row: Row) -> Samples:
    """Measures one row.

    Raises:
        Hindrance: an answer was wrong, or a server ended.
    """
    samples = {metric.key: dict[str, list[float]]() for metric in row.metrics}
    for contestant, figures in _MEASURES[kind_of(row)](bench, row):
        for metric in row.metrics:
            if (figure := figures.get(_figure(metric))) is not None:
                samples[metric.key].setdefault(contestant, []).append(figure)
    return samples


Figures = Iterator[tuple[str, Mapping[str, float]]]
"""Contestant's name and what one round found, by the last word of the metrics' keys."""


def _figure(metric: Metric) -> str:
    return metric.key.rpartition(".")[2]


def _small(bench: Bench, row: Row) -> Figures:
    contents = bench.contents
    request = {
        "base": ("-path=/v2/",),
        "tag": (f"-path={contents.tag_path}", ACCEPT, f"-length={len(contents.manifest)}"),
        "digest": (f"-path={contents.digest_path}", ACCEPT, f"-length={len(contents.manifest)}"),
        "head": ("-method=HEAD", f"-path={contents.small.path}", f"-length={contents.small.size}"),
        "blob": (f"-path={contents.small.path}", f"-length={contents.small.size}"),
    }[row.name.partition(".")[2]]
    for number in range(bench.scale.small_rounds + 1):
        seconds = bench.scale.small_seconds * (1 if number else bench.scale.warming)
        for contestant in bench.contestants:
            duration = (f"-seconds={seconds}", f"-warmup={bench.scale.warmup}")
            found = bench.load.measure(contestant, "small", *duration, *request)
            if number == 0:  # warms up what keeps answers
                continue
            requests = found.result.requests
            yield (
                contestant.name,
                {
                    "cpu": found.used.cpu / requests * 10_000,
                    "rps": requests / found.result.seconds,
                    "faults": found.used.faults / requests,
                },
            )


def _varied(bench: Bench, row: Row) -> Figures:
    what = row.name.partition(".")[2]
    if what == "tokens":
        names = [each.name for each in bench.contestants if each.name in WITH_TOKENS]
        yield from measure_tokens(bench.folder, bench.credentials, bench.programs, bench.load, bench.scale, names=names)
        return
    asked = asked_of(what, bench.contents, bench.scale)
    yield from measure_varied(asked, bench.contestants, bench.contents, bench.load, bench.scale, folder=bench.folder)


def _pull(bench: Bench, row: Row) -> Figures:
    if row.name == "pull.twenty":
        yield from measure_image_pulls(bench.contestants, bench.load, bench.scale)
        return
    blobs = [bench.contents.large] if row.name.endswith("one") else list(bench.contents.several)
    paths = [f"-path={blob.path}" for blob in blobs]
    for number in range(bench.scale.rounds + 1):
        for contestant in bench.contestants:
            found = bench.load.measure(contestant, "pull", f"-clients={len(blobs)}", *paths)
            if number > 0:  # the first one warms up
                yield contestant.name, moved(found)


def _push(bench: Bench, row: Row) -> Figures:
    yield from measure_push(
        PUSHES[row.name], bench.registries, bench.load, bench.scale, folder=bench.folder, seeds=bench.seeds
    )


def _connect(bench: Bench, _: Row) -> Figures:
    """New connections with one worker a core."""
    for number in range(bench.scale.rounds + 1):
        for contestant in bench.contestants:
            found = _connected(bench, contestant)
            if number > 0:
                yield contestant.name, found


def _connect_one(bench: Bench, _: Row) -> Figures:
    """New connections with one worker: contestants of their own, which have no contents."""
    names = [each.name for each in bench.contestants if each.name in WITH_ONE_WORKER]
    with contextlib.ExitStack() as stack:
        running = []
        for name in names:
            folder = bench.folder / f"one-worker-{name}"
            (folder / "data").mkdir(parents=True)
            stack.callback(shutil.rmtree, folder)
            running.append(WITH_ONE_WORKER[name](folder, bench.credentials, bench.programs))
        stack.enter_context(started_together(running))
        for number in range(bench.scale.rounds + 1):
            for contestant in running:
                found = _connected(bench, contestant)
                if number > 0:
                    yield contestant.name, found


def _connected(bench: Bench, contestant: Contestant) -> dict[str, float]:
    duration = f"-seconds={bench.scale.small_seconds}"
    found = bench.load.measure(contestant, "connects", duration, "-connections=8", "-path=/v2/")
    count = found.result.requests
    return {"cpu": found.used.cpu / count * 10_000, "rate": count / found.result.seconds}


def _latency(bench: Bench, _: Row) -> Figures:
    for _round in range(bench.scale.rounds):
        for contestant in bench.contestants:
            request = (f"-path={bench.contents.tag_path}", ACCEPT, f"-length={len(bench.contents.manifest)}")
            pace = (f"-rate={RATE}", f"-seconds={bench.scale.paced_seconds}", f"-warmup={bench.scale.warmup}")
            found = bench.load.measure(contestant, "paced", *pace, *request)
            yield contestant.name, {"p50": found.result.p50_ms, "p99": found.result.p99_ms}


def _slow(bench: Bench, _: Row) -> Figures:
    names = [each.name for each in bench.registries if each.name != REFERENCE]
    yield from measure_beside_pushes(
        bench.folder, bench.credentials, bench.programs, bench.load, names=names, scale=bench.scale
    )


def _start(bench: Bench, _: Row) -> Figures:
    for _round in range(bench.scale.rounds):
        for contestant in bench.contestants:
            contestant.stop()
            yield contestant.name, {"ms": contestant.start() * 1e3}


def _memory(bench: Bench, _: Row) -> Figures:
    """Every contestant anew; Portside's forms then work hard."""
    for contestant in bench.contestants:
        contestant.stop()
        contestant.start()
        duration = f"-seconds={bench.scale.asked_seconds}"
        bench.load.measure(contestant, "small", f"-path={bench.contents.tag_path}", ACCEPT, duration)
        time.sleep(bench.scale.settled_seconds)
        before = idle(contestant)
        figures = {
            "idle": max(each.resident for each in before.values()) / 1e6,
            "worker": max(before[pid].share for pid in contestant.workers()) / 1e6,
            "all": sum(each.share for each in before.values()) / 1e6,
        }
        if contestant.name in EARLIER or contestant.name in EARLIER.values():
            kept = set(blobs_of(contestant))
            for pid in before:
                proc.forget_peak(pid)
            move(contestant, bench.contents, bench.load, each=bench.scale.moved_each, seeds=bench.seeds)
            growths = grown(before)
            figures |= {"growth": sum(growths) / 1e6, "most": max(growths) / 1e6}
            forget_pushes(contestant, tuple(digest for digest in blobs_of(contestant) if digest not in kept))
        yield contestant.name, figures


def _growth(bench: Bench, _: Row) -> Figures:
    if any(contestant.name == PORTSIDE for contestant in bench.contestants):
        found = measure_growth(
            bench.folder,
            bench.credentials,
            bench.programs,
            bench.load,
            scale=bench.scale,
        )
        yield from ((PORTSIDE, figures) for figures in found)


def _told(bench: Bench, _: Row) -> Figures:
    if any(contestant.name == PORTSIDE for contestant in bench.contestants):
        found = measure_told(
            bench.folder,
            bench.credentials,
            bench.programs,
            rounds=bench.scale.rounds,
            pushes=bench.scale.told_pushes,
        )
        yield from ((PORTSIDE, figures) for figures in found)


def _auth(bench: Bench, row: Row) -> Figures:
    if any(contestant.name == PORTSIDE for contestant in bench.contestants):
        one = bench.shared.started(logged_in, bench)
        measures = {"requests": one.requests, "flood": one.flood}
        yield from ((PORTSIDE, figures) for figures in measures[row.name.partition(".")[2]]())


def _convert(bench: Bench, row: Row) -> Figures:
    if any(contestant.name == PORTSIDE for contestant in bench.contestants):
        one = bench.shared.started(converting, bench)
        measures = {"first": one.first, "again": one.again, "push": one.push, "gzip": one.gzip}
        yield from ((PORTSIDE, figures) for figures in measures[row.name.partition(".")[2]]())


def _v1(bench: Bench, row: Row) -> Figures:
    speakers = [each for each in bench.registries if each.name in {*EARLIER, *EARLIER.values()}]
    if row.name == "v1.push":
        for number in range(bench.scale.rounds + 1):
            for contestant in speakers:
                spent = measure_v1_push(contestant, bench.scale.v1_chains)
                if number > 0:
                    yield contestant.name, {"cpu": spent * 1e3}
        return
    with contextlib.ExitStack() as stack:
        large = bench.scale.pulled_each
        held = [(each.name, stack.enter_context(v1_images(each, large=large))) for each in speakers]
        for number in range(bench.scale.rounds + 1):
            for name, images in held:
                figures = {
                    "cpu": images.pull(bench.scale.v1_pulls) * 1e3,
                    "layer": images.layer(bench.load, bench.contents),
                }
                if number > 0:
                    yield name, figures


def _listings(bench: Bench, _: Row) -> Figures:
    names = [each.name for each in bench.registries if each.name in {REFERENCE, PORTSIDE, BEFORE}]
    folder = bench.folder / "listings"
    folder.mkdir()
    yield from measure_listings(folder, bench.credentials, bench.programs, bench.load, names=names, scale=bench.scale)


_MEASURES: Mapping[str, Callable[[Bench, Row], Figures]] = {
    "small": _small,
    "varied": _varied,
    "pull": _pull,
    "push": _push,
    "connect": _connect,
    "connect-one": _connect_one,
    "latency": _latency,
    "slow": _slow,
    "start": _start,
    "memory": _memory,
    "growth": _growth,
    "listings": _listings,
    "told": _told,
    "convert": _convert,
    "auth": _auth,
    "v1": _v1,
}
