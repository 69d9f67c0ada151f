"""Notifications of the whole program: what a real receiver gets, through kills, a full disk, and in what is shown."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from backends.notify.breaker import LEAST_SECONDS
from portside.notifying import CHECK_SECONDS
from tests.support.commands import RunningCommand, children, portside, running_command
from tests.support.mounts import fill_up, mounted_tmpfs
from tests.support.serving_here import OCI_MANIFEST, digest_of, make_manifest
from tests.support.webhooks import Webhook, firsts, webhook

pytestmark = [pytest.mark.timeout(120)]

SECRET = "hunter2hunter2"
BLOBS = [b"a config", b"a layer"]
MANIFEST = make_manifest(*BLOBS)


@pytest.fixture
def receiver() -> Iterator[Webhook]:
    with webhook() as made:
        yield made


@contextlib.contextmanager
def registry(
    folder: Path,
    *endpoints: Mapping[str, Any],
    role: str = "v2",
    data: str | Path = "data",
    workers: int = 2,
    **more: Any,
) -> Iterator[RunningCommand]:
    settings = {
        "version": 0.1,
        "storage": {"filesystem": {"rootdirectory": str(data)}, "delete": {"enabled": True}},
        "http": {"addr": "127.0.0.1:0", "debug": {"addr": "127.0.0.1:0"}},
        "notifications": {"endpoints": list(endpoints)},
        "gateway": {"workers": workers, "lowroom": {"percent": 0}},
        **more,
    }
    folder.mkdir(exist_ok=True)
    (folder / "config.yml").write_text(yaml.safe_dump(settings))
    with running_command(role, "config.yml", folder=folder) as running:
        yield running


def ask(
    port: int, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request(method, path, body, dict(headers or {}))
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def push(port: int, tag: str, name: str = "team/app") -> None:
    for blob in BLOBS:
        status, body = ask(port, "POST", f"/v2/{name}/blobs/uploads/?digest={digest_of(blob)}", blob)
        assert status == 201, body
    put_manifest(port, tag, name)


def put_manifest(port: int, tag: str, name: str = "team/app") -> int:
    path = f"/v2/{name}/manifests/{tag}"
    return ask(port, "PUT", path, MANIFEST, {"Content-Type": OCI_MANIFEST, "User-Agent": "x<y>"})[0]


def until(condition: Callable[[], object], *, seconds: float = 45.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it has not happened"
        time.sleep(0.02)


def found_wrong(metrics: int) -> list[list[str]]:
    """What several answers in a row name: each worker looks for itself, every few seconds."""
    return [list(json.loads(ask(metrics, "GET", "/debug/health")[1])) for _ in range(20)]


def told(receiver: Webhook) -> list[tuple[str, str]]:
    """Action and tag, or the end of the address, of each event where it came first."""
    events = {event["id"]: event for request in list(receiver.received) for event in request.events}
    return [
        (events[each]["action"], events[each]["target"].get("tag") or events[each]["target"].get("digest", "")[-4:])
        for each in firsts(receiver.ids)
    ]


def test_pushes_pulls_and_deletions_are_told_in_order(tmp_path: Path, receiver: Webhook) -> None:
    with registry(tmp_path, {"name": "a", "url": receiver.url, "headers": {"X-Key": [SECRET]}}) as running:
        port = running.port("v2")
        push(port, "one")
        ask(port, "GET", "/v2/team/app/manifests/one", headers={"Accept": OCI_MANIFEST})
        until(lambda: len(told(receiver)) == 4)
        ask(port, "DELETE", f"/v2/team/app/manifests/{digest_of(MANIFEST)}")
        until(lambda: len(told(receiver)) >= 6)
        config, layer, manifest = (digest_of(each)[-4:] for each in (*BLOBS, MANIFEST))
        seen = told(receiver)
        assert seen[:4] == [("push", config), ("push", layer), ("push", "one"), ("pull", "one")]
        assert sorted(seen[4:]) == sorted([("delete", manifest), ("delete", "one")])
        request = receiver.received[2]
        assert request.values("X-Key") == [SECRET]
        assert request.values("Content-Type") == ["application/vnd.docker.distribution.events.v1+json"]
        assert request.body.startswith(b'{\n   "events": [\n      {\n         "id": "')
        assert b'"useragent": "x\\u003cy\\u003e"' in request.body
        assert running.end() == 0
        assert SECRET not in running.err.read_text() + running.out.read_text()


def test_killed_workers_and_servers_lose_nothing_that_was_answered(tmp_path: Path, receiver: Webhook) -> None:
    endpoint = {"name": "a", "url": receiver.url, "backoff": "50ms", "threshold": 2}
    answered: list[str] = []
    for life in range(3):
        with registry(tmp_path, endpoint) as running:
            port = running.port("v2")
            push(port, f"t{life}")
            answered.append(f"t{life}")
            for number in range(40):
                if number % 10 == 5:
                    os.kill(children(running.process.pid).pop(), signal.SIGKILL)
                receiver.behaviour = "500 No" if 10 < number < 30 else "200 OK"
                with contextlib.suppress(OSError, http.client.HTTPException):
                    if put_manifest(port, f"t{life}.{number}") == 201:
                        answered.append(f"t{life}.{number}")
            for pid in [*children(running.process.pid), running.process.pid]:
                os.kill(pid, signal.SIGKILL)
            running.process.wait()
    receiver.behaviour = "200 OK"
    assert len(answered) > 100
    with registry(tmp_path, endpoint):
        until(lambda: {each for _, each in told(receiver)} >= set(answered))
    tags = [tag for _, tag in told(receiver) if tag.startswith("t")]
    assert [tag for tag in tags if tag in set(answered)] == answered


def test_a_dead_endpoint_is_seen_everywhere_and_changes_nothing_else(tmp_path: Path, receiver: Webhook) -> None:
    dead = {"name": "dead", "url": f"http://me:{SECRET}@127.0.0.1:1/x?key={SECRET}", "threshold": 2, "backoff": "100ms"}
    off = {"name": "local-8082", "url": "http://localhost:5003/callback", "disabled": True}
    with registry(tmp_path, {"name": "well", "url": receiver.url}, dead, off) as running:
        port, metrics = running.port("v2"), running.port("metrics")
        running.wait_for_line(running.err, 'msg="endpoint local-8082 disabled, skipping"')
        push(port, "one")
        until(lambda: len(told(receiver)) == 3)
        running.wait_for_line(running.err, "endpoint dead does not take events", "Connection refused")
        until(lambda: all(names == ["endpoint dead"] for names in found_wrong(metrics)), seconds=30)
        status, body = ask(metrics, "GET", "/debug/health")
        assert status == 200, "as in distribution, it is as ready as ever"
        assert list(json.loads(body)) == ["endpoint dead"]
        assert "it cannot be reached (Connection refused); 3 wait" in json.loads(body)["endpoint dead"]
        shown = portside("notifications", "config.yml", "--role", "v2", "--json", folder=tmp_path)
        assert shown.returncode == 0, shown.stderr
        queues = {each["endpoint"]: each for each in json.loads(shown.stdout)}
        assert (queues["well"]["pending"], queues["well"]["failures"], queues["well"]["error"]) == (0, 0, "")
        found = queues["dead"]
        assert (found["pending"], found["url"], found["configured"]) == (3, "http://127.0.0.1:1/x?***", True)
        assert found["failures"] >= 2
        assert found["oldest"].startswith("20")
        table = portside("notifications", "config.yml", "--role", "v2", folder=tmp_path)
        assert [line.split()[:2] for line in table.stdout.splitlines()] == [
            ["endpoint", "pending"],
            ["well", "0"],
            ["dead", "3"],
        ]
        until(
            lambda: b'registry_notifications_pending_total{endpoint="dead"} 3.0' in ask(metrics, "GET", "/metrics")[1]
        )
        page = ask(metrics, "GET", "/metrics")[1].decode()
        assert 'registry_notifications_events_total{endpoint="well",type="Successes"} 3.0' in page
        assert 'registry_notifications_events_total{endpoint="dead",type="Errors"}' in page
        assert 'registry_notifications_status_total{code="200 OK",endpoint="well"} 3.0' in page
        said = running.err.read_text() + running.out.read_text() + shown.stdout + table.stdout + page + body.decode()
        assert SECRET not in said
        assert said.count("does not take events") == 1, "one warning"
        assert running.end() == 0


@pytest.mark.slow
def test_a_dead_endpoint_is_well_again_when_it_has_taken_an_event_and_not_before(
    tmp_path: Path, receiver: Webhook
) -> None:
    """Whichever worker sends: who takes over from one that was killed has tried it fewer times than `threshold`."""
    receiver.behaviour = "500 No"
    threshold = int(1.2 * CHECK_SECONDS / LEAST_SECONDS)  # trying as often takes longer than what was found counts
    endpoint = {"name": "dead", "url": receiver.url, "threshold": threshold, "backoff": "1s"}
    with registry(tmp_path, endpoint) as running:
        port, metrics = running.port("v2"), running.port("metrics")
        push(port, "one")
        until(lambda: all(names == ["endpoint dead"] for names in found_wrong(metrics)), seconds=30)
        for _ in range(2):  # one of the two sends
            before = children(running.process.pid)
            os.kill(before.pop(), signal.SIGKILL)
            end = time.monotonic() + CHECK_SECONDS + 3
            while time.monotonic() < end:
                assert all(names == ["endpoint dead"] for names in found_wrong(metrics))
            until(lambda before=before: len(children(running.process.pid) - before) == 1)  # type: ignore[misc]
        receiver.behaviour = "200 OK"
        until(lambda: not any(found_wrong(metrics)), seconds=30)
        assert len(told(receiver)) == 3
        assert running.end() == 0


def test_without_room_for_its_event_a_push_is_507_and_goes_through_later(tmp_path: Path, receiver: Webhook) -> None:
    with mounted_tmpfs(tmp_path / "disk", size="4m") as disk:
        endpoint = {"name": "a", "url": receiver.url}
        with registry(tmp_path / "here", endpoint, data=disk, workers=1) as running:
            port = running.port("v2")
            push(port, "one")
            until(lambda: len(told(receiver)) == 3)
            filler = fill_up(disk)
            statuses = {put_manifest(port, "one") for _ in range(60)}
            assert 507 in statuses
            filler.unlink()
            assert put_manifest(port, "one") == 201
            until(lambda: told(receiver)[-1] == ("push", "one"))
            assert ask(port, "GET", "/v2/team/app/manifests/one")[0] == 200
            assert running.end() == 0


def test_a_log_that_cannot_be_written_is_told_in_health_until_it_can(tmp_path: Path, receiver: Webhook) -> None:
    """Meanwhile every push is refused, though storage is well: a change that cannot be told must not be forgotten."""
    lock = tmp_path / "data/docker/registry/portside/primary/events/lock"
    lock.mkdir(parents=True)
    with registry(tmp_path, {"name": "a", "url": receiver.url}) as running:
        port, metrics = running.port("v2"), running.port("metrics")
        status, _ = ask(port, "POST", f"/v2/team/app/blobs/uploads/?digest={digest_of(BLOBS[0])}", BLOBS[0])
        assert status >= 500
        status, body = ask(metrics, "GET", "/debug/health")
        assert status == 200
        assert (
            "the log of events cannot be written, so pushes and deletions are refused: "
            in json.loads(body)["notifications"]
        )
        lock.rmdir()
        until(lambda: json.loads(ask(metrics, "GET", "/debug/health")[1]) == {})
        push(port, "one")
        until(lambda: len(told(receiver)) >= 3)
        assert running.end() == 0


def test_two_commands_on_one_volume_send_each_event_once(tmp_path: Path, receiver: Webhook) -> None:
    endpoint = {"name": "a", "url": receiver.url}
    data = tmp_path / "data"
    with (
        registry(tmp_path / "one", endpoint, data=data, workers=1) as one,
        registry(tmp_path / "two", endpoint, data=data, workers=1) as two,
    ):
        for number in range(10):
            push((one, two)[number % 2].port("v2"), f"t{number}", name=f"team/app{number}")
        until(lambda: len(told(receiver)) == 30)
        time.sleep(1.5)
        assert len(receiver.ids) == 30
        assert [tag for _, tag in told(receiver) if tag.startswith("t")] == [f"t{number}" for number in range(10)]


@pytest.mark.parametrize(
    "storage", [{"inmemory": {}}, {"filesystem": {}, "maintenance": {"readonly": {"enabled": True}}}]
)
def test_where_nothing_is_on_disk_events_are_told_from_memory(
    tmp_path: Path, receiver: Webhook, storage: Mapping[str, Any]
) -> None:
    if "filesystem" in storage:
        with registry(tmp_path, {"name": "other", "url": receiver.url}, data="data") as running:
            push(running.port("v2"), "one")
            until(lambda: len(told(receiver)) == 3)
            receiver.received.clear()
        storage = {**storage, "filesystem": {"rootdirectory": "data"}}
    before = sorted(tmp_path.rglob("events/**/*"))
    with registry(tmp_path, {"name": "a", "url": receiver.url}, storage=storage) as running:
        port = running.port("v2")
        if "inmemory" in storage:
            push(port, "one")
        ask(port, "GET", "/v2/team/app/manifests/one", headers={"Accept": OCI_MANIFEST})
        until(lambda: told(receiver) and told(receiver)[-1] == ("pull", "one"))
        asked = portside("notifications", "config.yml", "--role", "v2", folder=tmp_path)
        assert asked.returncode == 1
        assert "in the memory of the process that serves" in asked.stderr
    assert sorted(tmp_path.rglob("events/**/*")) == before


def test_without_endpoints_nothing_is_written(tmp_path: Path, receiver: Webhook) -> None:
    with registry(tmp_path, {"name": "a", "url": receiver.url, "disabled": True}) as running:
        push(running.port("v2"), "one")
        assert running.end() == 0
    assert list(tmp_path.rglob("events")) == []
    assert receiver.received == []


def test_a_queue_that_is_not_configured_any_more_is_shown_as_such(tmp_path: Path, receiver: Webhook) -> None:
    gone = {"name": "gone", "url": "http://127.0.0.1:1/"}
    with registry(tmp_path, gone) as running:
        push(running.port("v2"), "one")
        running.wait_for_line(running.err, "endpoint gone does not take events")
        assert running.end() == 0
    with registry(tmp_path, {"name": "new", "url": receiver.url}) as running:
        put_manifest(running.port("v2"), "two")
        until(lambda: told(receiver) == [("push", "two")])  # it begins with what happens from its start on
        shown = portside("notifications", "config.yml", "--role", "v2", "--json", folder=tmp_path)
        queues = {each["endpoint"]: each for each in json.loads(shown.stdout)}
        assert (queues["new"]["configured"], queues["new"]["pending"]) == (True, 0)
        assert (queues["gone"]["configured"], queues["gone"]["pending"]) == (False, 4)
        table = portside("notifications", "config.yml", "--role", "v2", folder=tmp_path).stdout
        assert "gone (not configured)" in table
    with registry(tmp_path, gone | {"url": receiver.url}) as running:  # it comes back, with its address corrected
        until(lambda: len(told(receiver)) == 4)
        assert [tag for _, tag in told(receiver)] == ["two", *(digest_of(each)[-4:] for each in BLOBS), "one"]


def test_the_command_says_what_is_wrong(tmp_path: Path) -> None:
    nothing = portside("notifications", "--data", "none", folder=tmp_path)
    assert nothing.returncode == 1
    assert "cannot be read (No such file or directory)" in nothing.stderr
    (tmp_path / "empty").mkdir()
    empty = portside("notifications", "--data", "empty", folder=tmp_path)
    assert (empty.returncode, empty.stdout) == (0, "no endpoint is configured (notifications.endpoints)\n")
