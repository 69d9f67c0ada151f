"""Every endpoint of v1 and every error of it, one after the other: status, headers, body (V1API sections 1 to 6).

One table is asked of `portside v1` alone and of Portside's one address. What the original answers to the same and to a
thousand other requests is compared in `test_beside_0_9_1.py`; here stands what Portside is to answer.
"""

from __future__ import annotations

import http.client
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import pytest

from backends.v1.routes import ROUTES
from tests.support.commands import running_command
from tests.support.ports import free_port
from tests.support.tars import row, tar_of
from tests.support.v1server import DOCKER, make_pushed

STD = {"Content-Type": "application/json", "Cache-Control": "no-cache", "Pragma": "no-cache", "Expires": "-1"}
CACHE = {
    "Content-Type": "application/json",
    "Cache-Control": "public, max-age=31536000",
    "Last-Modified": "Thu, 01 Jan 1970 00:00:00 GMT",
    "Pragma": None,
}
LAYER = {**CACHE, "Content-Type": "application/octet-stream", "Accept-Ranges": "bytes"}
NOT_MODIFIED = {"Cache-Control": CACHE["Cache-Control"], "Content-Type": None, "Last-Modified": None}
NO_CONTENT = {name: value for name, value in STD.items() if name != "Content-Type"}
ANY: Mapping[str, str | None] = {}

LATE = (
    "X-Docker-Checksum-Payload not set.  If you are using the Docker daemon,"
    " you should upgrade to version 0.10 or later"
)
UNDESCRIBED = {
    "arch": "amd64",
    "docker_go_version": None,
    "docker_version": None,
    "kernel": None,
    "last_update": None,
    "os": "linux",
}


@dataclass(frozen=True, slots=True)
class Ask:
    """A request, and its answer. `body` is bytes, or what is JSON; None where it does not matter.

    Attributes:
        where: where it is asked.
    """

    method: str
    target: str
    status: int
    body: Any = None
    told: Mapping[str, str | None] = field(default_factory=lambda: STD)
    send: bytes | Sequence[bytes] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    where: Sequence[str] = ("v1", ":5000")


def error(method: str, target: str, status: int, message: str, **more: Any) -> Ask:
    return Ask(method, target, status, {"error": message}, **more)


BASE = make_pushed("a", layer=tar_of("etc/hello", "./x"))
TOP = make_pushed("b", parent=BASE.id, layer=tar_of("./.wh.x", "new"))
HALF, LOOP, NONE, EMPTY = make_pushed("c"), make_pushed("d", parent="d" * 64), "f" * 64, make_pushed("e", layer=b"")
SIZE = len(BASE.layer)
A, B = f"/v1/images/{BASE.id}", f"/v1/images/{TOP.id}"
R = "/v1/repositories/ns/r"
PARTS = ("json", "layer", "ancestry", "files", "diff")
DETAILS = row("")[1:]


def token(access: str) -> dict[str, str]:
    """What a client is told with each answer about a repository's images, up to the token's random part."""
    return {"X-Docker-Token": f'Token signature=*,repository="ns/r",access={access}'}


def payload(value: str) -> dict[str, str]:
    return {"X-Docker-Checksum-Payload": value}


def image_json(**more: Any) -> bytes:
    return json.dumps(more).encode()


STATUS = [
    *(Ask("GET", each, 200, {}, {**STD, "X-Docker-Registry-Standalone": "True"}) for each in ("/_ping", "/v1/_ping")),
    Ask("HEAD", "/v1/_ping", 200, b"", {**STD, "Content-Length": "2"}),
    Ask("GET", "/", 200, '"docker-registry server"', where=["v1"]),
    *(Ask(each, "/v1/_ping", 405, None, {**STD, "Allow": "GET, HEAD"}) for each in ("POST", "PUT", "DELETE")),
    *(Ask("GET", each, 404) for each in ("/v1/_ping/", "/v1/images", A, "/v1/private_images/x/json", "/v1/search/")),
    Ask("GET", "/v2/", 404, where=["v1"]),
]
USERS = [
    *(Ask("GET", each, 200, "OK") for each in ("/v1/users/", "/v1/users")),
    *(Ask("POST", "/v1/users/", 201, "User Created", send=each) for each in (b"{}", b"null", b"7", [b"[", b"]"])),
    Ask("POST", "/v1/users", 201, "User Created", send=b"{}"),
    *(error("POST", "/v1/users/", 400, "Error Decoding JSON", send=each) for each in (b"", b"{", b"\xff", b"a=b")),
    *(Ask("PUT", each, 204, b"", NO_CONTENT, send=b"x") for each in ("/v1/users/bob/", "/v1/users/bob")),
    Ask("GET", "/v1/users/bob/", 405, None, {"Allow": "PUT"}),
]
WRONG_JSON = {
    "Invalid JSON": [b"", b"[]", b'"s"', b"{}", b"null", b"{", b"\xff", b"x=y"],
    "Missing key `id' in JSON": [b'{"a": 1}'],
    "JSON data contains invalid id": [image_json(id=NONE), image_json(id=None), image_json(id=[BASE.id])],
    "Image depends on a non existing parent": [
        *(image_json(id=BASE.id, parent=each) for each in (NONE, "../x", 7, BASE.id[:63]))
    ],
}
PUSH = [
    *(
        error("PUT", f"{A}/json", 400, why, send=each, headers={"Content-Type": kind})
        for why, bodies in WRONG_JSON.items()
        for each in bodies
        for kind in ("application/json", "application/x-www-form-urlencoded")
    ),
    error("PUT", f"{A}/layer", 404, "Image not found", send=b"x"),
    error("PUT", f"{A}/checksum", 412, LATE, send=b""),
    error("PUT", f"{A}/checksum", 400, "Missing Image's checksum", send=b"", headers=payload("")),
    error("PUT", f"{A}/checksum", 404, "Image not found", send=b"", headers=payload("sha256:00")),
    Ask("PUT", f"{A}/json", 200, True, send=[BASE.json[:9], BASE.json[9:]]),
    *(error("GET", f"{A}/{part}", 400, "Image is being uploaded, retry later") for part in PARTS),
    error("PUT", f"{A}/checksum", 400, "Checksum mismatch", send=b"", headers=payload(BASE.payload)),
    error(
        "PUT",
        f"{A}/layer",
        412,
        "This endpoint does not support Docker daemons older than 0.10",
        send=b"x",
        headers={"User-Agent": "docker/0.9.1 go/go1.2"},
    ),
    Ask("PUT", f"{A}/layer", 200, True, send=[BASE.layer[:99], BASE.layer[99:]]),
    error("PUT", f"{A}/checksum", 400, "Checksum mismatch", send=b"", headers=payload("sha256:" + "0" * 64)),
    error("PUT", f"{A}/checksum", 400, "Checksum mismatch", send=b"", headers=payload(BASE.payload.upper())),
    Ask("PUT", f"{A}/checksum", 200, True, send=b"", headers=payload(BASE.payload)),
    error("PUT", f"{A}/checksum", 409, "Cannot set this image checksum", send=b"", headers=payload(BASE.payload)),
    error("PUT", f"{A}/json", 409, "Image already exists", send=BASE.json),
    error("PUT", f"{A}/json", 400, "Invalid JSON", send=b"{}"),  # looked at first
    error("PUT", f"{A}/layer", 409, "Image already exists", send=b"x" * 3_000_000),  # of which nothing is read
    *(
        Ask("PUT", f"/v1/images/{image.id}/{part}", 200, True, send=body, headers=headers)
        for image in (TOP, EMPTY)
        for part, body, headers in (
            ("json", image.json, {}),
            ("layer", image.layer, {}),
            ("checksum", b"", payload(image.payload)),
        )
    ),
    *(Ask("PUT", f"/v1/images/{HALF.id}/json", 200, True, send=blank + HALF.json) for blank in (b"", b"  ")),
]
READ = [
    Ask("GET", f"{A}/json", 200, BASE.json, {**CACHE, "X-Docker-Size": str(SIZE), **payload(BASE.payload)}),
    Ask("GET", f"{A}/layer", 200, BASE.layer, {**LAYER, "Content-Length": str(SIZE)}),
    Ask("GET", f"{B}/ancestry", 200, json.dumps([TOP.id, BASE.id]).encode(), CACHE),
    Ask("GET", f"{A}/files", 200, json.dumps([row("etc/hello"), row("/x")]).encode(), CACHE),
    Ask("GET", f"{B}/files", 200, [row("/x", deleted=True), row("new")], CACHE),
    Ask(
        "GET",
        f"{B}/diff",
        200,
        {"deleted": {"/x": ["f", True, *DETAILS[2:]]}, "changed": {}, "created": {"new": DETAILS}},
        CACHE,
    ),
    Ask("GET", f"/v1/images/{EMPTY.id}/layer", 200, b"", {**LAYER, "Content-Length": "0"}),
    Ask("GET", f"/v1/images/{EMPTY.id}/files", 200, [], CACHE),
    *(Ask("HEAD", f"{A}/{part}", 200, b"", LAYER if part == "layer" else CACHE) for part in PARTS),
    *(
        Ask(method, f"{A}/{part}", 304, b"", NOT_MODIFIED, headers={"If-Modified-Since": "x"})
        for method in ("GET", "HEAD")
        for part in PARTS
    ),
    *(Ask("GET", f"{A}/{part}", 200, None, ANY, headers={"If-None-Match": "*"}) for part in PARTS),
    *(
        error("GET", f"/v1/images/{HALF.id}/{part}", 400, "Image is being uploaded, retry later", headers=headers)
        for part in PARTS
        for headers in ({}, {"If-Modified-Since": "x"})
    ),
    *(
        error("GET", f"/v1/images/{NONE}/{part}", 404, "Image not found", headers=headers)
        for part in PARTS
        for headers in ({}, {"If-Modified-Since": "x"}, {"Range": "bytes=0-1"})
    ),
    *(
        error("GET", f"/v1/images/{image}/{part}", 404, "Invalid image ID")
        for image in ("x", "A" * 64, "a" * 63, "a" * 65, "a" * 32)
        for part in PARTS
    ),
    *(
        Ask(method, f"{A}/{part}", 405, None, {**STD, "Allow": allow})
        for method in ("POST", "DELETE", "PATCH")
        for part, allow in (
            *((each, "GET, HEAD, PUT") for each in PARTS[:2]),
            *((each, "GET, HEAD") for each in PARTS[2:]),
            ("checksum", "PUT"),
        )
    ),
]


def ranged(asked: str, first: int, last: int) -> Ask:
    told = {"Content-Range": f"bytes {first}-{last}/{SIZE}", "Content-Length": str(last - first + 1)}
    return Ask("GET", f"{A}/layer", 206, BASE.layer[first : last + 1], {**LAYER, **told}, headers={"Range": asked})


RANGES = [
    ranged("bytes=0-9", 0, 9),
    ranged(f"bytes=0-{SIZE - 1}", 0, SIZE - 1),
    ranged("bytes=5-", 5, SIZE - 1),
    ranged(f"bytes={SIZE - 1}-", SIZE - 1, SIZE - 1),
    ranged("bytes=0-0", 0, 0),
    ranged("bytes=0-99999", 0, SIZE - 1),
    ranged(f"bytes=5000-{SIZE}", 5000, SIZE - 1),  # as Docker asks for the rest
    ranged("bytes=-5", SIZE - 5, SIZE - 1),
    *(
        Ask("GET", f"{A}/layer", 416, b"", {**LAYER, "Content-Length": "0"}, headers={"Range": each})
        for each in (f"bytes={SIZE}-", f"bytes={SIZE}-{SIZE}", "bytes=20000-", "bytes=-0", "bytes=9-5")
    ),
    *(
        Ask("GET", f"{A}/layer", 200, BASE.layer, LAYER, headers={"Range": each})
        for each in ("bytes=5", "bytes=abc-", "bytes=a-b", "items=0-5", "bytes=", "bytes=-")
    ),
    Ask("HEAD", f"{A}/layer", 206, b"", {**LAYER, "Content-Length": "10"}, headers={"Range": "bytes=0-9"}),
    *(
        Ask("GET", f"{A}/{part}", 200, None, CACHE, headers={"Range": "bytes=0-1"})
        for part in ("json", "files", "diff")
    ),
]
ENTRIES = [{"id": BASE.id, "checksum": "tarsum+sha256:11"}, {"id": TOP.id}]
REPOSITORIES = [
    *(
        error("PUT", f"{R}/{last}", 400, "Error Decoding JSON", send=b)
        for last in ("", "images")
        for b in (b"", b"x=y")
    ),
    *(
        error("PUT", f"{R}/{last}", 400, "Invalid data", send=b)
        for last in ("", "images")
        for b in (b"{}", b'"x"', b"1")
    ),
    error("PUT", f"{R}/", 400, "Invalid data", send=b'[{"id": 1}]'),
    error("GET", f"{R}/images", 404, "images not found"),
    Ask("GET", f"{R}/json", 200, UNDESCRIBED),
    Ask("GET", f"{R}/tags/t/json", 200, UNDESCRIBED),
    Ask("GET", f"{R}/properties", 200, {"access": "public"}),
    Ask("PUT", f"{R}/", 200, "", {**STD, **token("write")}, send=json.dumps(ENTRIES).encode()),
    Ask("PUT", R, 200, "", {**STD, **token("write")}, send=[b"[", b"]"]),
    Ask("PUT", f"{R}/images", 204, b"", {**NO_CONTENT, **token("write")}, send=b"[]"),
    Ask("GET", f"{R}/images", 200, [{"checksum": "tarsum+sha256:11", "id": BASE.id}, {"id": TOP.id}], token("read")),
    Ask("HEAD", f"{R}/images", 200, b"", {**STD, **token("read")}),
    Ask("DELETE", f"{R}/images", 204, b"", {**NO_CONTENT, **token("delete")}),
    Ask("DELETE", "/v1/repositories/not/there/images", 204, b"", NO_CONTENT),
    Ask("PUT", f"{R}/auth", 200, "OK", send=b""),
    *(error("PUT", f"{R}/properties", 400, "Invalid data", send=b) for b in (b"", b"[]", b"{}", b'{"a": 1}')),
    Ask("PUT", f"{R}/properties", 200, True, send=b'{"access": "private"}'),
    Ask("GET", f"{R}/properties", 200, {"access": "private"}),
    Ask("PUT", f"{R}/properties", 200, True, send=b'{"access": "public"}'),
    Ask("GET", f"{R}/properties", 200, {"access": "public"}),
    Ask("GET", f"{R}/", 405, None, {**STD, "Allow": "DELETE, PUT"}),
    Ask("GET", f"{R}/auth", 405, None, {**STD, "Allow": "PUT"}),
]
TAGS = [
    error("GET", "/v1/repositories/not/there/tags", 404, "Repository not found"),
    error("GET", f"{R}/tags/t", 404, "Tag not found"),
    error("DELETE", f"{R}/tags/t", 404, "Tag not found: t"),
    *(error("PUT", f"{R}/tags/t", 400, "Invalid data", send=b) for b in (b"", b'""', b"{}", b"[]", b"7", b"a=b")),
    *(error("PUT", f"{R}/tags/t", 404, "Image not found", send=b'"%s"' % b) for b in (b"x", b"f" * 64)),
    error("PUT", f"{R}/tags/t", 400, "Image is being uploaded, retry later", send=b'"%s"' % HALF.id.encode()),
    *(Ask("PUT", f"{R}/tags/{tag}", 200, True, send=b'"%s"' % TOP.id.encode()) for tag in ("t", "latest", "UPPER")),
    Ask("PUT", f"{R}/tags/t", 200, True, send=[b'"', BASE.id.encode(), b'"']),
    Ask("GET", f"{R}/tags", 200, {"UPPER": TOP.id, "latest": TOP.id, "t": BASE.id}),
    Ask("GET", f"{R}/tags/t", 200, BASE.id),
    *(Ask("HEAD", f"{R}/tags{more}", 200, b"") for more in ("", "/t", "/t/json")),
    Ask("POST", f"{R}/tags/t", 405, None, {**STD, "Allow": "DELETE, GET, HEAD, PUT"}),
    Ask("PUT", f"{R}/tags", 405, None, {**STD, "Allow": "DELETE, GET, HEAD"}, send=b""),
    Ask("GET", "/v1/search?q=ns/r", 200, None),
    Ask("POST", "/v1/search", 405, None, {**STD, "Allow": "GET, HEAD"}),
    Ask("DELETE", f"{R}/tags/t", 200, True),
    error("GET", f"{R}/tags/t", 404, "Tag not found"),
    Ask("DELETE", f"{R}/", 200, True),
    *(
        each
        for last in ("tags", "")  # a repository made by a tag alone, deleted by its other addresses
        for each in (
            Ask("PUT", f"{R}/tags/t", 200, True, send=b'"%s"' % BASE.id.encode()),
            error("GET", f"{R}/images", 404, "images not found"),
            Ask("DELETE", f"{R}/{last}".rstrip("/"), 200, True),
        )
    ),
    error("DELETE", f"{R}/", 404, "Repository not found"),
    error("DELETE", f"{R}/tags", 404, "Repository not found"),
    error("GET", f"{R}/tags", 404, "Repository not found"),
    Ask("GET", f"{A}/json", 200, BASE.json, CACHE),  # images stay
]
TABLE = [*STATUS, *USERS, *PUSH, *READ, *RANGES, *REPOSITORIES, *TAGS]


@pytest.fixture(scope="module", params=["v1", ":5000"])
def served(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, int]]:
    folder, port = tmp_path_factory.mktemp("v1"), free_port()
    config = folder / "config.yml"
    settings = {
        "version": 0.1,
        "storage": {"filesystem": {"rootdirectory": str(folder / "data")}, "delete": {"enabled": True}},
        "http": {"addr": f"127.0.0.1:{port}", "headers": {"X-Ours": ["yes"], "Access-Control-Allow-Origin": ["*"]}},
        "gateway": {"v1": {"cors": {"origins": ["https://ui.example"]}}},
    }
    config.write_text(json.dumps(settings))
    with running_command("v1" if request.param == "v1" else "serve", config, folder=folder, port=port):
        yield request.param, port


def ask(port: int, each: Ask, *more: tuple[str, str]) -> tuple[int, http.client.HTTPMessage, bytes]:
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
        headers = {"User-Agent": DOCKER, **each.headers, **dict(more)}
        chunked = isinstance(each.send, list)
        body = iter(each.send) if isinstance(each.send, list) else each.send
        try:
            connection.request(each.method, each.target, body, headers, encode_chunked=chunked)
        except (BrokenPipeError, ConnectionResetError):
            assert each.status >= 400  # it was answered before its body was read
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()


def fits(value: str | None, wanted: str | None) -> bool:
    """Whether a header is as it should be; `*` stands for anything."""
    if wanted is None or value is None or "*" not in wanted:
        return value == wanted
    first, _, last = wanted.partition("*")
    return value.startswith(first) and value.endswith(last)


def test_every_endpoint_answers_as_the_table_says(served: tuple[str, int]) -> None:
    where, port = served
    wrong = []
    for each in TABLE:
        if where not in each.where:
            continue
        status, headers, body = ask(port, each)
        expected = each.body if isinstance(each.body, bytes) or each.body is None else json.dumps(each.body).encode()
        told = {name: headers.get(name) for name in each.told}
        is_same = (
            body == expected
            or expected is None
            or (not isinstance(each.body, bytes) and json.loads(body or b"null") == each.body)
        )
        if status != each.status or not is_same or not all(fits(told[name], each.told[name]) for name in told):
            wrong.append((each.method, each.target, each.headers, (status, told, body[:200]), each.status))
        assert headers["Server"] == "Portside"
        if each.method == "GET" and status == 200 and where == "v1":
            assert headers["Content-Length"] == str(len(body))
    assert not wrong, "\n".join(map(str, wrong))


def test_the_table_has_every_route_and_method_of_v1() -> None:
    asked = {(each.method, each.target.partition("?")[0]) for each in TABLE if each.status < 400}
    for route in ROUTES:
        path = re.compile(re.sub(r"\{\w+\*\}", ".+", re.sub(r"\{\w+\}", "[^/]+", route.pattern)))
        for method in route.operations:
            assert any(each == method and path.fullmatch(target) for each, target in asked), (method, route.pattern)


@pytest.mark.parametrize("target", ["/v1/_ping", f"{A}/json", f"{A}/layer", f"{R}/tags/x", "/v1/search"])
def test_options_and_head_and_pages_of_other_origins_everywhere(served: tuple[str, int], target: str) -> None:
    where, port = served
    status, headers, body = ask(port, Ask("OPTIONS", target, 200))
    assert (status, body) == (200, b"")
    assert headers["Allow"]
    for origin, told in (("https://ui.example", "https://ui.example"), ("https://elsewhere.example", "*")):
        # For others, what http.headers says of every answer stands; for those that are named, what v1's setting says.
        _, headers, _ = ask(port, Ask("GET", target, 200), ("Origin", origin))
        assert headers.get_all("Access-Control-Allow-Origin") == [told]
        assert headers["X-Ours"] == "yes"
        assert headers["Vary"] == "Origin"
        assert (headers["X-Portside-Route"] is None) == (where == "v1")
    asked = (("Origin", "https://ui.example"), ("Access-Control-Request-Method", "GET"))
    _, headers, _ = ask(port, Ask("OPTIONS", target, 200), *asked)
    assert headers["Access-Control-Allow-Methods"] == "GET, HEAD"


def test_a_client_that_is_refused_early_may_send_on_and_gets_the_next_answer(served: tuple[str, int]) -> None:
    """An answer before the body was read closes the connection, or reads it: never is a body taken for a request."""
    _, port = served
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
        for _ in range(3):
            body = b"GET /v1/_ping HTTP/1.1\r\nHost: x\r\n\r\n" * 100
            connection.request("PUT", f"/v1/images/{NONE}/layer", body)
            answer = connection.getresponse()
            assert (answer.status, json.loads(answer.read())) == (404, {"error": "Image not found"})
        connection.request("GET", "/v1/_ping")
        assert connection.getresponse().read() == b"{}"
