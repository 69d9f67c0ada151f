"""What the real programs sent, read from ``tests/data/wire``, and the same shape made of a replayed transcript.

A run becomes one line a request (``GET /v1/images/ID/json 404 docker token``); a request's headers become the
signature that WIRE section 13 lists. Pure but for reading the data files.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from tests.support.wire import Event, Exchange, FailedHandshake, Request

_DATA = Path(__file__).parents[1] / "data" / "wire"
_ACCEPT = re.compile(r"^Accept:")


@dataclass(frozen=True, slots=True)
class Run:
    """One captured run of one release.

    Attributes:
        scenario: Its name in WIRE section 9.
        command: The command line, with the registry's address as ``REGISTRY``.
        exit_status: As the program ended.
        lines: One for each connection.
    """

    version: str
    scenario: str
    command: str
    exit_status: int
    lines: tuple[str, ...]

    @property
    def id(self) -> str:
        return f"{self.version}-{self.scenario}"


def read_runs(version: str) -> list[Run]:
    """Every run on file of a release."""
    text = (_DATA / f"docker-{version}.txt").read_text()
    runs: list[Run] = []
    for block in text.split("\n## ")[1:]:
        head, *lines = block.splitlines()
        scenario, _, rest = head.partition(": ")
        command, _, status = rest.rpartition(" -> ")
        runs.append(Run(version, scenario, command, int(status), tuple(line for line in lines if line)))
    return runs


def read_outcomes() -> dict[str, dict[str, str]]:
    """The table of WIRE section 9: scenario → version → ``ok v1``, ``ERR v2+v1``, …; cells not run are absent."""
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in (_DATA / "outcomes.txt").read_text().splitlines()
        if line.startswith("|")
    ]
    versions = rows[0][1:]
    return {
        row[0]: {version: cell for version, cell in zip(versions, row[1:], strict=True) if cell} for row in rows[1:]
    }


def read_signatures() -> dict[tuple[str, str], set[str]]:
    """The orders of headers seen, by version and endpoint (``GET /v1/images/ID/json``)."""
    found: dict[tuple[str, str], set[str]] = {}
    key = ("", "")
    for line in (_DATA / "headers.txt").read_text().splitlines():
        if line.startswith("#") or not line:
            continue
        if line[0] != " ":
            version, _, endpoint = line.partition(" ")
            key = (version, endpoint)
        else:
            signature = line.split(maxsplit=1)[1]
            # A value with a blank in it is cut at the blank here and in `signature_of` alike.
            found.setdefault(key, set()).add(_sort_accepts(signature.split(" ")))
    return found


def lines_of(events: Iterable[Event]) -> list[str]:
    """A transcript in the form of `Run.lines`."""
    return [_line(event) for event in events]


def _line(event: Event) -> str:
    match event:
        case FailedHandshake():
            return "TLS?"
        case Exchange(response=None):
            return "PLAIN?"
        case Exchange(request=request, response=response):
            assert response is not None
            words = [request.method, shape_of(request.target), str(response.status), _agent(request)]
            if request.chunks:
                words.append("chunked")
            if request.body:
                words.append("body")
            words += _authorization(request)
            if request.values("X-Docker-Token") == ["true"]:
                words.append("x-docker-token")
            return " ".join(words)


def _agent(request: Request) -> str:
    (agent,) = request.values("User-Agent")
    return "go" if agent.startswith("Go ") else "docker"


def _authorization(request: Request) -> list[str]:
    kinds = {
        "Basic Og==": "basic:anonymous",
        "Basic": "basic:login",
        "Token": "token",
        "Bearer": "bearer",
    }
    return [kinds.get(value) or kinds[value.partition(" ")[0]] for value in request.values("Authorization")]


def shape_of(target: str) -> str:
    """A request's target with ids, digests and states of uploads replaced by their kind."""
    target = re.sub(r"/v1/images/[0-9a-f]{64}/", "/v1/images/ID/", target)
    target = re.sub(r"sha256(:|%3A)[0-9a-f]{64}", r"sha256\1HEX", target)
    upload = re.fullmatch(r"(.*/blobs/uploads)/[^?/]+(?:\?(.*))?", target)
    if upload is None:
        return target
    query = [part for part in (upload[2] or "").split("&") if part and not part.startswith("_state=")]
    return f"{upload[1]}/UUID{'?' if query else ''}{'&'.join(query)}"


def blocks(lines: Sequence[str]) -> list[str]:
    """The lines with every stretch of requests that go out in parallel sorted: blobs, and looks at images."""
    ordered: list[str] = []
    stretch: list[str] = []
    for line in [*lines, ""]:
        if "/blobs/" in line or line.startswith("GET /v1/images/ID/json"):
            stretch.append(line)
            continue
        ordered += [*sorted(stretch), line]
        stretch = []
    return ordered[:-1]


def endpoint_of(request: Request) -> str:
    """The endpoint as WIRE section 13 names it."""
    path = shape_of(urlsplit(request.url).path)
    path = re.sub(r"^/v1/repositories/.+?/(tags/[^/]+|tags|images|)$", _repository, path)
    path = re.sub(r"^/v2/.+/(blobs|manifests|tags)/", r"/v2/NAME/\1/", path)
    path = re.sub(r"/blobs/[\w.+]*sha256:HEX$", "/blobs/DIGEST", path)
    path = re.sub(r"/manifests/.+$", "/manifests/REF", path)
    return f"{request.method} {path}"


def _repository(match: re.Match[str]) -> str:
    kind = "tags/TAG" if match[1].startswith("tags/") else match[1]
    return f"/v1/repositories/NAME/{kind}"


def signature_of(request: Request) -> str:
    """The names of a request's headers in their order, with the values that WIRE section 13 shows."""
    return _sort_accepts(list(_signature_words(request)))


def _signature_words(request: Request) -> Iterator[str]:
    for name, value in request.headers:
        match name:
            case "User-Agent":
                yield "User-Agent:" + ("Go" if value.startswith("Go ") else value.partition(" ")[0])
            case "Authorization":
                yield f"Authorization:{value.partition(' ')[0]}"
            case "Content-Type" | "Content-type" | "Accept" | "Connection":
                yield from f"{name}:{value}".split(" ")
            case _:
                yield name


def _sort_accepts(words: list[str]) -> str:
    accepts = iter(sorted(word for word in words if _ACCEPT.match(word)))
    return " ".join(next(accepts) if _ACCEPT.match(word) else word for word in words)
