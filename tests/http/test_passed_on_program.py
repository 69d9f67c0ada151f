"""Requests that the proxy passes on unread: each leaves its line and its counts, and a stop waits for their answers."""

from __future__ import annotations

import asyncio
import re
import signal
import tempfile
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import yaml

from tests.support.commands import RunningCommand, running_command
from tests.support.loopback import connect
from tests.support.proxies import answered
from tests.support.upstreams import Conversation, Head, Peer, spoken_by_hand

DATE = "Date: Fri, 27 Nov 2026 12:00:00 GMT"
ASKED = "GET /v2/a/tags/list?n=5 HTTP/1.1\r\nHost: h\r\nUser-Agent: docker/24.0.7\r\n\r\n"
LINE = re.compile(
    r'127\.0\.0\.1 - - \[[^]]+\] "GET /v2/a/tags/list\?n=5 HTTP/1\.1" 200 2 "-" "docker/24\.0\.7"'
    r' \d+\.\d{4} v2 "docker 24\.0\.7 speaks v2"'
)


@asynccontextmanager
async def proxy_before(folder: Path, converse: Conversation) -> AsyncIterator[tuple[RunningCommand, Peer]]:
    """The program as proxy, with one worker, and a connection to it."""
    with tempfile.TemporaryDirectory(prefix="ps-") as sockets:
        async with spoken_by_hand(converse, unix=Path(sockets) / "s") as upstream:
            gateway = {"workers": 1, "v2": {"upstream": upstream.address}, "metrics": {"addr": "127.0.0.1:0"}}
            settings = {"version": 0.1, "http": {"addr": "127.0.0.1:0"}, "gateway": gateway}
            (folder / "proxy.yml").write_text(yaml.safe_dump(settings))
            starting = running_command("proxy", "proxy.yml", folder=folder)
            running = await asyncio.to_thread(starting.__enter__)
            try:
                async with asyncio.timeout(30), connect("127.0.0.1", running.port("proxy")) as client:
                    yield running, client
            finally:
                await asyncio.to_thread(starting.__exit__, None, None, None)


def _counted(running: RunningCommand) -> float:
    with urllib.request.urlopen(f"http://127.0.0.1:{running.port('metrics')}/metrics", timeout=20) as page:
        lines = page.read().decode().splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith("portside_route_total{"))


def _lines(running: RunningCommand) -> list[str]:
    return [line for line in running.out.read_text().splitlines() if "/tags/list" in line]


async def test_each_leaves_its_line_and_its_counts(tmp_path: Path) -> None:
    async def converse(peer: Peer) -> None:
        while True:
            await peer.read_head()
            await peer.answer("200 OK", DATE, body=b"{}")

    async with proxy_before(tmp_path, converse) as (running, client):
        for _ in range(30):
            await client.send(ASKED)
            assert (await answered(client)).body == b"{}"
        async with asyncio.timeout(30):
            while await asyncio.to_thread(_counted, running) < 30 or len(_lines(running)) < 30:  # noqa: ASYNC110 - another process
                await asyncio.sleep(0.05)
        assert len(_lines(running)) == 30
        assert [line for line in _lines(running) if LINE.fullmatch(line) is None] == []
        assert await asyncio.to_thread(_counted, running) == 30


async def test_one_that_its_client_leaves_is_told_as_gone(tmp_path: Path) -> None:
    silent, left = False, asyncio.Event()

    async def converse(peer: Peer) -> None:
        while True:
            await peer.read_head()
            if silent:
                await peer.other_side_closed()
                left.set()
                return
            await peer.answer("200 OK", DATE, body=b"{}")

    async with proxy_before(tmp_path, converse) as (running, client):
        for _ in range(8):
            await client.send(ASKED)
            await answered(client)
        silent = True
        await client.send(ASKED)
        await asyncio.sleep(0.1)
        client.leave()
        await left.wait()
        await asyncio.to_thread(running.wait_for_line, running.out, '" 499 0 ')


async def test_a_stop_waits_for_its_answer_which_is_the_last(tmp_path: Path) -> None:
    slow, asked = False, asyncio.Event()
    heads: list[Head] = []

    async def converse(peer: Peer) -> None:
        while True:
            heads.append(await peer.read_head())
            if slow:
                asked.set()
                await asyncio.sleep(1.0)
            await peer.answer("200 OK", DATE, body=b"{}")

    async with proxy_before(tmp_path, converse) as (running, client):
        for _ in range(8):
            await client.send(ASKED)
            await answered(client)
        slow = True
        await client.send(ASKED)
        await asked.wait()
        running.process.send_signal(signal.SIGTERM)
        answer = await answered(client)
        assert (answer.status, answer.body, answer.head.value("Connection")) == (200, b"{}", "close")
        assert await client.reader.read() == b""
        assert await asyncio.to_thread(running.process.wait, 10) == 0
