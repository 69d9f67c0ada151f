"""The metrics page: summed over workers, true after a worker's death, and gone with the program."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path

import aiohttp

from tests.support.commands import running_command

SETTINGS = """
storage: {filesystem: {rootdirectory: data}}
gateway:
  addr: 127.0.0.1:0
  workers: 2
  v1: {addr: ""}
  v2: {addr: 127.0.0.1:0}
  metrics: {addr: 127.0.0.1:0}
"""
REQUESTS = 'registry_http_requests_total{backend="v2",code="200",handler="base",listener="v2",method="get"}'


async def _page(port: int) -> str:
    async with aiohttp.ClientSession() as client, client.get(f"http://127.0.0.1:{port}/metrics") as answer:
        assert answer.status == 200
        assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
        return await answer.text()


def _value(page: str, series: str) -> float:
    found = re.search(rf"^{re.escape(series)} (\S+)$", page, re.MULTILINE)
    return float(found[1]) if found is not None else 0.0


async def _until(port: int, true: Callable[[str], bool], *, seconds: float = 45.0) -> str:
    """Workers write down what they counted four times a second."""
    deadline = time.monotonic() + seconds
    while not true(page := await _page(port)):
        assert time.monotonic() < deadline, page
        await asyncio.sleep(0.05)
    return page


async def _ask(port: int, times: int) -> None:
    """Asks on connections of their own, so that all workers get some."""

    async def once() -> None:
        async with aiohttp.ClientSession() as client, client.get(f"http://127.0.0.1:{port}/v2/") as answer:
            assert answer.status == 200

    for _ in range(times // 10):
        await asyncio.gather(*(once() for _ in range(10)))


def _workers(parent: int) -> list[int]:
    return [int(pid) for pid in Path(f"/proc/{parent}/task/{parent}/children").read_text().split()]


def _mapped(pid: int) -> str:
    return Path(f"/proc/{pid}/maps").read_text()


def _folder_of(pid: int) -> Path:
    """Where a worker's shared files are: it holds them open."""
    maps = _mapped(pid)
    found = re.search(r"(/\S*/portside-metrics-[^/]+)/", maps)
    assert found is not None, maps
    return Path(found[1])


async def test_counts_are_summed_over_workers_and_outlive_them(tmp_path: Path) -> None:
    (tmp_path / "portside.yml").write_text(SETTINGS)
    with running_command("serve", "portside.yml", folder=tmp_path) as running:
        registry, metrics = running.port("v2"), running.port("metrics")
        await _ask(registry, 100)
        await _until(metrics, lambda page: _value(page, REQUESTS) == 100)
        pids = _workers(running.process.pid)
        assert len(pids) == 2
        folder = _folder_of(pids[0])
        os.kill(pids[0], signal.SIGKILL)
        running.wait_for_line(running.err, str(pids[0]), "it is replaced")
        await _ask(registry, 50)
        page = await _until(metrics, lambda page: _value(page, REQUESTS) == 150)
        assert _value(page, 'registry_http_in_flight_requests{listener="v2"}') == 0
        assert not list(folder.glob(f"gauge_live*_{pids[0]}.db"))
        assert running.end() == 0
    assert not folder.exists()


async def test_the_proxy_s_decisions_are_counted_by_generation_and_reason(tmp_path: Path) -> None:
    (tmp_path / "portside.yml").write_text(SETTINGS)
    agents = {"docker/1.5.0": 404, "docker/1.7.1": 200, "docker/24.0.7": 200}
    with running_command("serve", "portside.yml", folder=tmp_path) as running:
        front = running.port("proxy")
        metrics = running.port("metrics")
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=False)) as client:
            for agent, status in agents.items():
                async with client.get(f"https://127.0.0.1:{front}/v2/", headers={"User-Agent": agent}) as answer:
                    assert answer.status == status
            async with client.get(f"https://127.0.0.1:{front}/v1/_ping") as answer:
                assert answer.status == 200
        page = await _until(metrics, lambda page: page.count("portside_route_total{") == 4)
    for series in (
        'backend="proxy",generation="v1",why="older_than_1_6"',
        'backend="v2",generation="schema 1",why="speaks_v2"',
        'backend="v2",generation="modern",why="speaks_v2"',
        'backend="v1",generation="modern",why="path"',
    ):
        assert _value(page, f"portside_route_total{{{series}}}") == 1, page


async def test_the_metrics_listener_tells_health_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "portside.yml").write_text(SETTINGS)
    with running_command("serve", "portside.yml", folder=tmp_path) as running:
        base = f"http://127.0.0.1:{running.port('metrics')}"
        async with aiohttp.ClientSession() as client:
            async with client.get(f"{base}/debug/health") as answer:
                assert (answer.status, await answer.text()) == (200, "{}\n")
            async with client.get(f"{base}/v2/") as answer:
                assert answer.status == 404
                assert "/metrics, /debug/health and /debug/vars" in await answer.text()


async def test_without_a_listener_nothing_is_counted_and_no_folder_is_made(tmp_path: Path) -> None:
    (tmp_path / "v2.yml").write_text("{storage: inmemory, gateway: {v2: {addr: '127.0.0.1:0'}}}")
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    with running_command("v2", "v2.yml", folder=tmp_path, environment={"TMPDIR": str(temporary)}) as running:
        await _ask(running.port("v2"), 10)
        assert list(temporary.iterdir()) == []
        (worker,) = _workers(running.process.pid)
        assert "portside-metrics" not in _mapped(worker)


async def test_no_listener_names_a_library_or_its_version(tmp_path: Path) -> None:
    (tmp_path / "portside.yml").write_text(SETTINGS)
    with running_command("serve", "portside.yml", folder=tmp_path) as running:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=False)) as client:
            for listener, scheme in (("proxy", "https"), ("v2", "http"), ("metrics", "http")):
                for path in ("/", "/v2/", "/v1/_ping", "/v2/x/manifests/y", "/metrics", "/debug/health", "/nowhere"):
                    async with client.get(f"{scheme}://127.0.0.1:{running.port(listener)}{path}") as answer:
                        assert answer.headers.getall("Server") == ["Portside"], (listener, path)
