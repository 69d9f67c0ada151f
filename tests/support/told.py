"""What a webhook was told, and a client that remembers what it was answered."""

from __future__ import annotations

import contextlib
import http.client
import time
from collections.abc import Callable, Iterator
from typing import Any

from tests.support.commands import RunningCommand
from tests.support.serving_here import OCI_MANIFEST, digest_of, make_manifest
from tests.support.webhooks import Webhook

SERVE = """
version: 0.1
storage: {{filesystem: {{rootdirectory: {data}}}, delete: {{enabled: true}}}}
http: {{addr: "127.0.0.1:0"}}
gateway:
  addr: 127.0.0.1:0
  workers: 2
  v1: {{addr: "127.0.0.1:0"}}
  v2: {{addr: "127.0.0.1:0"}}
  metrics: {{addr: ""}}
notifications: {{endpoints: [{{name: test, url: "{url}", timeout: 5s, threshold: 3, backoff: 100ms}}]}}
"""
"""Settings of a registry with a webhook: `data`, `url`."""


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


@contextlib.contextmanager
def connected(running: RunningCommand, role: str) -> Iterator[http.client.HTTPConnection]:
    """A connection to a registry."""
    connection = http.client.HTTPConnection("127.0.0.1", running.port(role), timeout=10)
    with contextlib.closing(connection):
        yield connection


def ask(connection: http.client.HTTPConnection, method: str, path: str, body: bytes = b"", headers: Any = None) -> int:
    """Sends a request and returns its status."""
    connection.request(method, path, body, headers or {})
    answer = connection.getresponse()
    answer.read()
    return answer.status


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
                with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) as connection:
                    self.push(connection, number)
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

    def _ask(self, connection: Any, method: str, path: str, body: bytes, *, told: str) -> None:
        headers = {"Content-Type": OCI_MANIFEST} if method == "PUT" else {}
        status = ask(connection, method, f"/v2/{self.name}/{path}", body, headers)
        assert status in {201, 202}, (status, method, path)
        self.answered.append(told)
