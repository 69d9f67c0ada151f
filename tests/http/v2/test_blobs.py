"""Pulling and deleting blobs."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from backends.web.settings import GateSettings
from tests.support.serving_here import Client, blob_file, digest_of
from tests.support.trees import read_files, read_tree

NAME = "team/app"
CONTENT = bytes(range(256)) * 8  # 2048 bytes
DIGEST = digest_of(CONTENT)
UPLOAD = "01234567-89ab-cdef-0123-456789abcdef"
PATH = f"/v2/{NAME}/blobs/{DIGEST}"


async def test_a_blob_comes_with_every_header_that_says_what_it_is(registry: Client) -> None:
    await registry.push_blob(NAME, CONTENT)
    answer = await registry.ask("GET", PATH, {"Accept-Encoding": "gzip"})
    assert (answer.status, answer.body) == (200, CONTENT)
    wanted = {
        "Content-Type": "application/octet-stream",
        "Content-Length": "2048",
        "Docker-Content-Digest": DIGEST,
        "Docker-Distribution-Api-Version": "registry/2.0",
        "Etag": f'"{DIGEST}"',
        "Accept-Ranges": "bytes",
        "Cache-Control": "max-age=31536000",
        "X-Content-Type-Options": "nosniff",
    }
    assert {name: answer[name] for name in wanted} == wanted
    assert answer.head.value("Transfer-Encoding") is None
    assert answer.head.value("Content-Encoding") is None
    head = await registry.ask("HEAD", PATH)
    assert (head.status, head.body) == (200, b"")
    varying = {"Date"}
    assert [each for each in head.head.headers if each[0] not in varying] == [
        each for each in answer.head.headers if each[0] not in varying
    ]


async def test_a_large_blob_comes_whole(registry: Client) -> None:
    content = CONTENT * 2000
    digest = await registry.push_blob(NAME, content)
    answer = await registry.ask("GET", f"/v2/{NAME}/blobs/{digest}")
    assert answer.body == content


@pytest.mark.parametrize(
    ("header", "first", "last"),
    [
        ("bytes=500-1499", 500, 1499),
        ("bytes=500-", 500, 2047),
        ("bytes=-500", 1548, 2047),
        ("bytes=2000-5000", 2000, 2047),
        ("bytes=0-0", 0, 0),
        ("bytes=0-", 0, 2047),
        ("bytes=0-" + "9" * 30, 0, 2047),
    ],
)
async def test_a_range_is_a_part(registry: Client, header: str, first: int, last: int) -> None:
    await registry.push_blob(NAME, CONTENT)
    for method in ("GET", "HEAD"):
        answer = await registry.ask(method, PATH, {"Range": header})
        assert answer.status == 206
        assert answer["Content-Range"] == f"bytes {first}-{last}/2048"
        assert answer["Content-Length"] == str(last - first + 1)
        assert answer.body == (CONTENT[first : last + 1] if method == "GET" else b"")


@pytest.mark.parametrize("header", ["bytes=500-0", "bytes=5000-10000", "bytes=2048-", "bytes=-0", f"bytes={'9' * 30}-"])
async def test_a_range_outside_is_416_with_the_size(registry: Client, header: str) -> None:
    await registry.push_blob(NAME, CONTENT)
    answer = await registry.ask("GET", PATH, {"Range": header})
    assert answer.told == (416, "RANGE_INVALID")
    assert answer["Content-Range"] == "bytes */2048"
    head = await registry.ask("HEAD", PATH, {"Range": header})
    assert (head.status, head["Content-Range"], head.body) == (416, "bytes */2048", b"")


@pytest.mark.parametrize("header", ["bytes=0-1,5-6", "lines=0-1", "bytes=", "bytes=x-y", "bytes=-"])
async def test_a_range_that_is_none_is_ignored(registry: Client, header: str) -> None:
    await registry.push_blob(NAME, CONTENT)
    answer = await registry.ask("GET", PATH, {"Range": header})
    assert (answer.status, answer.body) == (200, CONTENT)


async def test_an_empty_blob_has_no_range(registry: Client) -> None:
    digest = await registry.push_blob(NAME, b"")
    answer = await registry.ask("GET", f"/v2/{NAME}/blobs/{digest}")
    assert (answer.status, answer["Content-Length"], answer.body) == (200, "0", b"")
    answer = await registry.ask("GET", f"/v2/{NAME}/blobs/{digest}", {"Range": "bytes=0-"})
    assert answer.told == (416, "RANGE_INVALID")


async def test_who_has_a_blob_is_told_that_it_has_not_changed(registry: Client) -> None:
    await registry.push_blob(NAME, CONTENT)
    answer = await registry.ask("GET", PATH, {"If-None-Match": f'"{DIGEST}"'})
    assert (answer.status, answer.body) == (304, b"")
    assert (await registry.ask("GET", PATH, {"If-None-Match": '"other"'})).status == 200


@pytest.mark.parametrize(
    ("digest", "told"),
    [
        (digest_of(b"other"), (404, "BLOB_UNKNOWN")),
        ("sha512:" + "a" * 128, (404, "BLOB_UNKNOWN")),
        ("sha256:baddigeststring", (400, "DIGEST_INVALID")),
        ("sha256:" + "A" * 64, (400, "DIGEST_INVALID")),
        ("..", (400, "DIGEST_INVALID")),
        ("%2e%2e%2f", (400, "DIGEST_INVALID")),
        ("%00", (400, "DIGEST_INVALID")),
        ("a" * 10_000, (400, "DIGEST_INVALID")),
    ],
)
async def test_a_blob_that_is_not_here(registry: Client, root: Path, digest: str, told: tuple[int, str]) -> None:
    await registry.push_blob(NAME, CONTENT)
    before = read_tree(root)
    for method in ("GET", "DELETE"):
        assert (await registry.ask(method, f"/v2/{NAME}/blobs/{digest}")).told == told
    head = await registry.ask("HEAD", f"/v2/{NAME}/blobs/{digest}")
    assert (head.status, head.body) == (told[0], b"")
    assert read_tree(root) == before


async def test_a_blob_of_another_repository_is_unknown_here(registry: Client) -> None:
    await registry.push_blob("team/private", CONTENT)
    assert (await registry.ask("GET", PATH)).told == (404, "BLOB_UNKNOWN")


async def test_deleting_takes_a_blob_from_one_repository_at_once(registry: Client, other_worker: Client) -> None:
    for name in (NAME, "team/other"):
        await registry.push_blob(name, CONTENT)
    answer = await registry.ask("DELETE", PATH)
    assert (answer.status, answer.body) == (202, b"")
    for client in (registry, other_worker):
        assert (await client.ask("HEAD", PATH)).status == 404
        assert (await client.ask("GET", PATH.replace(NAME, "team/other"))).body == CONTENT
    assert (await registry.ask("DELETE", PATH)).told == (404, "BLOB_UNKNOWN")
    await registry.push_blob(NAME, CONTENT)
    assert (await other_worker.ask("GET", PATH)).body == CONTENT


class TestWhereDeletionIsOff:
    @pytest.fixture
    def gates(self) -> GateSettings:
        return GateSettings()

    async def test_no_way_deletes_anything(self, registry: Client, root: Path) -> None:
        content = await registry.push_image(NAME, "latest")
        before = read_tree(root)
        for path in ("manifests/latest", f"manifests/{digest_of(content)}", f"blobs/{digest_of(b'image layer')}"):
            answer = await registry.ask("DELETE", f"/v2/{NAME}/{path}")
            assert answer.told == (405, "UNSUPPORTED")
        assert read_tree(root) == before


class TestWhereEverythingIsReadOnly:
    @pytest.fixture
    def gates(self) -> GateSettings:
        return GateSettings(read_only=True, delete_enabled=True)

    async def test_no_way_changes_anything(self, registry: Client, root: Path) -> None:
        for method, path in (
            ("POST", "blobs/uploads/"),
            ("PATCH", f"blobs/uploads/{UPLOAD}"),
            ("PUT", f"blobs/uploads/{UPLOAD}"),
            ("DELETE", f"blobs/uploads/{UPLOAD}"),
            ("PUT", "manifests/latest"),
            ("DELETE", "manifests/latest"),
            ("DELETE", f"blobs/{DIGEST}"),
        ):
            assert (await registry.ask(method, f"/v2/{NAME}/{path}", body=b"")).told == (405, "UNSUPPORTED")
        assert not read_files(root)
        assert (await registry.ask("GET", "/v2/")).status == 200


async def test_a_client_that_stops_reading_holds_up_nobody_and_a_hang_up_frees_the_file(registry: Client) -> None:
    content = bytes(30_000_000)
    digest = await registry.push_blob(NAME, content)
    async with registry.connection() as slow:
        await slow.send(f"GET /v2/{NAME}/blobs/{digest} HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await slow.read_head()).status == 200
        assert await slow.reader.readexactly(1000)
        assert (await registry.ask("GET", f"/v2/{NAME}/blobs/{digest}", {"Range": "bytes=0-9"})).body == bytes(10)
        assert count_open(digest) == 1
        slow.reset()
    for _ in range(100):
        if not count_open(digest):
            return
        await asyncio.sleep(0.05)
    raise AssertionError("the blob is still open")


def count_open(digest: str) -> int:
    """How often this process has a blob open."""
    found = 0
    for fd in Path("/proc/self/fd").iterdir():
        try:
            found += digest.removeprefix("sha256:") in str(fd.readlink())
        except FileNotFoundError:
            continue
    return found


async def test_a_blob_that_is_shorter_on_disk_than_it_was_breaks_the_connection(registry: Client, root: Path) -> None:
    content = bytes(5_000_000)
    digest = await registry.push_blob(NAME, content)
    data = blob_file(root, digest)
    async with registry.connection() as peer:
        await peer.send(f"GET /v2/{NAME}/blobs/{digest} HTTP/1.1\r\nHost: x\r\n\r\n")
        head = await peer.read_head()
        assert head.value("Content-Length") == str(len(content))
        with data.open("r+b") as file:
            file.truncate(1_000_000)
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            async with asyncio.timeout(10):
                await peer.read_body(head)
