"""A process that finds out about the layers of v1 images, and says so line by line; it may be killed at any time.

Run as a program: `<root> <clients> <image id>…`. So many clients ask at once for each image in turn. It prints `asks
<id>`, `reads <id>` when it has read one itself, and `has <id> <diff_id>` when all of its clients have been answered.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from typing_extensions import override

from backends.model.names import ImageId
from backends.registry.facts import FactsInMemory
from backends.registry.layers.layers import Layers
from backends.registry.layers.observer import NoObserver
from backends.storage.factory import open_folder


class _Told(NoObserver):
    """Prints what was read."""

    def __init__(self) -> None:
        self.image = ""

    @override
    def measured(self, how: str, stored_bytes: int, raw_bytes: int) -> None:
        assert how == "demand"
        print(f"reads {self.image}", flush=True)


async def _main(root: Path, clients: int, images: Sequence[str]) -> None:
    storage, told = open_folder(root), _Told()
    layers = Layers(storage, storage, FactsInMemory(), observer=told)
    for image in images:
        told.image = image
        print(f"asks {image}", flush=True)
        found = await asyncio.gather(*(layers.measure_v1(ImageId(image)) for _ in range(clients)))
        (layer,) = set(found)
        print(f"has {image} {layer.facts.diff_id}", flush=True)
    await layers.close()
    await storage.close()


class LayerProcess:
    """Such a process, as a test has it."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.lines: list[str] = []

    def wait_for(self, line: str) -> None:
        """Reads on until it says this."""
        assert self.process.stdout is not None
        while line not in self.lines:
            said = self.process.stdout.readline()
            assert said, self.lines
            self.lines.append(said.strip())

    def end(self) -> list[str]:
        """Waits for its end, and returns all that it has said."""
        rest, _ = self.process.communicate(timeout=60)
        self.lines += rest.splitlines()
        return self.lines


@contextmanager
def layer_process(root: Path, images: Sequence[str], *, clients: int = 1) -> Iterator[LayerProcess]:
    """Runs one."""
    command = [sys.executable, "-m", "tests.support.layer_processes", str(root), str(clients), *images]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            yield LayerProcess(process)
        finally:
            process.kill()


if __name__ == "__main__":
    asyncio.run(_main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]))
