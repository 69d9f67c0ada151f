"""Pulling and deleting blobs."""

from __future__ import annotations

import asyncio
import secrets
from pathlib import Path

import pytest

from backends.web.settings import GateSettings
from tests.support.byteranges import Part, parse_byteranges
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
    answer = await registry.ask("GET", PATH, {"Range": header})
    assert answer.status == 206
    assert answer["Content-Range"] == f"bytes {first}-{last}/2048"
    assert answer["Content-Length"] == str(last - first + 1)
    assert answer.body == CONTENT[first : last + 1]


@pytest.mark.parametrize("header", ["bytes=500-0", "bytes=5000-10000", "bytes=2048-", "bytes=-0", f"bytes={'9' * 30}-"])
async def test_a_range_outside_is_416_with_the_size(registry: Client, header: str) -> None:
    await registry.push_blob(NAME, CONTENT)
    answer = await registry.ask("GET", PATH, {"Range": header})
    assert answer.told == (416, "RANGE_INVALID")
    assert answer["Content-Range"] == "bytes */2048"


@pytest.mark.parametrize("header", ["bytes=0-9", "bytes=0-9,20-29", "bytes=5000-", "bytes=x"])
async def test_a_head_has_no_ranges(registry: Client, header: str) -> None:
    """RFC 9110 section 14.2: ranges are defined for GET alone, and ignored everywhere else."""
    await registry.push_blob(NAME, CONTENT)
    head = await registry.ask("HEAD", PATH, {"Range": header})
    assert (head.status, head["Content-Length"], head["Accept-Ranges"]) == (200, "2048", "bytes")
    assert (head.head.value("Content-Range"), head["Content-Type"]) == (None, "application/octet-stream")


@pytest.mark.parametrize("header", ["lines=0-1", "bytes=", "bytes=x-y", "bytes=-", "bytes=0-1,x", "bytes=0-,0-"])
async def test_a_range_that_is_not_valid_or_asks_for_too_much_is_ignored(registry: Client, header: str) -> None:
    await registry.push_blob(NAME, CONTENT)
    answer = await registry.ask("GET", PATH, {"Range": header})
    assert (answer.status, answer.body) == (200, CONTENT)


@pytest.mark.parametrize(
    ("header", "ranges"),
    [
        ("bytes=0-3,10-13", [(0, 3), (10, 13)]),
        ("bytes=10-13,0-3", [(10, 13), (0, 3)]),
        ("bytes=0-3,4-7", [(0, 3), (4, 7)]),
        ("bytes=0-9,5-14, -5", [(0, 9), (5, 14), (2043, 2047)]),
        ("bytes=0-0,0-0,0-0", [(0, 0), (0, 0), (0, 0)]),
        ("bytes=0-3,5000-", [(0, 3)]),  # several asked, one left
        ("bytes=2048-,2000-9999", [(2000, 2047)]),
        ("bytes=0-1023,1024-2047", [(0, 1023), (1024, 2047)]),
    ],
)
async def test_several_ranges_come_as_parts_in_the_order_asked(
    registry: Client, header: str, ranges: list[tuple[int, int]]
) -> None:
    await registry.push_blob(NAME, CONTENT)
    answer = await registry.ask("GET", PATH, {"Range": header})
    assert (answer.status, answer["Content-Length"]) == (206, str(len(answer.body)))
    assert (answer.head.value("Content-Range"), answer["Etag"]) == (None, f'"{DIGEST}"')
    assert parse_byteranges(answer["Content-Type"], answer.body) == [
        Part(first, last, 2048, CONTENT[first : last + 1]) for first, last in ranges
    ]


async def test_several_ranges_that_all_lie_outside_are_416(registry: Client) -> None:
    await registry.push_blob(NAME, CONTENT)
    answer = await registry.ask("GET", PATH, {"Range": "bytes=2048-,5000-6000,-0"})
    assert answer.told == (416, "RANGE_INVALID")
    assert answer["Content-Range"] == "bytes */2048"


async def test_as_many_ranges_as_podman_asks_for_come_as_parts(registry: Client) -> None:
    content = secrets.token_bytes(8_000_000)
    digest = await registry.push_blob(NAME, content)
    ranges = [(first, first + 700 + first % 999) for first in range(0, 1024 * 4000, 4000)]
    ranges[7] = (4_200_000, 5_400_000)  # larger than what is read at once
    header = "bytes=" + ",".join(f"{first}-{last}" for first, last in ranges)
    answer = await registry.ask("GET", f"/v2/{NAME}/blobs/{digest}", {"Range": header})
    assert answer.status == 206
    parts = parse_byteranges(answer["Content-Type"], answer.body)
    assert [(part.first, part.last) for part in parts] == ranges
    assert all(part.content == content[part.first : part.last + 1] for part in parts)
    answer = await registry.ask("GET", f"/v2/{NAME}/blobs/{digest}", {"Range": header + ",0-0"})
    assert (answer.status, answer["Content-Length"]) == (200, "8000000")


async def test_parts_of_two_answers_are_divided_differently(registry: Client) -> None:
    """Else whoever makes a blob could put the line that divides the parts into it."""
    await registry.push_blob(NAME, CONTENT)
    said = {(await registry.ask("GET", PATH, {"Range": "bytes=0-3,10-13"}))["Content-Type"] for _ in range(5)}
    assert len(said) == 5


@pytest.mark.parametrize("header", ["bytes=0-9", "bytes=0-9,20-29"])
@pytest.mark.parametrize(
    ("condition", "status"),
    [
        (f'"{DIGEST}"', 206),
        ('"other"', 200),
        (f'W/"{DIGEST}"', 200),
        (f'"other", "{DIGEST}"', 200),
        ("*", 200),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 200),
    ],
)
async def test_a_part_is_sent_only_of_the_content_that_if_range_names(
    registry: Client, header: str, condition: str, status: int
) -> None:
    await registry.push_blob(NAME, CONTENT)
    answer = await registry.ask("GET", PATH, {"Range": header, "If-Range": condition})
    assert answer.status == status
    assert (answer.body == CONTENT) == (status == 200)


async def test_an_empty_blob_has_no_range(registry: Client) -> None:
    digest = await registry.push_blob(NAME, b"")
    answer = await registry.ask("GET", f"/v2/{NAME}/blobs/{digest}")
    assert (answer.status, answer["Content-Length"], answer.body) == (200, "0", b"")
    answer = await registry.ask("GET", f"/v2/{NAME}/blobs/{digest}", {"Range": "bytes=0-"})
    assert answer.told == (416, "RANGE_INVALID")


@pytest.mark.parametrize("kind", ["blobs", "manifests by digest", "manifests by tag"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_who_has_the_content_is_told_that_it_has_not_changed(registry: Client, kind: str, method: str) -> None:
    manifest = await registry.push_image(NAME, "latest")
    await registry.push_blob(NAME, CONTENT)
    digest, path = {
        "blobs": (DIGEST, PATH),
        "manifests by digest": (digest_of(manifest), f"/v2/{NAME}/manifests/{digest_of(manifest)}"),
        "manifests by tag": (digest_of(manifest), f"/v2/{NAME}/manifests/latest"),
    }[kind]
    has = [f'"{digest}"', f'W/"{digest}"', f'"x", W/"y" , "{digest}"', "*", digest]
    for value in has:
        answer = await registry.ask(method, path, {"If-None-Match": value, "Range": "bytes=0-1"})
        assert (answer.status, answer.body, answer["Etag"]) == (304, b"", f'"{digest}"'), value
        assert answer.head.value("Content-Type") is None
        assert answer["Docker-Content-Digest"] == digest
    answer = await registry.ask(method, path, [("If-None-Match", '"x"'), ("If-None-Match", f'"{digest}"')])
    assert answer.status == 304
    for value in ('"other"', '"*"', "", f'"{digest}x"'):
        assert (await registry.ask(method, path, {"If-None-Match": value})).status == 200, value
    for value in (f'"{digest}"', f'"x", "{digest}"', "*"):
        assert (await registry.ask(method, path, {"If-Match": value})).status == 200, value
    for value in ('"other"', f'W/"{digest}"', digest):
        answer = await registry.ask(method, path, {"If-Match": value, "If-None-Match": "*"})
        assert answer.status == 412, value
        if method == "GET":
            assert answer.told == (412, "PRECONDITION_FAILED")


async def test_a_condition_does_not_hide_that_nothing_is_there(registry: Client) -> None:
    await registry.push_blob(NAME, b"other")
    for path in (PATH, f"/v2/{NAME}/manifests/latest"):
        for condition in ({"If-None-Match": "*"}, {"If-Match": "*"}):
            assert (await registry.ask("GET", path, condition)).status == 404


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


IN_PARTS = "Range: bytes=0-14999999,15000000-\r\n"


@pytest.mark.parametrize("ranges", ["", IN_PARTS], ids=["whole", "in parts"])
async def test_a_client_that_stops_reading_holds_up_nobody_and_a_hang_up_frees_the_file(
    registry: Client, ranges: str
) -> None:
    content = bytes(30_000_000)
    digest = await registry.push_blob(NAME, content)
    async with registry.connection() as slow:
        await slow.send(f"GET /v2/{NAME}/blobs/{digest} HTTP/1.1\r\nHost: x\r\n{ranges}\r\n")
        assert (await slow.read_head()).status == (206 if ranges else 200)
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


@pytest.mark.parametrize("ranges", ["", IN_PARTS], ids=["whole", "in parts"])
async def test_a_blob_that_is_shorter_on_disk_than_it_was_breaks_the_connection(
    registry: Client, root: Path, ranges: str
) -> None:
    content = bytes(5_000_000)
    digest = await registry.push_blob(NAME, content)
    data = blob_file(root, digest)
    async with registry.connection() as peer:
        await peer.send(f"GET /v2/{NAME}/blobs/{digest} HTTP/1.1\r\nHost: x\r\n{ranges}\r\n")
        head = await peer.read_head()
        assert int(head.value("Content-Length") or 0) >= len(content)
        with data.open("r+b") as file:
            file.truncate(1_000_000)
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            async with asyncio.timeout(10):
                await peer.read_body(head)
