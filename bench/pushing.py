"""Pushes of blobs: of noise and of real layers, by one client and by eight, in each way in which clients send them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.contents import PUSHED, forget_pushes
from bench.contestants import Contestant
from bench.layers import real_layers
from bench.load import Load, Measured
from bench.scale import EIGHT, MIB, Scale

LAYERS = 3
"""So many real layers are made; eight clients push them in turn, each in bytes of its own."""


@dataclass(frozen=True, slots=True)
class Push:
    """One way to push.

    Attributes:
        how: `chunked` (one PATCH, as docker), `length` (one PATCH with a Content-Length, as skopeo and podman) or `put`
            (one PUT with a Content-Length, as containerd and BuildKit).
        clients: how many at once.
        real: layers of this machine's files in gzip, instead of noise.
    """

    how: str
    clients: int
    real: bool = False


PUSHES = {
    "push.one": Push("chunked", 1),
    "push.eight": Push("chunked", EIGHT),
    "push.one-length": Push("length", 1),
    "push.eight-length": Push("length", EIGHT),
    "push.real": Push("chunked", EIGHT, real=True),
    "push.real-put": Push("put", EIGHT, real=True),
}
"""By the names of rows."""


def measure_push(
    push: Push, registries: Sequence[Contestant], load: Load, scale: Scale, *, folder: Path, seeds: Iterator[int]
) -> Iterator[tuple[str, dict[str, float]]]:
    """Yields a registry's name and what one round found: CPU, rate and page faults.

    Args:
        push: how.
        registries: which, in turn.
        load: pushes.
        scale: how much.
        folder: where real layers are written.
        seeds: numbers of contents that nobody has pushed yet.
    """
    files = write_layers(folder, scale) if push.real else []
    from_files = [f"-file={file}" for file in files]
    counted = scale.large if push.clients == 1 else scale.pushed_each
    for number in range(scale.rounds + 1):
        size = counted if number else int(counted * scale.warming)
        numbers = tuple(itertools.islice(seeds, push.clients))
        digests = load.digests(numbers, size=size, files=files)
        known = [*(f"-seed={seed}" for seed in numbers), *(f"-digest={digest}" for digest in digests)]
        for registry in registries:
            arguments = (f"-repository={PUSHED}", f"-how={push.how}", f"-size={size}", *known, *from_files)
            found = load.measure(registry, "push", *arguments)
            if number > 0:
                yield registry.name, moved(found)
            else:
                paths = [f"-path=/v2/{PUSHED}/blobs/{digest}" for digest in digests]
                load.measure(registry, "pull", "-verify", f"-clients={len(paths)}", *paths)
            forget_pushes(registry, digests)


def write_layers(folder: Path, scale: Scale) -> list[Path]:
    """Writes layers of this machine's files, in gzip as docker makes it; returns where they are."""
    files = [folder / f"layer-{number}.tar.gz" for number in range(LAYERS)]
    if not files[-1].exists():
        for file, layer in zip(files, real_layers(LAYERS, size=scale.converted_each), strict=True):
            file.write_bytes(layer.gzip)
    return files


def moved(found: Measured) -> dict[str, float]:
    """Returns what it cost to move bytes: CPU seconds for each GB, MB/s, page faults for each MiB."""
    return {
        "cpu": found.used.cpu / (found.result.bytes / 1e9),
        "rate": found.result.bytes / 1e6 / found.result.seconds,
        "faults": found.used.faults / (found.result.bytes / MIB),
    }
