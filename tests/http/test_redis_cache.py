"""A cache in a real Redis, as the program has it: shared, lost, brought back, and never believed about who has what."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from http.client import HTTPConnection, HTTPException
from pathlib import Path

import pytest

from tests.support.commands import children, portside, running_command
from tests.support.ports import free_port
from tests.support.redis_server import RedisServer, redis_server
from tests.support.serving_here import OCI_MANIFEST, make_manifest

LARGE = make_manifest(b"{}", b"a layer", annotations={"pad": "x" * 100_000})
DIGEST = "sha256:" + sha256(LARGE).hexdigest()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    with redis_server(tmp_path / "redis") as running:
        yield running


def write_settings(folder: Path, redis: str, *, workers: int = 1, more: str = "") -> tuple[int, int]:
    """Writes v2.yml in 2.x's spelling; returns the ports of the registry and of its metrics."""
    port, metrics = free_port(), free_port()
    (folder / "v2.yml").write_text(
        f"version: 0.1\nlog: {{level: debug}}\n"
        f"storage: {{filesystem: {{rootdirectory: {folder}/data}}, cache: {{blobdescriptor: redis}},"
        f" delete: {{enabled: true}}}}\n"
        f"redis: {{addr: '{redis}', readtimeout: 100ms, writetimeout: 100ms, dialtimeout: 100ms}}\n"
        f"gateway: {{workers: {workers}, v2: {{addr: '127.0.0.1:{port}'}}, metrics: {{addr: '127.0.0.1:{metrics}'}}}}\n"
        f"{more}\n"
    )
    return port, metrics


def ask(port: int, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, dict[str, str], bytes]:
    connection = HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request(method, path, body or None, headers)
    answer = connection.getresponse()
    found = answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
    connection.close()
    return found


def push(port: int, name: str, manifest: bytes = LARGE) -> None:
    for blob in (b"{}", b"a layer"):
        digest = "sha256:" + sha256(blob).hexdigest()
        status, headers, _ = ask(port, "POST", f"/v2/{name}/blobs/uploads/")
        assert status == 202
        place = re.sub("^http://[^/]*", "", headers["location"])
        joint = "&" if "?" in place else "?"
        assert ask(port, "PUT", f"{place}{joint}digest={digest}", blob)[0] == 201
    typed = {"Content-Type": OCI_MANIFEST}
    assert ask(port, "PUT", f"/v2/{name}/manifests/latest", manifest, **typed)[0] == 201


def pull(port: int, name: str = "team/app") -> None:
    status, headers, body = ask(port, "GET", f"/v2/{name}/manifests/latest", Accept=OCI_MANIFEST)
    assert (status, headers["content-type"], body) == (200, OCI_MANIFEST, LARGE)


def counted(metrics: int) -> dict[str, float]:
    page = ask(metrics, "GET", "/metrics")[2].decode()
    return {
        name: float(value)
        for name, value in re.findall(r'^registry_storage_cache_total\{type="(\w+)"\} (\S+)$', page, re.MULTILINE)
    }


def until_health(metrics: int, expected: str, *, seconds: float = 45.0) -> None:
    """Asks until the body has these words, or is empty, by all workers: each finds out for itself."""
    deadline = time.monotonic() + seconds
    while not all(expected in (said := redis_by(metrics)) and bool(expected) == bool(said) for _ in range(20)):
        assert time.monotonic() < deadline, expected
        time.sleep(0.05)


def redis_by(metrics: int) -> str:
    """What health says of Redis, by some worker; the status is always 200, and all else is well."""
    status, _, body = ask(metrics, "GET", "/debug/health")
    assert status == 200
    found: dict[str, str] = json.loads(body)
    assert not found.keys() - {"redis"}
    return found.get("redis", "")


def test_facts_outlive_the_process_and_are_counted(tmp_path: Path, server: RedisServer) -> None:
    port, metrics = write_settings(tmp_path, server.address)
    with running_command("v2", "v2.yml", folder=tmp_path) as running:
        running.wait_for_line(running.err, "using redis blob descriptor cache")
        push(port, "team/app")
        pull(port)
        assert counted(metrics) == {"Request": 1, "Hit": 1}
        (name,) = server.names()
        assert name.endswith(f":manifest:{DIGEST}")
    server.ask("FLUSHALL")
    with running_command("v2", "v2.yml", folder=tmp_path):
        for expected in ({"Request": 1, "Miss": 1}, {"Request": 2, "Miss": 1, "Hit": 1}):
            pull(port)
            assert counted(metrics) == expected
        assert server.names() == [name]
    with running_command("v2", "v2.yml", folder=tmp_path):
        pull(port)
        assert counted(metrics) == {"Request": 1, "Hit": 1}
        page = ask(metrics, "GET", "/metrics")[2].decode()
        assert "registry_storage_cache_requests_total 1.0" in page
        assert "registry_storage_cache_hits_total 1.0" in page


def test_who_has_what_is_asked_of_storage(tmp_path: Path, server: RedisServer) -> None:
    """CVE-2026-35172: what was deleted became readable again by another repository's push of the same digest."""
    port, _ = write_settings(tmp_path, server.address)
    with running_command("v2", "v2.yml", folder=tmp_path):
        push(port, "team/app")
        pull(port)
        assert ask(port, "DELETE", f"/v2/team/app/manifests/{DIGEST}")[0] == 202
        layer = "sha256:" + sha256(b"a layer").hexdigest()
        assert ask(port, "DELETE", f"/v2/team/app/blobs/{layer}")[0] == 202
        push(port, "team/other")
        pull(port, "team/other")
        for path in (f"manifests/{DIGEST}", "manifests/latest", f"blobs/{layer}"):
            assert ask(port, "GET", f"/v2/team/app/{path}")[0] == 404
            assert ask(port, "HEAD", f"/v2/team/app/{path}")[0] == 404
        assert not any("team" in key for key in server.names())


def test_killed_and_brought_back_under_load(tmp_path: Path, server: RedisServer) -> None:
    port, metrics = write_settings(tmp_path, server.address, workers=3)
    ended = False
    slowest = 0.0
    pulls = 0

    def pull_on() -> None:
        nonlocal slowest, pulls
        while not ended:
            began = time.monotonic()
            pull(port)
            slowest = max(slowest, time.monotonic() - began)
            pulls += 1

    with running_command("v2", "v2.yml", folder=tmp_path) as running, ThreadPoolExecutor(4) as threads:
        push(port, "team/app")
        pulling = [threads.submit(pull_on) for _ in range(4)]
        try:
            until_health(metrics, "")
            for change, words in (
                (server.kill, "does not answer: cannot connect: Connection refused"),
                (server.start, ""),
                (server.freeze, "does not answer: it "),
                (server.thaw, ""),
            ):
                change()
                until_health(metrics, words)
                before = pulls
                deadline = time.monotonic() + 20
                while pulls == before:
                    assert time.monotonic() < deadline
                    time.sleep(0.02)
        finally:
            ended = True
        for each in pulling:
            each.result()
        lines = [line for line in running.err.read_text().splitlines() if "health: redis" in line]
        assert [("does not answer" in line, "healthy again" in line) for line in lines] == [
            (True, False),
            (False, True),
        ] * 2
        assert all("level=warn" in line for line in lines[::2])
        assert "Traceback" not in running.err.read_text()
    assert slowest < 8


def test_what_was_acknowledged_is_there_whatever_was_killed(tmp_path: Path, server: RedisServer) -> None:
    """Portside with -9 in the middle of pushes, and Redis with all that it knew."""
    port, _ = write_settings(tmp_path, server.address, workers=2)
    acknowledged: dict[str, bytes] = {}

    def push_on(pusher: int) -> None:
        with contextlib.suppress(OSError, HTTPException):
            for number in range(1000):
                content = make_manifest(b"{}", b"a layer", annotations={"pad": f"{pusher}.{number}" * 10_000})
                path = f"/v2/team/app/manifests/t{pusher}.{number}"
                if ask(port, "PUT", path, content, **{"Content-Type": OCI_MANIFEST})[0] == 201:
                    acknowledged[path] = content

    for turn in range(3):
        with running_command("v2", "v2.yml", folder=tmp_path) as running, ThreadPoolExecutor(3) as threads:
            push(port, "team/app")
            for path, content in acknowledged.items():
                status, headers, body = ask(port, "GET", path)
                assert (status, headers["content-type"], body) == (200, OCI_MANIFEST, content), path
                assert ask(port, "HEAD", path)[1]["content-length"] == str(len(content))
            for pusher in range(3):
                threads.submit(push_on, 3 * turn + pusher)
            time.sleep(1)
            workers = children(running.process.pid)
            for pid in (running.process.pid, *workers):
                os.kill(pid, signal.SIGKILL)
        if turn == 1:
            server.kill()
            server.start()
    assert len(acknowledged) > 10


def test_a_redis_that_is_not_there_at_the_start_is_said_once(tmp_path: Path) -> None:
    dead = free_port()
    port, metrics = write_settings(tmp_path, f"127.0.0.1:{dead}", workers=2)
    with running_command("v2", "v2.yml", folder=tmp_path) as running:
        running.wait_for_line(
            running.err, "level=warn", "health: redis: Redis at", "cannot connect: Connection refused"
        )
        push(port, "team/app")
        for _ in range(5):
            pull(port)
        time.sleep(0.5)
        assert sum("health: redis" in line for line in running.err.read_text().splitlines()) == 1
        until_health(metrics, "what it would say is read from storage")
        assert running.end() == 0


def test_files_of_tls_that_are_not_there_keep_it_from_starting(tmp_path: Path) -> None:
    write_settings(tmp_path, "127.0.0.1:1")
    text = (tmp_path / "v2.yml").read_text()
    (tmp_path / "v2.yml").write_text(text.replace("redis: {", "redis: {tls: {rootcas: [/none.pem]}, "))
    done = portside("v2", "v2.yml", folder=tmp_path)
    assert done.returncode == 1
    assert (
        "redis.tls cannot be used (No such file or directory): certificate, key and rootcas name PEM files"
        in done.stderr
    )


def test_without_the_client_it_says_what_to_install(tmp_path: Path) -> None:
    write_settings(tmp_path, "127.0.0.1:1")
    hidden = tmp_path / "hidden"
    (hidden / "redis").mkdir(parents=True)
    (hidden / "redis/__init__.py").write_text("raise ModuleNotFoundError(\"No module named 'redis'\", name='redis')\n")
    (hidden / "sitecustomize.py").write_text(f"import sys\nsys.path.insert(0, {str(hidden)!r})\n")
    root = Path(__file__).parents[2]
    done = portside("v2", "v2.yml", folder=tmp_path, environment={"PYTHONPATH": f"{hidden}:{root}"})
    assert done.returncode == 1
    assert "pip install 'portside[redis]'" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("cache", ["", ", cache: {layerinfo: inmemory}"])
def test_redis_s_client_is_imported_only_where_it_is_wanted(tmp_path: Path, cache: str) -> None:
    port = free_port()
    (tmp_path / "v2.yml").write_text(
        f"version: 0.1\nstorage: {{filesystem: {{rootdirectory: {tmp_path}/data}}{cache}}}\n"
        f"redis: {{addr: '127.0.0.1:1'}}\ngateway: {{workers: 1, v2: {{addr: '127.0.0.1:{port}'}}}}\n"
    )
    with running_command("v2", "v2.yml", folder=tmp_path) as running:
        push(port, "team/app")
        pull(port)
        said = running.err.read_text()
        assert ("using inmemory layerinfo cache" in said) is bool(cache)
    loaded = portside_imports(tmp_path)
    assert "portside.wiring" in loaded
    assert not any(name.split(".")[0] == "redis" for name in loaded)


def portside_imports(folder: Path) -> set[str]:
    """What a start imports, up to where it would serve: `-X importtime` names each module on stderr."""
    environment = {"PYTHONPROFILEIMPORTTIME": "1"}
    with running_command("v2", "v2.yml", folder=folder, environment=environment) as running:
        return {line.rpartition("|")[2].strip() for line in running.err.read_text().splitlines() if "|" in line}
