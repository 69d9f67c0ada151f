"""What it costs a push that an endpoint is told of it: two Portsides side by side, one of them with an endpoint."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import os
import ssl
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from http.client import HTTPSConnection
from pathlib import Path
from urllib.parse import urlsplit

from bench.contents import AGENT, MANIFEST_TYPE, REPOSITORY
from bench.contestants import HOST, Contestant, Credentials, start_program, started_together
from bench.peers import portside
from bench.programs import Hindrance, Programs
from bench.scale import MIB

_ROOT = Path(__file__).parents[1]


def measure_told(
    folder: Path, credentials: Credentials, programs: Programs, *, rounds: int, pushes: int
) -> Iterator[dict[str, float]]:
    """Yields, for each round, the time of each kind of push with an endpoint divided by that without.

    Args:
        folder: for both.
        credentials: their certificate.
        programs: what is started.
        rounds: how many.
        pushes: of each kind, of each of the two, in turn, in a round; their medians count.
    """
    numbers = itertools.count()
    context = ssl.create_default_context(cafile=str(credentials.ca))
    with contextlib.ExitStack() as stack:
        taker = start_program([sys.executable, "-m", "bench.taking"], subprocess.PIPE, folder=_ROOT)
        stack.callback(taker.wait)
        stack.callback(taker.kill)
        assert taker.stdout is not None, "it is a pipe"
        endpoint = {"name": "taker", "url": f"http://{HOST}:{int(taker.stdout.readline())}/"}
        both: list[Contestant] = []
        for name, endpoints in (("told", [endpoint]), ("untold", [])):
            own = folder / name
            (own / "data").mkdir(parents=True)
            both.append(portside(own, credentials, programs, name=name, endpoints=endpoints))
        stack.enter_context(started_together(both))
        pair = [_Pusher(contestant, context, numbers) for contestant in both]
        for pusher in pair:
            stack.callback(pusher.close)
        for _ in range(rounds):
            times: list[dict[str, list[float]]] = [{}, {}]
            for turn in range(pushes):
                for index in (0, 1) if turn % 2 else (1, 0):
                    for kind, took in pair[index].push().items():
                        times[index].setdefault(kind, []).append(took)
            told, untold = ({kind: statistics.median(each) for kind, each in found.items()} for found in times)
            yield {kind: told[kind] / untold[kind] for kind in told}


class _Pusher:
    """A client of one registry."""

    def __init__(self, contestant: Contestant, context: ssl.SSLContext, numbers: Iterator[int]) -> None:
        self._connection = HTTPSConnection(HOST, contestant.port, timeout=60, context=context)
        self._numbers = numbers

    def push(self) -> dict[str, float]:
        """Pushes an image that nobody has seen; returns the seconds of the whole, a small blob, and the manifest."""
        config = json.dumps({"number": next(self._numbers)}).encode()
        layer = os.urandom(MIB)
        parts = [
            {"mediaType": kind, "digest": _digest(content), "size": len(content)}
            for kind, content in (("application/x-config", config), ("application/x-layer", layer))
        ]
        manifest = {"schemaVersion": 2, "mediaType": MANIFEST_TYPE, "config": parts[0], "layers": parts[1:]}
        begun = time.perf_counter()
        self._blob(layer)
        small = time.perf_counter()
        self._blob(config)
        last = time.perf_counter()
        self._ask("PUT", f"/v2/{REPOSITORY}/manifests/told", json.dumps(manifest).encode(), MANIFEST_TYPE)
        end = time.perf_counter()
        return {"image": end - begun, "blob": last - small, "manifest": end - last}

    def _blob(self, content: bytes) -> None:
        place = self._ask("POST", f"/v2/{REPOSITORY}/blobs/uploads/")
        place = self._ask("PATCH", place, content)
        self._ask("PUT", f"{place}?digest={_digest(content)}")

    def _ask(self, method: str, path: str, body: bytes = b"", kind: str = "application/octet-stream") -> str:
        self._connection.request(method, path, body, {"Content-Type": kind, "User-Agent": AGENT})
        answer = self._connection.getresponse()
        said = answer.read()
        if answer.status not in {201, 202}:
            raise Hindrance(f"{method} {path} was answered with {answer.status}: {said[:200]!r}")
        return urlsplit(answer.headers.get("Location", "")).path

    def close(self) -> None:
        self._connection.close()


def _digest(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()
