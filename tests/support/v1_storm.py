"""Many Docker clients that push to one v1 registry, over and over, while it is killed; and what they were told.

Several clients push the same image at the same time, to the same tag of a repository; now and then with another layer,
as two builds of one image have. Each begins a push anew when its connection breaks, as Docker's user does.
"""

from __future__ import annotations

import itertools
import json
import random
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from http.client import HTTPException, HTTPResponse
from typing import Final

from tests.support.v1server import DOCKER, Pushed, make_pushed

TOGETHER: Final = 3
"""So many clients push each chain."""

_REPOSITORIES: Final = 8
_LAYER_BYTES: Final = 60_000
_TIMEOUT_S: Final = 30.0

EXPECTED: Final = {
    "announce": {200},
    "look": {200, 400, 404},
    "json": {200, 409},
    "layer": {200, 404, 409},
    "checksum": {200, 400, 404, 409},
    "tag": {200, 400, 404},
    "close": {204},
}
"""What a registry may answer to each step of a push, with others at work: what Docker takes for an end or a failure."""


class BrokenOffError(Exception):
    """The connection broke, or another client was faster: the push begins again."""


@dataclass(frozen=True, slots=True)
class TagWrite:
    """An image that a tag was moved to.

    Attributes:
        ended: when the answer came; infinite where none came.
    """

    image_id: str
    began: float
    ended: float


@dataclass(slots=True)
class Storm:
    """What was pushed, and what was acknowledged.

    Attributes:
        statuses: how often each step was answered with each status, and `broken`.
        finished: the layers with whose checksums each image was acknowledged.
        tags: the writes of each tag, by repository and tag.
    """

    port: int
    clients: int = 50
    statuses: Counter[tuple[str, int | str]] = field(default_factory=Counter)
    finished: dict[str, list[Pushed]] = field(default_factory=dict)
    tags: dict[tuple[str, str], list[TagWrite]] = field(default_factory=dict)
    pushes: int = 0
    _numbers: Iterator[int] = field(default_factory=itertools.count)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _ending: threading.Event = field(default_factory=threading.Event)
    _failures: list[BaseException] = field(default_factory=list)
    _threads: list[threading.Thread] = field(default_factory=list)

    def begin(self) -> None:
        """Lets all clients begin."""
        self._threads = [
            threading.Thread(target=self._run, args=(number,), daemon=True) for number in range(self.clients)
        ]
        for thread in self._threads:
            thread.start()

    def end(self, *, within_s: float) -> None:
        """Lets each client end the push that it is at.

        Raises:
            AssertionError: one did not, or got an answer that no client may get.
        """
        self._ending.set()
        deadline = time.monotonic() + within_s
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        assert not self._failures, self._failures[:3]
        assert not any(thread.is_alive() for thread in self._threads), "a client cannot end its push"

    def _run(self, client: int) -> None:
        try:
            while not self._ending.is_set() and not self._failures:
                number = next(self._numbers) // TOGETHER
                images = chain(number, variant=client % 2)
                while not self._failures:  # until it is through
                    try:
                        self._push(f"storm/app{number % _REPOSITORIES}", (f"v{number}", "latest"), images)
                        break
                    except BrokenOffError:
                        time.sleep(random.uniform(0.05, 0.3))
        except BaseException as error:  # noqa: BLE001 - told by `end`
            self._failures.append(error)

    def _push(self, name: str, tags: Sequence[str], images: Sequence[Pushed]) -> None:
        listed = json.dumps([{"id": image.id} for image in images]).encode()
        self._ask("announce", "PUT", f"/v1/repositories/{name}/", listed)
        for image in images:
            place = f"/v1/images/{image.id}"
            if self._ask("look", "GET", f"{place}/json") == 200:
                continue
            if self._ask("json", "PUT", f"{place}/json", image.json) == 409:
                continue
            if self._ask("layer", "PUT", f"{place}/layer", image.layer) != 200:
                raise BrokenOffError
            payload = f"X-Docker-Checksum-Payload: {image.payload}"
            if self._ask("checksum", "PUT", f"{place}/checksum", b"", payload) != 200:
                raise BrokenOffError
            with self._lock:
                self.finished.setdefault(image.id, []).append(image)
        for tag in tags:
            self._move(name, tag, images[-1].id)
        self._ask("close", "PUT", f"/v1/repositories/{name}/images", listed)
        with self._lock:
            self.pushes += 1

    def _move(self, name: str, tag: str, image_id: str) -> None:
        began, ended = time.monotonic(), float("inf")
        try:
            if self._ask("tag", "PUT", f"/v1/repositories/{name}/tags/{tag}", json.dumps(image_id).encode()) != 200:
                raise BrokenOffError
            ended = time.monotonic()
        finally:
            with self._lock:
                self.tags.setdefault((name, tag), []).append(TagWrite(image_id, began, ended))

    def _ask(self, step: str, method: str, target: str, body: bytes | None = None, *headers: str) -> int:
        try:
            status, _ = ask(self.port, method, target, body, *headers)
        except (OSError, HTTPException) as error:
            self.statuses[step, "broken"] += 1
            raise BrokenOffError from error
        self.statuses[step, status] += 1
        assert status in EXPECTED[step], (step, method, target, status)
        return status


def chain(number: int, *, variant: int = 0) -> list[Pushed]:
    """An image and what it rests on: parts are common to all, to fifty, to ten; some tops have two layers."""
    images: list[Pushed] = []
    for level, common in (("root", 0), ("base", number // 50), ("middle", number // 10), ("top", number)):
        word = f"{level} {common}"
        layer = f"{word} {variant if level == 'top' and number % 5 == 0 else 0} ".encode()
        layer *= random.Random(word).randrange(_LAYER_BYTES) // len(layer) + 1
        parent = images[-1].id if images else None
        images.append(make_pushed(sha256(word.encode()).hexdigest(), parent=parent, layer=layer))
    return images


def ask(port: int, method: str, target: str, body: bytes | None = None, *headers: str) -> tuple[int, bytes]:
    """Sends a request on a connection of its own; returns status and body.

    Raises:
        OSError, HTTPException: no whole answer came.
    """
    lines = [f"{method} {target} HTTP/1.1", f"Host: 127.0.0.1:{port}", f"User-Agent: {DOCKER}", "Connection: close"]
    content = body or b""
    if target.endswith("/layer") and method == "PUT":
        lines.append("Transfer-Encoding: chunked")
        pieces = [content[at : at + 32_768] for at in range(0, len(content), 32_768)]
        content = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in [*pieces, b""])
    elif body is not None:
        lines.append(f"Content-Length: {len(content)}")
    with socket.create_connection(("127.0.0.1", port), timeout=_TIMEOUT_S) as connection:
        connection.sendall("\r\n".join([*lines, *headers, "", ""]).encode() + content)
        response = HTTPResponse(connection, method=method)
        response.begin()
        return response.status, response.read()
