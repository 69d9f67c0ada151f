"""Fifty clients push to one v1 registry whose workers, and all of it, are killed again and again.

After that everything that was acknowledged is there to the byte, no tag names an image that cannot be pulled, and
`portside v1 check` finds nothing but pushes that did not end. `PORTSIDE_STORM_SECONDS` makes it longer.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from http.client import HTTPException
from pathlib import Path
from typing import Final

import pytest

from tests.support.commands import children, portside
from tests.support.ports import free_port
from tests.support.programs import wait_for_port
from tests.support.v1_storm import Storm, TagWrite, ask, chain

SECONDS: Final = float(os.environ.get("PORTSIDE_STORM_SECONDS", "15"))
WORKERS: Final = 4
UNENDED: Final = {"half-pushed", "staged", "image-unfinished", "temporary", "parent-not-yet", "index-names-absent"}
"""What a push leaves that did not end: notes of `portside v1 check`."""


@dataclass(slots=True)
class Supervised:
    """`portside v1` on one port, started again whenever it ends, as a service manager does.

    It ends by itself, too, where a worker dies while it starts: the next one would die of the same reason.

    Attributes:
        workers: how many of its workers were killed.
        programs: how often it was killed as a whole.
        starts: how often it was started.
    """

    folder: Path
    port: int = field(default_factory=free_port)
    workers: int = 0
    programs: int = 0
    starts: int = 0
    _process: subprocess.Popen[bytes] | None = None
    _ending: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    @property
    def data(self) -> Path:
        return self.folder / "data"

    def begin(self) -> None:
        self._start()
        assert self._process is not None
        wait_for_port(self.port, self._process, timeout_s=60)
        self._thread = threading.Thread(target=self._supervise, daemon=True)
        self._thread.start()

    def _supervise(self) -> None:
        while not self._ending.is_set():
            assert self._process is not None
            self._process.wait()
            if not self._ending.is_set():
                self._start()

    def _start(self) -> None:
        command = [sys.executable, "-m", "portside.cli", "v1", "--workers", str(WORKERS), "--data", str(self.data)]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [*command, "--addr", f"127.0.0.1:{self.port}"],
                env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.starts += 1

    def kill_worker(self) -> None:
        assert self._process is not None
        with contextlib.suppress(FileNotFoundError, ProcessLookupError, IndexError):
            os.kill(random.choice(sorted(children(self._process.pid))), signal.SIGKILL)
            self.workers += 1

    def kill(self) -> None:
        assert self._process is not None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
            self.programs += 1

    def end(self) -> None:
        self._ending.set()
        self.kill()
        if self._thread is not None:
            self._thread.join(timeout=10)

    def wait(self) -> None:
        """Waits until it answers."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError, HTTPException):
                if ask(self.port, "GET", "/v1/_ping")[0] == 200:
                    return
            time.sleep(0.1)
        raise AssertionError((self.folder / "log").read_text(errors="replace")[-2000:])


@pytest.mark.slow
@pytest.mark.timeout(SECONDS + 240)
def test_what_was_acknowledged_is_there_after_a_storm(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    registry = Supervised(tmp_path)
    registry.begin()
    storm = Storm(registry.port)
    try:
        storm.begin()
        until = time.monotonic() + SECONDS
        while time.monotonic() < until:
            time.sleep(random.uniform(0.1, 0.8))
            registry.kill_worker()
            if random.random() < 0.15:
                registry.kill()
        storm.end(within_s=120)
        registry.kill()
        registry.wait()
        layers = [check_image(storm, image_id) for image_id in storm.finished]
        for (name, tag), writes in storm.tags.items():
            check_tag(storm.port, name, tag, writes)
        record_property(
            "shown at the end",
            f"v1 push storm, {SECONDS:.0f} s: {storm.pushes} pushes of {len(layers)} images, {sum(layers)} bytes, by"
            f" {storm.clients} clients; {registry.workers} workers and {registry.programs} programs were killed,"
            f" it was started {registry.starts} times",
        )
        assert storm.pushes >= storm.clients
        assert sum(count for (_, status), count in storm.statuses.items() if status == "broken") > 0
    finally:
        registry.end()
    checked = portside("v1", "check", "--json", "--data", registry.data, folder=tmp_path, timeout_s=120)
    *findings, _ = map(json.loads, checked.stdout.splitlines())
    assert {each["kind"] for each in findings} <= UNENDED, checked.stdout[-3000:]
    assert checked.returncode == 0, checked.stderr[-2000:]


def check_image(storm: Storm, image_id: str) -> int:
    """An image that was acknowledged is as it was pushed; returns the length of its layer."""
    pushed = storm.finished[image_id]
    assert len({each.layer for each in pushed}) == 1, f"two layers were acknowledged for {image_id}"
    place = f"/v1/images/{image_id}"
    assert ask(storm.port, "GET", f"{place}/json") == (200, pushed[0].json)
    assert ask(storm.port, "GET", f"{place}/layer") == (200, pushed[0].layer)
    return len(pushed[0].layer)


def check_tag(port: int, name: str, tag: str, writes: Sequence[TagWrite]) -> None:
    """A tag names an image that it was moved to, and not before another move was acknowledged; its chain is whole."""
    status, body = ask(port, "GET", f"/v1/repositories/{name}/tags/{tag}")
    acknowledged = [write for write in writes if write.ended < float("inf")]
    if status == 404:
        assert not acknowledged, (name, tag)
        return
    named = json.loads(body)
    last_begin = max((write.began for write in acknowledged), default=0.0)
    assert named in {write.image_id for write in writes if write.ended >= last_begin}, (name, tag, named)
    status, body = ask(port, "GET", f"/v1/images/{named}/ancestry")
    assert status == 200, (name, tag)
    for image_id in json.loads(body):
        assert ask(port, "GET", f"/v1/images/{image_id}/json")[0] == 200
        assert ask(port, "GET", f"/v1/images/{image_id}/layer")[0] == 200


def test_the_storm_has_images_in_common_and_layers_that_differ() -> None:
    first, second = chain(10), chain(11)
    assert [a.id == b.id for a, b in zip(first, second, strict=True)] == [True, True, True, False]
    assert chain(10, variant=1)[-1].json == first[-1].json
    assert chain(10, variant=1)[-1].layer != first[-1].layer
