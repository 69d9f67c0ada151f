"""Whatever is sent: it is answered or refused, never with a fault of the server's own, and it leads nowhere else.

Requests are built from the grammar, and then changed here and there, on real sockets against both registries, alone and
behind the proxy. The harmless words of the protocol are all that they are made of.
"""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typing_extensions import override

from tests.support.limits import LAYER, NAME, Place, manifest_with, open_place
from tests.support.serving_here import OCI_MANIFEST, digest_of
from tests.support.trees import write_tree
from tests.support.watching import Watch, watching

SCHEMA2 = "application/vnd.docker.distribution.manifest.v2+json"
INDEX = "application/vnd.oci.image.index.v1+json"
SIGNED = "application/vnd.docker.distribution.manifest.v1+prettyjws"
DOCUMENTS = "team/documents"
"""A repository that no other test deletes from."""
ALLOWED_FAULTS = {501, 505}
"""What is said of a transfer coding and of a version of HTTP that nobody here knows."""


@dataclass(frozen=True, slots=True)
class World:
    """Both registries, served by a thread of their own.

    Attributes:
        ports: where they listen, alone and behind the proxy.
        upload: the address of one that has begun.
        watch: sees whoever looks at the tree beside their folder.
        faults: what was logged with a traceback, or as an error.
    """

    ports: tuple[int, ...]
    upload: str
    watch: Watch
    faults: list[str]

    def send(self, port: int, request: bytes) -> int:
        """Sends a request, and the end of it; returns the status of the answer, 0 where there is none."""
        with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
            connection.sendall(request)
            connection.shutdown(socket.SHUT_WR)
            received = b""
            try:
                while piece := connection.recv(65536):
                    received += piece
            except ConnectionResetError:
                pass
        while received.startswith(b"HTTP/1.1 100 "):
            received = received.partition(b"\r\n\r\n")[2]
        return int(received[9:12]) if received.startswith(b"HTTP/1.") else 0


class _Faults(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.found: list[str] = []

    @override
    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info or record.levelno >= logging.ERROR:
            self.found.append(f"{record.getMessage()} {record.exc_info}")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("any")
    write_tree(folder / "outside", {"secret": "never read", "tags/list": "never read"})
    ready = threading.Event()
    stop: list[asyncio.Event] = []
    found: list[tuple[tuple[int, ...], str]] = []

    async def serve(root: Path) -> None:
        async with open_place("alone", root, folder) as alone, open_place("behind the proxy", root, folder) as behind:
            await prepare(alone)
            stop.append(asyncio.Event())
            found.append(((alone.v2.port, behind.v2.port, alone.v1.port), await alone.v2.begin(NAME)))
            ready.set()
            await stop[0].wait()

    faults = _Faults()
    logging.getLogger().addHandler(faults)
    with watching(folder / "outside") as watch:
        loop_of: list[asyncio.AbstractEventLoop] = []
        thread = threading.Thread(target=lambda: _run(serve(folder / "root"), loop_of))
        thread.start()
        try:
            assert ready.wait(30)
            yield World(*found[0], watch, faults.found)
        finally:
            loop_of[0].call_soon_threadsafe(stop[0].set)
            thread.join(30)
            logging.getLogger().removeHandler(faults)


def _run(work: object, loop_of: list[asyncio.AbstractEventLoop]) -> None:
    with asyncio.Runner() as runner:
        loop_of.append(runner.get_loop())
        runner.run(work)  # type: ignore[arg-type] # a coroutine


async def prepare(place: Place) -> None:
    for name in (NAME, DOCUMENTS):
        await place.push_blobs(name)
    assert (await place.put(manifest_with())).status == 201


ODD = [
    "",
    ".",
    "..",
    "%2e%2e",
    "%2F",
    "%00",
    "%0d%0a",
    "%",
    "%zz",
    "%ff",
    "%c3%a9",
    "\\",
    "~",
    "*",
    "+",
    ";",
    "@",
    " ",
    "//",
]
DIGESTS = st.sampled_from(
    [digest_of(LAYER), digest_of(manifest_with()), "sha256:" + "0" * 64, "sha512:" + "a" * 128, "sha256:", "sha256:AA",
     "md5:" + "0" * 32, ":", "sha256:" + "0" * 65, "sha256%3A" + "0" * 64]
)  # fmt: skip
NAMES = st.sampled_from(
    [NAME, "a", "a/b/c", "library/x", "A", "_x", "a" * 255, "a" * 256, "a//b", "a/../b", "tags/list"]
)
TAGS = st.sampled_from(["latest", "t" * 128, "t" * 129, "-t", "1.0", "a:b"])
UPLOADS = st.sampled_from(["", "0ff71b58-9f1e-4a5c-8a9d-0123456789ab", "x", "UPLOAD"])
ENDS = st.one_of(
    st.builds("manifests/{}".format, DIGESTS | TAGS),
    st.builds("blobs/{}".format, DIGESTS),
    st.builds("blobs/uploads/{}".format, UPLOADS),
    st.builds("referrers/{}".format, DIGESTS),
    st.sampled_from(
        [
            "tags/list",
            "tags",
            "",
            "manifests/",
            "blobs/",
            "blobs/uploads",
            "images",
            "json",
            "_portside/repository",
            "tags/latest",
        ]
    ),
)
PATHS = st.one_of(
    st.builds("/v2/{}/{}".format, NAMES, ENDS),
    st.builds("/v1/repositories/{}/{}".format, NAMES, ENDS),
    st.builds("/v1/images/{}/{}".format, st.sampled_from(["a" * 64, "a" * 16, "x"]), st.sampled_from(["json", "layer",
    "ancestry", "checksum"])),
    st.sampled_from(["/v2/", "/v2", "/", "/v2/_catalog", "/v1/_ping", "/v1/search", "/v1/users/", "/debug/health", "*", "http://x/v2/"]),
)  # fmt: skip
NUMBERS = st.sampled_from(["0", "1", "-1", "x", "1e9", "9" * 30, "", "00", "+1", "1.5", "\u0661"])
FIELDS = st.one_of(
    st.tuples(st.sampled_from(["n", "last", "page"]), NUMBERS | st.sampled_from(ODD)),
    st.tuples(st.sampled_from(["digest", "mount", "last"]), DIGESTS),
    st.tuples(st.sampled_from(["from", "last", "q"]), NAMES),
    st.tuples(st.sampled_from(["tag", "_state", "artifactType"]), TAGS | st.sampled_from(ODD)),
)
RANGES = st.builds("{}{}-{}{}".format, st.sampled_from(["", "bytes=", "bytes ", "lines="]), NUMBERS, NUMBERS,
                   st.sampled_from(["", ",0-0", "/*", "/9", ",,", ",1-" + "9" * 40]))  # fmt: skip
TYPES = st.sampled_from(
    [OCI_MANIFEST, SCHEMA2, INDEX, SIGNED, "application/json", "", "text/html", ";", "a/b; charset=x"]
)
HEADERS = st.one_of(
    st.tuples(st.sampled_from(["Range", "Content-Range", "If-Range"]), RANGES),
    st.tuples(st.sampled_from(["Content-Type", "Accept"]), TYPES),
    st.tuples(st.sampled_from(["If-None-Match", "If-Match"]), DIGESTS.map(lambda digest: f'W/"{digest}", *')),
    st.tuples(st.just("Expect"), st.sampled_from(["100-continue", "100-Continue", "x", ""])),
    st.tuples(st.just("User-Agent"), st.sampled_from(["docker/1.5.0 go/go1.4", "docker/99999999999.0",
    "Go 1.1 package http", "x" * 2000])),
    st.tuples(st.sampled_from(["X-Forwarded-Proto", "X-Forwarded-Host", "Forwarded", "Host", "Connection",
    "Authorization",
                               "X-Docker-Checksum-Payload", "X-Docker-Token", "Origin", "Transfer-Encoding"]),
              st.sampled_from([*ODD, "https", "x:1", "host=x;proto=http", "close", "sha256:" + "0" * 64, "chunked"])),
)  # fmt: skip
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | DIGESTS | TYPES,
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(["mediaType", "digest", "size", "urls", "blobSum", "v1Compatibility", "platform",
        "annotations", "id"]),
        inner,
        max_size=4,
    ),
    max_leaves=6,
)  # fmt: skip


@st.composite
def documents(draw: st.DrawFn) -> bytes:
    """A manifest that is right, with a few of its values replaced."""
    document = json.loads(manifest_with())
    for key, value in draw(
        st.dictionaries(
            st.sampled_from(["schemaVersion", "mediaType", "config", "layers", "manifests", "subject", "annotations",
            "fsLayers",
                             "history", "name", "tag", "signatures", "artifactType"]),
            JSON,
            max_size=3,
        )
    ).items():  # fmt: skip
        document[key] = value
    return json.dumps(document).encode()


BODIES = st.one_of(
    st.just(b""), documents(), JSON.map(lambda value: json.dumps(value).encode()), st.binary(max_size=64)
)
METHODS = st.sampled_from(
    ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "get", "LINK"]
)


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    """A request, whole; in some a few bytes of the head are others than they should be."""
    target = draw(PATHS)
    fields = draw(st.lists(FIELDS, max_size=3))
    if fields:
        target += "?" + "&".join(f"{key}={value}" for key, value in fields)
    for odd in draw(st.lists(st.sampled_from(ODD), max_size=2)):
        at = draw(st.integers(0, len(target)))
        target = target[:at] + odd + target[at:]
    lines = [f"{draw(METHODS)} {target} HTTP/1.1", "Host: x", "Connection: close"]
    lines += [f"{key}: {value}" for key, value in draw(st.lists(HEADERS, max_size=4))]
    body = draw(BODIES)
    match draw(st.sampled_from(["length", "length", "chunked", "short"])):
        case "chunked":
            lines.append("Transfer-Encoding: chunked")
            body = (b"%x\r\n%s\r\n" % (len(body), body) if body else b"") + b"0\r\n\r\n"
        case "short":
            lines.append(f"Content-Length: {len(body) + 3}")
        case _:
            lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


@settings(max_examples=250, deadline=None, suppress_health_check=list(HealthCheck))
@given(requests())
def test_any_request_is_answered(world: World, request_: bytes) -> None:
    for port in world.ports:
        status = world.send(port, request_.replace(b"/blobs/uploads/UPLOAD", world.upload.partition(NAME)[2].encode()))
        assert status < 500 or status in ALLOWED_FAULTS, status
        assert not world.faults, world.faults
        assert not world.watch.events()


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(documents(), TYPES, DIGESTS | TAGS)
def test_any_document_is_taken_or_refused(world: World, content: bytes, content_type: str, reference: str) -> None:
    lines = [f"PUT /v2/{DOCUMENTS}/manifests/{reference} HTTP/1.1", "Host: x", "Connection: close"]
    lines += [f"Content-Type: {content_type}", f"Content-Length: {len(content)}", "", ""]
    status = world.send(world.ports[0], "\r\n".join(lines).encode() + content)
    assert status in {201, 400, 413}
    assert not world.faults, world.faults


@pytest.mark.parametrize(
    "target", [f"/v2/{NAME}/manifests/x", "/v1/repositories/a/b/", "/v2/a/blobs/uploads/?digest=x"]
)
def test_who_leaves_before_it_is_told_to_continue_is_no_fault(world: World, target: str) -> None:
    request = f"PUT {target} HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n".encode()
    for _ in range(20):
        for port in world.ports:
            assert world.send(port, request) in {0, 200, 400, 404, 405}
    assert not world.faults, world.faults
