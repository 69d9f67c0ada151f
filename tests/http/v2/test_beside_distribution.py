"""What clients and proxies have learnt of Debian's docker-registry (distribution 2.8) is true of this registry too.

Each row asks both, and compares status and `Location`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.support.programs import docker_registry
from tests.support.serving_here import Answer, Client

pytestmark = pytest.mark.real

DIGEST = "sha256:" + "a" * 64
UPLOADS = "/v2/a/blobs/uploads/"


@pytest.fixture(scope="module")
def distribution(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    with docker_registry(tmp_path_factory.mktemp("distribution")) as address:
        yield Client("127.0.0.1", address.port)


def _told(answer: Answer) -> tuple[int, str | None]:
    """Status and `Location`, with what is each registry's own left out."""
    location = answer.head.value("Location")
    return answer.status, None if location is None else re.sub(r"uploads/[^/?]+.*", "uploads/U", location)


async def _ask(client: Client, method: str, path: str, headers: dict[str, str]) -> tuple[int, str | None]:
    fields = {"Host": "r.example:5000", **headers, "Content-Length": "0"}
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    async with client.connection() as peer:
        await peer.send(f"{method} {path} HTTP/1.1\r\n{lines}\r\n")
        head = await peer.read_head()
        return _told(Answer(head, await peer.read_body(head, of=method)))


ROWS: list[tuple[str, str, dict[str, str]]] = [
    # slashes
    *[("GET", path, {}) for path in (
        "/", "/v2", "/v2?x=1", "/v2/", "//v2/", "/v2//", "/v2/a//b/tags/list?n=3&x=%2F", "/v2/_catalog/",
        "/v2/_catalog/?n=3", "/v2/never/tags/list", "/v2/never/tags/list/", "/v2/never/manifests/x/",
        "/v2//never/tags/list", "/v2/a/blobs/uploads", "/v2/a/blobs/uploads?x=1", f"/v2/a/blobs/{DIGEST}/",
        "/v2//a/blobs/uploads", "/nope", "/v2/nope", "/v2/nope/",
    )],
    *[("POST", path, {}) for path in ("/v2/a//blobs/uploads/?x=1", "/v2/a/blobs/uploads")],
    *[("HEAD", path, {}) for path in ("/", "//v2/", "/v2/_catalog/")],
    ("OPTIONS", "/v2/a/tags/list", {}),
    # mounts that cannot be
    *[("POST", UPLOADS + query, {}) for query in (
        "", f"?mount={DIGEST}", f"?mount={DIGEST}&from=", f"?mount={DIGEST}&from=../x", f"?mount={DIGEST}&from=UPPER",
        f"?mount={DIGEST}&from=b", "?mount=sha256:x&from=b", "?mount=&from=b", "?from=b", "?mount=sha512:x&from=b",
    )],
    # what a proxy in front says
    *[("POST", UPLOADS, headers) for headers in (
        {"X-Forwarded-Proto": "https"},
        {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "front.example"},
        {"X-Forwarded-Host": "front.example:55, inner"},
        {"Forwarded": 'for=192.0.2.1;proto=https;host="front.example:55", for=x;proto=http;host=b'},
        {"Forwarded": "proto=https;host=front.example", "X-Forwarded-Host": "x.example", "X-Forwarded-Proto": "http"},
        {"X-Forwarded-Proto": "https", "X-Forwarded-Port": "443"},
        {"Host": "UPPER.example"},
    )],
]  # fmt: skip


@pytest.mark.parametrize(("method", "path", "headers"), ROWS, ids=lambda value: str(value)[:60])
async def test_status_and_location_are_distributions(
    registry: Client, distribution: Client, method: str, path: str, headers: dict[str, str]
) -> None:
    assert await _ask(registry, method, path, headers) == await _ask(distribution, method, path, headers)


@pytest.mark.parametrize(
    ("method", "path", "headers", "ours", "theirs"),
    [
        # A list's first value is what the client used; distribution writes the whole list.
        ("POST", UPLOADS, {"X-Forwarded-Proto": "https, http"}, "https://r.example:5000", "https, http://r.example:5000"),
        ("POST", UPLOADS, {"X-Forwarded-Proto": "javascript"}, "http://r.example:5000", "javascript://r.example:5000"),
        ("POST", UPLOADS, {"X-Forwarded-Host": "e.example/x"}, "http://r.example:5000", "http://e.example%2Fx"),
        ("POST", UPLOADS, {"Host": "r.example", "X-Forwarded-Port": "5000"}, "http://r.example:5000", "http://r.example"),
        ("POST", UPLOADS, {"Forwarded": "for=_x", "X-Forwarded-Proto": "https"}, "https://r.example:5000",
         "http://r.example:5000"),
    ],
)  # fmt: skip
async def test_where_it_is_better_than_distribution(
    registry: Client, distribution: Client, method: str, path: str, headers: dict[str, str], ours: str, theirs: str
) -> None:
    for client, origin in ((registry, ours), (distribution, theirs)):
        assert await _ask(client, method, path, headers) == (202, f"{origin}{UPLOADS}U")
