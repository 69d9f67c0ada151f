"""What real clients do at the one address is told to a real webhook, in every form, and after a kill."""

from __future__ import annotations

import contextlib
import http.client
import os
import random
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.commands import children, portside, running_command
from tests.support.docker import Docker
from tests.support.images import make_image
from tests.support.ocilayout import make_oci_layout
from tests.support.portside import Form, RunningPortside, running_portside
from tests.support.programs import find_program
from tests.support.serving_here import OCI_MANIFEST, digest_of, make_manifest
from tests.support.webhooks import Webhook, webhook

BLOB = "application/octet-stream"


@dataclass(frozen=True, slots=True)
class Told:
    """A Portside with a webhook."""

    portside: RunningPortside
    hook: Webhook

    def until(self, start: str) -> list[dict[str, Any]]:
        """What is told of a repository up to the first event whose words begin so: `push team/app:1`."""
        repository = start.split()[1].partition(":")[0]
        return wait_for(self.hook, repository, lambda found: found.startswith(start))


def wait_for(hook: Webhook, repository: str, is_last: Callable[[str], bool]) -> list[dict[str, Any]]:
    """What is told of a repository up to the first event with such words."""
    deadline = time.monotonic() + 20
    while True:
        found = [event for event in events_of(hook) if event["target"].get("repository") == repository]
        for number, event in enumerate(found):
            if is_last(words(event)):
                return found[: number + 1]
        assert time.monotonic() < deadline, [words(event) for event in found]
        time.sleep(0.05)


def events_of(hook: Webhook) -> list[dict[str, Any]]:
    """All that has come, each event where it came first."""
    found: dict[str, dict[str, Any]] = {}
    for request in list(hook.received):
        for event in request.events:
            found.setdefault(event["id"], event)
    return list(found.values())


def words(event: dict[str, Any]) -> str:
    """An event in a few words."""
    target = event["target"]
    tag = f":{target['tag']}" if target.get("tag") else ""
    return f"{event['action']} {target.get('repository', '-')}{tag} {target.get('digest', '')}".strip()


def settings(hook: Webhook) -> dict[str, Any]:
    endpoint = {"name": "test", "url": hook.url, "timeout": "5s", "threshold": 3, "backoff": "100ms"}
    return {"notifications": {"endpoints": [endpoint]}}


@pytest.fixture(scope="module", params=list(Form), ids=lambda form: form.name.lower())
def told(request: pytest.FixtureRequest) -> Iterator[Told]:
    with (
        tempfile.TemporaryDirectory(prefix="portside-") as folder,
        webhook() as hook,
        running_portside(request.param, Path(folder), settings(hook)) as running,
    ):
        yield Told(running, hook)


def run(program: str, ca: Path | None, home: Path, *arguments: str) -> str:
    environment = {"SSL_CERT_FILE": str(ca), "HOME": str(home), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        [find_program(program), *arguments],
        env=environment, capture_output=True, text=True, timeout=60, check=False, cwd=home,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.real
def test_crane_pushes_copies_and_pulls(told: Told, tmp_path: Path) -> None:
    address = told.portside.address
    layout = make_oci_layout(tmp_path / "in")
    run("crane", address.ca, tmp_path, "push", str(layout), f"{address.netloc}/crane/a:1", "--index")
    pushed = told.until("push crane/a:1")
    blobs = {event["target"]["digest"] for event in pushed if event["target"]["mediaType"] == BLOB}
    assert len(blobs) >= 4
    assert all(event["request"]["useragent"].startswith("crane/") for event in pushed)
    assert {event["request"]["host"] for event in pushed} == {address.netloc}
    assert all(event["target"]["url"].startswith(f"https://{address.netloc}/v2/crane/a/") for event in pushed)
    run("crane", address.ca, tmp_path, "copy", f"{address.netloc}/crane/a:1", f"{address.netloc}/crane/b:2")
    copied = told.until("push crane/b:2")
    mounts = [event["target"] for event in copied if event["action"] == "mount"]
    assert {target["digest"] for target in mounts} == blobs
    assert {target["fromRepository"] for target in mounts} == {"crane/a"}
    assert words(copied[-1]) == words(pushed[-1]).replace("crane/a:1", "crane/b:2")


@pytest.mark.real
def test_oras_attaches(told: Told, tmp_path: Path) -> None:
    address = told.portside.address
    layout = make_oci_layout(tmp_path / "in")
    run("crane", address.ca, tmp_path, "push", str(layout), f"{address.netloc}/oras/a:1", "--index")
    before = len(told.until("push oras/a:1"))
    (tmp_path / "sbom.json").write_text("{}")
    # It takes localhost for a registry without TLS.
    said = run("oras", address.ca, tmp_path, "attach", "--plain-http=false", "--artifact-type", "test/sbom",
               f"{address.netloc}/oras/a:1", "sbom.json")  # fmt: skip
    digest = said.split("Digest: ")[1].strip()
    more = told.until(f"push oras/a {digest}")[before:]
    assert more[-1]["target"]["mediaType"] == OCI_MANIFEST
    assert {event["target"]["mediaType"] for event in more if event["action"] == "push"} == {BLOB, OCI_MANIFEST}
    assert all(event["request"]["useragent"].startswith("oras/") for event in more if event["action"] == "push")


@pytest.mark.parametrize(("version", "generation"), [("1.5.0", "v1"), ("1.9.1", "v2"), ("20.10.24", "v2")])
def test_every_generation_of_docker_is_told(told: Told, version: str, generation: str) -> None:
    name = f"team/by-{version}"
    image = make_image(name)
    assert Docker(version, told.portside.address).push(name, "b", image).ok
    assert Docker(version, told.portside.address).pull(name, "b").ok
    told.until(f"pull {name}")
    events = told.until(f"push {name}:b")
    assert words(events[-1]).startswith(f"push {name}:b sha256:")
    assert {event.get("portside", {}).get("generation", "v2") for event in events} == {generation}
    assert all(event["request"]["useragent"].startswith("docker/") for event in events)
    assert all(event["request"]["addr"].startswith("127.0.0.1") for event in events)


def test_one_start_is_one_instance_in_all_its_processes(told: Told) -> None:
    address = told.portside.address
    for version in ("1.5.0", "20.10.24"):
        for tag in ("a", "b", "c"):
            assert Docker(version, address).push(f"same/{version}", tag, make_image(tag)).ok
        told.until(f"push same/{version}:c")
    instances = {event["source"]["instanceID"] for event in events_of(told.hook)}
    assert len(instances) == (2 if told.portside.form is Form.ROLES else 1)


def test_a_deletion_by_the_command_is_told_by_the_server_beside_it(tmp_path: Path) -> None:
    with webhook() as hook:
        (tmp_path / "c.yml").write_text(SERVE.format(data=tmp_path / "data", url=hook.url))
        with running_command("serve", "c.yml", folder=tmp_path) as running:
            pusher = Pusher("team/app")
            pusher.push(http.client.HTTPConnection("127.0.0.1", running.port("v2"), timeout=10), 1)
            done = portside("delete", "team/app", "c.yml", "--yes", folder=tmp_path)
            assert done.returncode == 0, done.stderr
            events = wait_for(hook, "team/app", lambda found: found == "delete team/app")
    *tags, manifest, _ = [event for event in events if event["action"] == "delete"]
    assert [words(event) for event in tags] == ["delete team/app:moves", "delete team/app:t1"]
    assert words(manifest).startswith("delete team/app sha256:")
    assert {event["request"]["useragent"] for event in (*tags, manifest)} == {"portside delete"}


# kills

SERVE = """
version: 0.1
storage: {{filesystem: {{rootdirectory: {data}}}, delete: {{enabled: true}}}}
http: {{addr: "127.0.0.1:0"}}
gateway: {{addr: "127.0.0.1:0", workers: 2, v1: {{addr: ""}}, v2: {{addr: "127.0.0.1:0"}}, metrics: {{addr: ""}}}}
notifications: {{endpoints: [{{name: test, url: "{url}", timeout: 5s, threshold: 3, backoff: 100ms}}]}}
"""
KILLS = 12


class Pusher:
    """A client that pushes, moves and deletes tags of its own, one after the other, and remembers what was answered."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.answered: list[str] = []
        self.is_over = False

    def run(self, port: int) -> None:
        """Goes on until the registry is gone."""
        number = 0
        while not self.is_over:
            number += 1
            try:
                self.push(http.client.HTTPConnection("127.0.0.1", port, timeout=10), number)
            except (OSError, http.client.HTTPException):
                return

    def push(self, connection: Any, number: int) -> None:
        """Pushes two blobs and a manifest under two tags, of which every third is deleted."""
        config, layer = f"{self.name} {number}".encode(), b"a layer"
        for blob in (config, layer):
            digest = digest_of(blob)
            self._ask(connection, "POST", f"blobs/uploads/?digest={digest}", blob, told=f"push {self.name} {digest}")
        manifest = make_manifest(config, layer)
        digest = digest_of(manifest)
        for tag in ("moves", f"t{number}"):
            self._ask(connection, "PUT", f"manifests/{tag}", manifest, told=f"push {self.name}:{tag} {digest}")
        if number % 3 == 0:
            self._ask(connection, "DELETE", f"manifests/t{number}", b"", told=f"delete {self.name}:t{number}")
        connection.close()

    def _ask(self, connection: Any, method: str, path: str, body: bytes, *, told: str) -> None:
        headers = {"Content-Type": OCI_MANIFEST} if method == "PUT" else {}
        connection.request(method, f"/v2/{self.name}/{path}", body, headers)
        answer = connection.getresponse()
        answer.read()
        assert answer.status in {201, 202}, (answer.status, method, path)
        self.answered.append(told)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_whatever_was_answered_before_a_kill_is_told_in_its_order(tmp_path: Path) -> None:
    generator = random.Random(20261127)
    pushers: list[Pusher] = []
    with webhook() as hook:
        (tmp_path / "c.yml").write_text(SERVE.format(data=tmp_path / "data", url=hook.url))
        for kill in range(KILLS):
            with contextlib.suppress(AssertionError), running_command("serve", "c.yml", folder=tmp_path) as running:
                port = running.port("v2")
                now = [Pusher(f"k{kill}/{number}") for number in range(3)]
                pushers += now
                with ThreadPoolExecutor(len(now)) as threads:
                    futures = [threads.submit(pusher.run, port) for pusher in now]
                    time.sleep(generator.uniform(0.05, 0.6))
                    kill_all(running.process.pid)
                    for future in futures:
                        future.result()
        with running_command("serve", "c.yml", folder=tmp_path) as running:
            wanted = {told for pusher in pushers for told in pusher.answered}
            deadline = time.monotonic() + 30
            while missing := wanted - {words(event) for event in events_of(hook)}:
                assert time.monotonic() < deadline, f"answered and not told: {sorted(missing)[:5]} of {len(missing)}"
                time.sleep(0.1)
    assert len(wanted) > 10 * KILLS
    for pusher in pushers:
        told = [words(event) for event in events_of(hook) if event["target"].get("repository") == pusher.name]
        assert is_in_order(pusher.answered, told), pusher.name


def kill_all(parent: int) -> None:
    """Ends a program and its workers at once."""
    for pid in (parent, *children(parent)):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def is_in_order(answered: Sequence[str], told: Sequence[str]) -> bool:
    """Whether all that was answered was told in its order; more may be told in between and at the end."""
    rest = iter(told)
    return all(any(found == each for found in rest) for each in answered)
