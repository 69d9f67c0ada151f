"""Servers that are killed (`killing`), seen from outside; and pushes that can be cut off anywhere and repeated."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

GONE = (ConnectionError, http.client.HTTPException, OSError)
"""What a client meets when its server dies."""


@dataclass(slots=True)
class Nursery:
    """The program that forks servers; one lives at a time."""

    process: subprocess.Popen[str]
    v1: int
    v2: int
    pid: int = 0

    def start(self, fatal: int = 0, when: str = "before") -> None:
        self._send(f"{fatal} {when}")
        self.pid = int(self._read())

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        self.wait_dead()

    def wait_dead(self) -> str:
        """Returns what the server said before it died."""
        said = ""
        while (line := self._read()) != "dead":
            said = line
        self.pid = 0
        return said

    def _send(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def _read(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()


@contextlib.contextmanager
def open_nursery(root: Path, *before: str) -> Iterator[Nursery]:
    """Runs the program over a folder.

    Args:
        root: the folder.
        before: what goes before its command (a tracer).
    """
    command: Sequence[str] = [*before, sys.executable, "-m", "tests.support.killing", str(root)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        v1, v2 = map(int, process.stdout.readline().split())
        made = Nursery(process, v1, v2)
        yield made
        if made.pid:
            made.kill()
        assert process.stdin is not None
        process.stdin.close()
        process.wait(timeout=20)


@dataclass(slots=True)
class Promise:
    """What a server acknowledged: paths that must answer 200 with these bytes."""

    kept: dict[tuple[str, str], bytes] = field(default_factory=dict)


def ask(
    port: int, method: str, path: str, body: bytes | None = None, **headers: str
) -> tuple[int, bytes, dict[str, str]]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body, named)
        answer = connection.getresponse()
        return answer.status, answer.read(), dict(answer.getheaders())
    finally:
        connection.close()


def digest(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


class V2Push:
    """An image of two layers, pushed in pieces."""

    def __init__(self, seed: str) -> None:
        self.name = f"team/v2-{seed}"
        generator = random.Random(seed)
        self.layers = [generator.randbytes(300_000), generator.randbytes(1000)]
        self.config = json.dumps({"seed": seed}).encode()
        blobs = [{"mediaType": "application/octet-stream", "digest": digest(b), "size": len(b)} for b in self.layers]
        config = {"mediaType": "application/x", "digest": digest(self.config), "size": len(self.config)}
        media_type = "application/vnd.oci.image.manifest.v1+json"
        document = {"schemaVersion": 2, "mediaType": media_type, "config": config, "layers": blobs}
        self.manifest = json.dumps(document).encode()
        self.media_type = media_type

    def run(self, nursery: Nursery, promise: Promise) -> None:
        base = f"/v2/{self.name}"
        for blob in (*self.layers, self.config):
            status, _, _ = ask(nursery.v2, "HEAD", f"{base}/blobs/{digest(blob)}")
            if status == 200:
                continue
            status, _, headers = ask(nursery.v2, "POST", f"{base}/blobs/uploads/")
            assert status == 202, status
            place = "/" + headers["Location"].split("/", 3)[3]
            half = len(blob) // 2
            for piece in (blob[:half], blob[half:]):
                status, _, _ = ask(nursery.v2, "PATCH", place, piece, Content_Type="application/octet-stream")
                assert status == 202, status
            status, _, _ = ask(nursery.v2, "PUT", f"{place}?digest={digest(blob)}")
            assert status == 201, status
            promise.kept["v2", f"{base}/blobs/{digest(blob)}"] = blob
        status, _, _ = ask(nursery.v2, "PUT", f"{base}/manifests/t", self.manifest, Content_Type=self.media_type)
        assert status == 201, status
        promise.kept["v2", f"{base}/manifests/t"] = self.manifest
        promise.kept["v2", f"{base}/manifests/{digest(self.manifest)}"] = self.manifest

    def check_whole_or_absent(self, nursery: Nursery) -> None:
        _, body, _ = ask(nursery.v2, "GET", "/v2/_catalog?n=1000")
        listed = self.name in json.loads(body)["repositories"]
        status, body, _ = ask(nursery.v2, "GET", f"/v2/{self.name}/tags/list")
        tags = json.loads(body)["tags"] if status == 200 else []
        found, content, _ = ask(nursery.v2, "GET", f"/v2/{self.name}/manifests/t")
        assert (found == 200) == bool(tags), "a tag is listed when it can be pulled"
        if found == 200:
            assert listed
            assert content == self.manifest
            for blob in (*self.layers, self.config):
                status, body, _ = ask(nursery.v2, "GET", f"/v2/{self.name}/blobs/{digest(blob)}")
                assert (status, body) == (200, blob)

    def delete(self, nursery: Nursery) -> None:
        """Deletes the image and its layers; what is gone already is fine."""
        base = f"/v2/{self.name}"
        for path in (
            f"manifests/{digest(self.manifest)}",
            *(f"blobs/{digest(blob)}" for blob in (*self.layers, self.config)),
        ):
            status, body, _ = ask(nursery.v2, "DELETE", f"{base}/{path}")
            assert status in {202, 404}, body
        self.delete_repository(nursery)

    def delete_repository(self, nursery: Nursery) -> None:
        """Deletes all that is left of the repository; what is gone already is fine."""
        status, body, _ = ask(nursery.v2, "DELETE", f"/v2/{self.name}/_portside/repository")
        assert status in {202, 404}, body

    def check_gone(self, nursery: Nursery) -> None:
        """Checks that nothing of the repository is left."""
        _, body, _ = ask(nursery.v2, "GET", "/v2/_catalog?n=1000")
        assert self.name not in json.loads(body)["repositories"]
        for blob in (*self.layers, self.config):
            assert ask(nursery.v2, "GET", f"/v2/{self.name}/blobs/{digest(blob)}")[0] == 404


class V1Push:
    """A chain of two images, pushed as old clients do."""

    def __init__(self, seed: str) -> None:
        self.name = f"team/v1-{seed}"
        generator = random.Random(seed)
        base, top = (hashlib.sha256(f"{seed}{n}".encode()).hexdigest() for n in "bt")
        self.images = [
            (base, json.dumps({"id": base}).encode(), generator.randbytes(200_000)),
            (top, json.dumps({"id": top, "parent": base}).encode(), generator.randbytes(900)),
        ]
        self.ancestry = [top, base]

    def run(self, nursery: Nursery, promise: Promise) -> None:
        announced = json.dumps([{"id": image_id} for image_id, _, _ in self.images]).encode()
        json_type = {"Content_Type": "application/json"}
        status, _, _ = ask(nursery.v1, "PUT", f"/v1/repositories/{self.name}/", announced, **json_type)
        assert status == 200, status
        for image_id, document, layer in self.images:
            place = f"/v1/images/{image_id}"
            status, _, _ = ask(nursery.v1, "GET", f"{place}/json")
            if status == 200:
                continue
            status, body, _ = ask(nursery.v1, "PUT", f"{place}/json", document, **json_type)
            assert status == 200, body
            status, body, _ = ask(nursery.v1, "PUT", f"{place}/layer", layer)
            assert status == 200, body
            payload = digest(document + b"\n" + layer)
            status, body, _ = ask(nursery.v1, "PUT", f"{place}/checksum", X_Docker_Checksum_Payload=payload)
            assert status == 200, body
            promise.kept["v1", f"{place}/json"] = document
            promise.kept["v1", f"{place}/layer"] = layer
        tag = json.dumps(self.ancestry[0]).encode()
        status, body, _ = ask(nursery.v1, "PUT", f"/v1/repositories/{self.name}/tags/t", tag, **json_type)
        assert status == 200, body
        promise.kept["v1", f"/v1/repositories/{self.name}/tags/t"] = tag
        status, _, _ = ask(nursery.v1, "PUT", f"/v1/repositories/{self.name}/images", b"[]", **json_type)
        assert status == 204, status

    def check_whole_or_absent(self, nursery: Nursery) -> None:
        for image_id, document, layer in self.images:
            status, body, headers = ask(nursery.v1, "GET", f"/v1/images/{image_id}/json")
            if status == 200:
                assert body == document
                assert headers["X-Docker-Size"] == str(len(layer))
                assert headers["X-Docker-Checksum-Payload"] == digest(document + b"\n" + layer)
                assert ask(nursery.v1, "GET", f"/v1/images/{image_id}/layer")[1] == layer
                assert ask(nursery.v1, "GET", f"/v1/images/{image_id}/ancestry")[0] == 200
        status, body, _ = ask(nursery.v1, "GET", f"/v1/repositories/{self.name}/tags/t")
        if status == 200:
            assert json.loads(body) == self.ancestry[0]
            _, body, _ = ask(nursery.v1, "GET", f"/v1/images/{self.ancestry[0]}/ancestry")
            assert json.loads(body) == self.ancestry
            for image_id in self.ancestry:
                assert ask(nursery.v1, "GET", f"/v1/images/{image_id}/layer")[0] == 200

    def delete(self, nursery: Nursery) -> None:
        """Deletes the tag, then the repository; what is gone already is fine."""
        for path in ("tags/t", ""):
            status, body, _ = ask(nursery.v1, "DELETE", f"/v1/repositories/{self.name}/{path}")
            assert status in {200, 404}, body


Push = V1Push | V2Push
