"""What becomes of small requests while eight clients push to a disk that is slow.

A server that writes in its event loop stops for everybody when the kernel stops it. That is seen from outside:
`GET /v2/`, which needs no disk, is asked a thousand times a second over eight connections, and what the slowest
thousandth waits is called a pause. Waiting for a core and for the client counts in it: `quiet` is the same while nobody
pushes.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench.contents import MANIFEST_TYPE, PUSHED, Contents, blobs_of, forget_pushes, make_contents, put_image
from bench.contestants import Contestant, Credentials, started_together
from bench.load import Load
from bench.peers import make_contestant
from bench.programs import Programs
from bench.scale import EIGHT, GIB, MIB, RATE, Scale
from bench.slow_disk import slow_disk

PROBES = 1000
"""A second."""

DIRTY = 16 * MIB
MEASURED = 0.8
"""Of the time that the disk needs for everything; the rest is a push's end."""


def measure_beside_pushes(
    folder: Path, credentials: Credentials, programs: Programs, load: Load, *, names: Sequence[str], scale: Scale
) -> Iterator[tuple[str, dict[str, float]]]:
    """Yields a registry's name and, of one round, milliseconds of manifests and pauses, and the rate of the pushes.

    Raises:
        Unavailable: no slow disk can be made here.
        Hindrance: an answer was wrong.
    """
    contents = make_contents(load, large=4096, several=4096)
    seeds = itertools.count(500_000)
    size = 2 * EIGHT * scale.slow_each + GIB
    logs = folder / "beside-pushes"
    logs.mkdir()
    with (
        slow_disk(logs, size=size, speed=scale.slow_speed, dirty=DIRTY) as disk,
        contextlib.ExitStack() as stack,
    ):
        running = [make_contestant(name, disk, credentials, programs) for name in names]
        for contestant in running:
            contestant.folder = logs  # on a disk that is not slow: what is said there is another matter
        stack.enter_context(started_together(running))
        for contestant in running:
            put_image(contestant, contents, load)
        for _ in range(scale.costly_rounds):
            for contestant in running:
                yield contestant.name, _round(contestant, contents, load, scale, seeds)


def _round(
    contestant: Contestant, contents: Contents, load: Load, scale: Scale, seeds: Iterator[int]
) -> dict[str, float]:
    kept = set(blobs_of(contestant))
    quiet = load.measure(contestant, "paced", *_probing(scale.paced_seconds)).result.p999_ms
    seconds = MEASURED * EIGHT * scale.slow_each / scale.slow_speed
    numbers = [f"-seed={seed}" for seed in itertools.islice(seeds, EIGHT)]
    asked = (f"-path={contents.tag_path}", f"-header=Accept: {MANIFEST_TYPE}", f"-length={len(contents.manifest)}")
    with (
        load.run(contestant, "push", f"-repository={PUSHED}", f"-size={scale.slow_each}", *numbers) as push,
        load.run(contestant, "paced", f"-rate={RATE}", f"-seconds={seconds}", *asked) as manifests,
        load.run(contestant, "paced", *_probing(seconds)) as probes,
    ):
        for run in (push, manifests, probes):
            run.begin()
        paced, probed, pushed = manifests.result(), probes.result(), push.result()
    forget_pushes(contestant, tuple(digest for digest in blobs_of(contestant) if digest not in kept))
    return {
        "p99": paced.p99_ms,
        "pauses": probed.p999_ms,
        "quiet": quiet,
        "rate": pushed.bytes / 1e6 / pushed.seconds,
    }


def _probing(seconds: float) -> tuple[str, ...]:
    return (f"-rate={PROBES}", f"-seconds={seconds}", f"-connections={EIGHT}", "-path=/v2/")
