"""A stand-in that hands v1's requests to a real registry, but for those that a captured run was answered by hand.

What a registry of v1 answers by itself comes from Portside; what was put between the captured client and its registry
(a 503 for a layer, a ping that fails, a v2 registry that is or is not there, a header left out) is put there again.
"""

from __future__ import annotations

import contextlib
import re
import socket
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from http.client import HTTPResponse
from typing import Final
from urllib.parse import urlsplit

from tests.support.captures import Run, shape_of
from tests.support.scenarios import Script
from tests.support.standin import Answer, Arrived
from tests.support.wire import Headers

_BY_HAND: Final = frozenset({400, 401, 405, 500, 502, 503})
"""Statuses that a sound registry without access control gives no Docker client."""

_V1_IS_NOT_HERE: Final = re.compile(
    r"(GET /v1/_ping|(GET|POST) /v1/users/|GET /v1/search\S*|PUT /v1/repositories/\S+/) 404"
)
_FRAMING: Final = frozenset({"connection", "transfer-encoding", "content-length", "date"})


@dataclass(slots=True)
class Halfway:
    """Answers requests of one run.

    Attributes:
        port: of the registry, on loopback.
        asked: what it was asked, and answered: method, shape of the path, status.
    """

    run: Run
    script: Script
    port: int
    asked: list[str] = field(default_factory=list)
    _left: list[str] = field(init=False)

    def __post_init__(self) -> None:
        self._left = [line for line in self.run.lines if not line.endswith("?")]

    def __call__(self, arrived: Arrived) -> Answer:
        request = f"{arrived.method} {shape_of(arrived.target)}"
        line = next((line for line in self._left if line.startswith(f"{request} ")), "")
        if line:
            self._left.remove(line)
        if not request.partition(" ")[2].startswith("/v1/") or _is_by_hand(line):
            return self.script(arrived)
        answer = forward(self.port, arrived)
        self.asked.append(f"{request} {answer.status}")
        return Answer(answer.status, tuple(self._changed(arrived, answer.headers)), answer.body)

    def _changed(self, arrived: Arrived, headers: Headers) -> Iterable[tuple[str, str]]:
        """The headers as they came to the captured client."""
        scenario = self.run.scenario
        for name, value in headers:
            match name.lower():
                case "x-docker-token" if "_notoken" in scenario:
                    continue
                case "x-docker-endpoints" if "_noendpoints" in scenario:
                    continue
                case "x-docker-registry-standalone" if scenario.endswith(("_notstandalone", "_standalone_false")):
                    yield name, "False" if scenario.endswith("_notstandalone") else "false"
                case _:
                    yield name, value
        if "_cookies" in scenario and re.match(r"/v1/repositories/.*/(images)?$", urlsplit(arrived.target).path):
            yield "Set-Cookie", "session=abc.def; Path=/"


def _is_by_hand(line: str) -> bool:
    words = line.split(" ")
    return len(words) > 2 and (int(words[2]) in _BY_HAND or _V1_IS_NOT_HERE.match(" ".join(words[:3])) is not None)


def forward(port: int, arrived: Arrived) -> Answer:
    """Sends a request on, as it came, on a connection of its own."""
    chunked = (arrived.value("Transfer-Encoding") or "").lower() == "chunked"
    lines = [f"{arrived.method} {arrived.target} HTTP/1.1", *(f"{name}: {value}" for name, value in arrived.headers)]
    body = arrived.body
    if chunked:
        body = b"%x\r\n%s\r\n" % (len(body), body) * bool(body) + b"0\r\n\r\n"
    with contextlib.closing(socket.create_connection(("127.0.0.1", port), timeout=20)) as connection:
        connection.sendall("\r\n".join([*lines, "", ""]).encode("latin-1") + body)
        response = HTTPResponse(connection, method=arrived.method)
        response.begin()
        content = response.read()
    headers = [(name, value) for name, value in response.getheaders() if name.lower() not in _FRAMING]
    return Answer(response.status, tuple(headers), content)


def without_v2(port: int, arrived: Arrived) -> Answer:
    """Answers as a registry that speaks v1 alone, also where the real one speaks both."""
    if arrived.target.startswith("/v2/"):
        return Answer(404, (("Content-Type", "text/html"),), b"<html>404 Not Found</html>")
    return forward(port, arrived)


def natural_lines(lines: Sequence[str]) -> list[str]:
    """What a registry of v1 was asked of a captured run, and answered itself."""
    v1 = [line for line in lines if " /v1/" in line and not _is_by_hand(line)]
    return [" ".join(line.split(" ")[:3]) for line in v1]
