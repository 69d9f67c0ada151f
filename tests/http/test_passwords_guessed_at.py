"""200 wrong passwords a second, and those who are logged in beside them: what their pulls cost, and how long they wait.

One worker, so that nothing hides in another one. The bench has the same at full speed (`auth.flood`).
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import itertools
import os
import re
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import bcrypt
import pytest
import yaml

from backends.auth.slowing import AT_ONCE, RECOVERY_SECONDS
from tests.support.commands import RunningCommand, children, running_command
from tests.support.gated import basic
from tests.support.ports import free_port
from tests.support.serving_here import Client

pytestmark = pytest.mark.xdist_group("guesses")

COST = 10
LAYER = os.urandom(8 << 20)
DIGEST = "sha256:" + hashlib.sha256(LAYER).hexdigest()
BLOB = f"/v2/team/app/blobs/{DIGEST}"
ME = basic("alice", "wonder")
RATE = 200
PULLS = 150
TRIES = 10


@dataclass(slots=True)
class Place:
    """A registry that is guessed at.

    Attributes:
        statuses: of the answers to guesses.
    """

    running: RunningCommand
    port: int
    metrics: int
    statuses: Counter[int] = field(default_factory=Counter)
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def cpu(self) -> float:
        """Seconds that all its threads have used."""
        pids = (self.running.process.pid, *children(self.running.process.pid))
        threads = (each for pid in pids for each in Path(f"/proc/{pid}/task").iterdir())
        return sum(int((each / "schedstat").read_text().split()[0]) for each in threads) / 1e9

    async def checks(self) -> int:
        """How many passwords it has checked with bcrypt."""
        page = (await Client("127.0.0.1", self.metrics).ask("GET", "/metrics")).body.decode()
        return int(float(re.findall(r"(?m)^portside_auth_password_seconds_count (\S+)$", page)[0]))

    @contextlib.asynccontextmanager
    async def guesses(self, *, addresses: int = 1) -> AsyncIterator[None]:
        """Has passwords guessed at in the block, each another one; ends when the first of them have been checked."""
        connections = 20
        tasks = [
            asyncio.create_task(self._guess(f"127.9.0.{number % addresses + 1}", connections / RATE))
            for number in range(connections)
        ]
        try:
            await asyncio.sleep(2)
            async with asyncio.timeout(60):  # threads that have nothing to do otherwise check them
                while self.statuses[401] < AT_ONCE:  # noqa: ASYNC110 - what others count
                    await asyncio.sleep(0.05)
            yield
        finally:
            for task in tasks:
                task.cancel()
            ended = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(each, asyncio.CancelledError) for each in ended), ended

    async def _guess(self, address: str, pause: float) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, local_addr=(address, 0))
        try:
            while True:
                began = time.perf_counter()
                header = basic("alice", f"guess {next(self._numbers)}")["Authorization"]
                writer.write(f"GET /v2/ HTTP/1.1\r\nHost: x\r\nAuthorization: {header}\r\n\r\n".encode())
                head = await reader.readuntil(b"\r\n\r\n")
                length = re.search(rb"(?i)content-length: (\d+)", head)
                assert length is not None
                await reader.readexactly(int(length[1]))
                self.statuses[int(head[9:12])] += 1
                await asyncio.sleep(max(0.0, pause - (time.perf_counter() - began)))
        finally:
            writer.close()

    async def pull(self) -> float:
        """Pulls a layer again and again; returns the CPU that the registry took meanwhile."""
        before = self.cpu()
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        request = f"GET {BLOB} HTTP/1.1\r\nHost: x\r\nAuthorization: {ME['Authorization']}\r\n\r\n".encode()
        for _ in range(PULLS):
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200"), head
            left = len(LAYER)
            while left:
                left -= len(await reader.read(min(left, 1 << 20)))
        writer.close()
        return self.cpu() - before

    async def p99(self) -> float:
        """Asks for something small 100 times a second; returns the time within which 99 of 100 answers came."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        request = f"HEAD {BLOB} HTTP/1.1\r\nHost: x\r\nAuthorization: {ME['Authorization']}\r\n\r\n".encode()
        times = []
        for _ in range(200):
            began = time.perf_counter()
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            times.append(time.perf_counter() - began)
            assert head.startswith(b"HTTP/1.1 200"), head
            await asyncio.sleep(0.01)
        writer.close()
        return sorted(times)[-2]


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    port, metrics = free_port(), free_port()
    users = tmp_path / "users"
    users.write_text(f"alice:{bcrypt.hashpw(b'wonder', bcrypt.gensalt(COST)).decode()}\n")
    settings = {
        "version": 0.1,
        "log": {"accesslog": {"disabled": True}},
        "storage": {"filesystem": {"rootdirectory": str(tmp_path / "data")}},
        "http": {"addr": f"127.0.0.1:{port}"},
        "auth": {"htpasswd": {"realm": "here", "path": str(users)}},
        "gateway": {"workers": 1, "metrics": {"addr": f"127.0.0.1:{metrics}"}},
    }
    config = tmp_path / "config.yml"
    config.write_text(yaml.safe_dump(settings))
    with running_command("v2", config, folder=tmp_path, port=port) as running:
        client = Client("127.0.0.1", port)
        started = await client.ask("POST", "/v2/team/app/blobs/uploads/", ME)
        type_ = {"Content-Type": "application/octet-stream"}
        pushed = await client.ask("PUT", f"{started.path}?digest={DIGEST}", {**ME, **type_}, body=LAYER)
        assert pushed.status == 201, pushed.body
        yield Place(running, port, metrics)


async def test_guesses_cost_no_more_than_a_few_checks(place: Place) -> None:
    before = await place.checks()
    began = time.monotonic()
    async with place.guesses():
        await asyncio.sleep(3)
    spent = time.monotonic() - began
    checked = await place.checks() - before
    assert AT_ONCE <= checked <= AT_ONCE + spent / RECOVERY_SECONDS + 1
    assert place.statuses.keys() == {401, 429}
    assert place.statuses[401] == checked
    assert place.statuses[429] > RATE


async def test_a_pull_beside_guesses_costs_little_more(place: Place) -> None:
    ratios = []
    await place.pull()
    for _ in range(TRIES):
        quiet = await place.pull()
        async with place.guesses():
            ratios.append(await place.pull() / quiet)
        if ratios[-1] <= 1.2:
            break
    assert min(ratios) <= 1.2, ratios


@pytest.mark.parametrize("addresses", [1, 20])
async def test_small_requests_beside_guesses_wait_little_longer(place: Place, addresses: int) -> None:
    ratios = []
    for _ in range(TRIES):
        quiet = await place.p99()
        async with place.guesses(addresses=addresses):
            ratios.append(await place.p99() / quiet)
        if ratios[-1] <= 3:
            break
    assert min(ratios) <= 3, ratios
