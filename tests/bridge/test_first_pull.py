"""The first pull of a large old image: twenty clients, two workers, the one at work killed, and nobody times out.

The volume is one of docker-registry 0.9.1, about whose layers nobody knows anything. Everything is a fraction of what
it is in reality: bzip2 makes layers slow, rather than gigabytes; clients give up when no answer's head comes within
seven seconds (containerd: thirty, FOUND 37), and Portside lets them wait for four (by default: twenty). A connection
that breaks is tried anew.
"""

from __future__ import annotations

import bz2
import io
import math
import os
import random
import signal
import tarfile
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Final

import pytest

from tests.support.http_calls import Caller
from tests.support.images import V1Image, make_image
from tests.support.old_volumes import write_0_9_1
from tests.support.portside import Form, RunningPortside, running_portside
from tests.support.processes import busiest, descendants
from tests.support.pullers import PROGRAMS, Puller
from tests.support.wire import BrokenConnectionError, Response

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

CLIENTS: Final = 20
LAYERS: Final = 3
LAYER_SECONDS: Final = 1.2
"""So long a layer's bzip2 takes here and now; Portside needs about twice that, for it makes a gzip, too."""

PART_BYTES: Final = 16 << 20
HEAD_SECONDS: Final = 7.0

CONTAINERD: Final = PROGRAMS["containerd 2"]
SETTINGS: Final = {"gateway": {"conversions": {"patience": "4s", "background": False}}}


def _words(seed: int) -> bytes:
    """Text that compresses about as text does."""
    generator = random.Random(seed)
    words = [sha256(f"{seed} {number}".encode()).hexdigest()[: generator.randint(3, 9)] for number in range(5000)]
    return " ".join(generator.choices(words, k=PART_BYTES // 5)).encode()[:PART_BYTES].ljust(PART_BYTES)


@cache
def parts() -> int:
    """How many parts make a layer slow enough on this machine, with what else it does now."""
    part = bz2.compress(_words(0))
    began = time.monotonic()
    bz2.decompress(part)
    return math.ceil(LAYER_SECONDS / (time.monotonic() - began))


def slow_layer(seed: int) -> bytes:
    """A tar of one file of `parts()` equal parts, in as many bzip2 streams."""
    entry = tarfile.TarInfo(f"srv/{seed}")
    entry.size = parts() * PART_BYTES
    part = bz2.compress(_words(seed))
    return bz2.compress(entry.tobuf(tarfile.USTAR_FORMAT)) + part * parts() + bz2.compress(bytes(1024))


@pytest.fixture
def portside() -> Iterator[RunningPortside]:
    with tempfile.TemporaryDirectory(prefix="portside-") as name:
        folder = Path(name)
        chain = make_image("slow", layers=LAYERS).v1_chain(final_newline=True, closing_blocks=True)
        slow = [V1Image(each.id, each.json, slow_layer(number)) for number, each in enumerate(chain)]
        write_0_9_1(folder / "data", "team/slow", "b", slow)
        with running_portside(Form.TWO, folder, SETTINGS) as running:
            yield running


def resolve(portside: RunningPortside) -> tuple[str, int]:
    """What containerd does first: HEAD by tag; the digest that it is told, and how often it was told to ask again."""
    accepts = [("Accept", line) for line in CONTAINERD.accepts]
    for _ in range(3):
        caller = Caller(portside.address, CONTAINERD.agent, timeout_s=HEAD_SECONDS)
        try:
            answer = caller.send("HEAD", "/v2/team/slow/manifests/b", accepts)
        except BrokenConnectionError as error:
            if "timed out" in str(error):
                raise
            continue
        assert answer.status == 200, _told(answer)
        waited = [each.response.status for each in caller.transcript.exchanges if each.response]
        assert set(waited[:-1]) <= {307}, waited
        digest = answer.value("Docker-Content-Digest")
        assert digest is not None
        return digest, len(waited) - 1
    raise AssertionError("three connections broke")


def _told(answer: Response) -> str:
    return f"{answer.status} {answer.headers} {answer.body!r}"


def kill_the_worker_at_work(portside: RunningPortside) -> tuple[int, dict[Path, int]]:
    """Waits until a layer is done, then kills the worker that is at the next; and when what is known was written."""
    deadline = time.monotonic() + 120
    while not _known_layers(portside):
        assert time.monotonic() < deadline, "no layer was done"
        time.sleep(0.1)
    worker = busiest(descendants(portside.pids["serve"]), seconds=0.5)
    known = _known_layers(portside)
    os.kill(worker, signal.SIGKILL)
    assert len(known) < LAYERS, "all was done before anything was killed"
    return worker, known


def _known_layers(portside: RunningPortside) -> dict[Path, int]:
    facts = portside.data / "docker" / "registry" / "portside" / "index" / "v1-layers"
    return {path: path.stat().st_mtime_ns for path in facts.rglob("*") if path.is_file()}


def test_nobody_times_out(portside: RunningPortside) -> None:
    with ThreadPoolExecutor(CLIENTS + 1) as pool:
        killing = pool.submit(kill_the_worker_at_work, portside)
        resolving = [pool.submit(resolve, portside) for _ in range(CLIENTS)]
        killed, known_then = killing.result()
        results = [each.result() for each in resolving]
    digests = {digest for digest, _ in results}
    assert len(digests) == 1
    assert max(count for _, count in results) >= 1, "nobody had to wait"
    assert killed not in descendants(portside.pids["serve"])
    known_now = _known_layers(portside)
    assert known_then.items() <= known_now.items(), "a layer that was known was read again"
    began = time.monotonic()
    pulled = Puller(CONTAINERD, portside.address).pull("team/slow", "b")
    assert time.monotonic() - began < 60
    assert pulled.digest in digests
    for number, layer in enumerate(pulled.layers):
        assert layer.startswith(b"\x1f\x8b"), "containerd reads no bzip2"
        _check_file(layer, number)


def _check_file(layer: bytes, number: int) -> None:
    """Portion by portion: the whole is large."""
    wanted = sha256()
    part = _words(number)
    for _ in range(parts()):
        wanted.update(part)
    found = sha256()
    with tarfile.open(fileobj=io.BytesIO(layer), mode="r|gz") as archive:
        for entry in archive:
            file = archive.extractfile(entry)
            assert file is not None
            while piece := file.read(1 << 20):
                found.update(piece)
    assert found.digest() == wanted.digest()
