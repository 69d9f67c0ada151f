"""Pushing blobs: every way of the specification, and what is out of order."""

from __future__ import annotations

import asyncio
import re
import uuid
from hashlib import sha512
from pathlib import Path

import pytest

from tests.support.serving_here import OCTETS, Client, blob_file, digest_of
from tests.support.trees import read_files, read_tree

NAME = "team/app"
UPLOADS = f"/v2/{NAME}/blobs/uploads/"
CONTENT = bytes(range(256)) * 12 + b"x"  # 3073 bytes
DIGEST = digest_of(CONTENT)
UNKNOWN = "0ff71b58-9f1e-4a5c-8a9d-0123456789ab"


def blob_path(digest: str = DIGEST, name: str = NAME) -> str:
    return f"/v2/{name}/blobs/{digest}"


async def assert_pushed(client: Client, content: bytes = CONTENT, digest: str = "") -> None:
    path = blob_path(digest or digest_of(content))
    answer = await client.ask("GET", path)
    assert (answer.status, answer.body) == (200, content)
    head = await client.ask("HEAD", path)
    assert (head.status, head.body, head["Content-Length"]) == (200, b"", str(len(content)))


async def wait_until_released(client: Client, place: str) -> int:
    """Waits until nobody has an upload any more and returns how many bytes it has."""
    probe = {"Content-Range": "99999999-99999999"}
    for _ in range(200):
        answer = await client.ask("PATCH", place, probe, body=b"x")
        if answer.head.value("Range") is not None:
            return int((await client.ask("GET", place))["Range"].removeprefix("0-")) + 1
        await asyncio.sleep(0.05)
    raise AssertionError("the upload is never let go of")


async def test_an_upload_begins_with_an_address_and_a_name(registry: Client) -> None:
    answer = await registry.ask("POST", UPLOADS)
    assert answer.status == 202
    upload = answer["Docker-Upload-UUID"]
    assert str(uuid.UUID(upload)) == upload
    assert answer["Location"] == f"http://{registry.authority}{UPLOADS}{upload}"
    assert (answer["Range"], answer["Content-Length"], answer.body) == ("0-0", "0", b"")
    assert answer["Docker-Distribution-Api-Version"] == "registry/2.0"
    asked = await registry.ask("GET", answer.path)
    assert (asked.status, asked["Range"], asked["Docker-Upload-UUID"]) == (204, "0-0", upload)
    assert asked.path == answer.path


@pytest.mark.parametrize("content", [b"", b"{}", CONTENT, CONTENT * 1000], ids=["empty", "tiny", "small", "large"])
async def test_post_then_put(registry: Client, content: bytes) -> None:
    place = await registry.begin(NAME)
    answer = await registry.ask("PUT", f"{place}?digest={digest_of(content)}", OCTETS, body=content)
    assert answer.status == 201
    assert answer["Location"] == f"http://{registry.authority}{blob_path(digest_of(content))}"
    assert answer["Docker-Content-Digest"] == digest_of(content)
    assert answer["Content-Length"] == "0"
    await assert_pushed(registry, content)


@pytest.mark.parametrize("content", [b"", CONTENT])
async def test_post_alone(registry: Client, content: bytes) -> None:
    answer = await registry.ask("POST", f"{UPLOADS}?digest={digest_of(content)}", OCTETS, body=content)
    assert (answer.status, answer.path) == (201, blob_path(digest_of(content)))
    await assert_pushed(registry, content)


async def test_a_stream_then_an_empty_put(registry: Client) -> None:
    place = await registry.begin(NAME)
    answer = await registry.ask("PATCH", place, OCTETS, chunks=[CONTENT[:7], CONTENT[7:]])
    assert (answer.status, answer["Range"], answer["Content-Length"]) == (202, f"0-{len(CONTENT) - 1}", "0")
    assert answer["Docker-Upload-UUID"] in answer.path
    assert (await registry.ask("PUT", f"{answer.path}?digest={DIGEST}")).status == 201
    await assert_pushed(registry)


async def test_chunks_and_the_last_one_in_the_put(registry: Client, other_worker: Client) -> None:
    place = await registry.begin(NAME)
    for number, first in enumerate((0, 1024, 2048)):
        client = (registry, other_worker)[number % 2]
        chunk = CONTENT[first : first + 1024]
        headers = {**OCTETS, "Content-Range": f"{first}-{first + len(chunk) - 1}"}
        answer = await client.ask("PATCH", place, headers, body=chunk)
        assert (answer.status, answer["Range"]) == (202, f"0-{first + len(chunk) - 1}")
        place = answer.path
    headers = {**OCTETS, "Content-Range": "bytes 3072-3072/3073"}
    answer = await registry.ask("PUT", f"{place}?digest={DIGEST}", headers, body=CONTENT[3072:])
    assert answer.status == 201
    await assert_pushed(other_worker)


async def test_a_sha512_name_at_the_end_is_enough(registry: Client) -> None:
    digest = "sha512:" + sha512(CONTENT).hexdigest()
    place = await registry.begin(NAME)
    assert (await registry.ask("PATCH", place, OCTETS, body=CONTENT)).status == 202
    answer = await registry.ask("PUT", f"{place}?digest={digest}")
    assert (answer.status, answer["Docker-Content-Digest"], answer.path) == (201, digest, blob_path(digest))
    await assert_pushed(registry, CONTENT, digest)
    assert (await registry.ask("GET", blob_path(digest)))["Docker-Content-Digest"] == digest
    assert (await registry.ask("GET", blob_path())).told == (404, "BLOB_UNKNOWN")


@pytest.mark.parametrize("method", ["PATCH", "PUT"])
@pytest.mark.parametrize("wrong", ["0-1023", "2048-3071", "1023-2046", "99999-101022", "1025-2048"])
async def test_a_chunk_out_of_order_is_told_where_the_upload_stands_and_changes_nothing(
    registry: Client, other_worker: Client, root: Path, method: str, wrong: str
) -> None:
    place = await registry.begin(NAME)
    assert (await registry.ask("PATCH", place, {"Content-Range": "0-1023"}, body=CONTENT[:1024])).status == 202
    before = read_tree(root)
    for client in (registry, other_worker):
        answer = await client.ask(method, f"{place}?digest={DIGEST}", {"Content-Range": wrong}, body=bytes(1024))
        assert answer.told == (416, "RANGE_INVALID")
        assert (answer["Range"], answer.path) == ("0-1023", place)
    assert read_tree(root) == before
    asked = await registry.ask("GET", place)
    assert (asked.status, asked["Range"]) == (204, "0-1023")
    answer = await other_worker.ask("PUT", f"{place}?digest={DIGEST}", body=CONTENT[1024:])
    assert answer.status == 201
    await assert_pushed(registry)


async def test_a_first_chunk_out_of_order_is_refused_too(registry: Client) -> None:
    place = await registry.begin(NAME)
    answer = await registry.ask("PATCH", place, {"Content-Range": "1-1024"}, body=CONTENT[:1024])
    assert answer.told == (416, "RANGE_INVALID")
    assert (answer["Range"], answer.path) == ("0-0", place)


@pytest.mark.parametrize(
    ("header", "told"),
    [
        ("x", (400, "RANGE_INVALID")),
        ("5-1", (400, "RANGE_INVALID")),
        ("-5", (400, "RANGE_INVALID")),
        ("0-99999999999999999999999", (400, "RANGE_INVALID")),
        ("0-1, 5-6", (400, "RANGE_INVALID")),
        ("0-5", (400, "SIZE_INVALID")),
        ("0-7000", (400, "SIZE_INVALID")),
    ],
)
async def test_a_content_range_that_is_not_valid_changes_nothing(
    registry: Client, root: Path, header: str, told: tuple[int, str]
) -> None:
    place = await registry.begin(NAME)
    before = read_files(root)
    for method in ("PATCH", "PUT"):
        answer = await registry.ask(method, f"{place}?digest={DIGEST}", {"Content-Range": header}, body=CONTENT)
        assert answer.told == told
    after = read_files(root)
    assert {path: text for path, text in after.items() if not path.endswith("progress")} == {
        path: text for path, text in before.items() if not path.endswith("progress")
    }


@pytest.mark.parametrize("way", ["post", "put", "chunked", "stream"])
async def test_a_wrong_digest_is_refused_and_leaves_no_blob(registry: Client, root: Path, way: str) -> None:
    wrong = digest_of(b"other")
    before = read_files(root)
    if way == "post":
        answer = await registry.ask("POST", f"{UPLOADS}?digest={wrong}", OCTETS, body=CONTENT)
    else:
        place = await registry.begin(NAME)
        if way == "chunked":
            await registry.ask("PATCH", place, {"Content-Range": f"0-{len(CONTENT) - 1}"}, body=CONTENT)
        elif way == "stream":
            await registry.ask("PATCH", place, chunks=[CONTENT])
        body = CONTENT if way == "put" else b""
        answer = await registry.ask("PUT", f"{place}?digest={wrong}", OCTETS, body=body)
    assert answer.told == (400, "DIGEST_INVALID")
    assert read_files(root) == before
    assert (await registry.ask("GET", blob_path(wrong))).told == (404, "BLOB_UNKNOWN")


@pytest.mark.parametrize(
    "digest", ["", "x", "sha256:short", "sha256:" + "A" * 64, "md5:" + "a" * 32, "sha256:" + "/" * 64]
)
async def test_a_digest_that_is_not_valid_is_refused_and_the_upload_stays(registry: Client, digest: str) -> None:
    place = await registry.begin(NAME)
    assert (await registry.ask("PATCH", place, OCTETS, body=CONTENT)).status == 202
    assert (await registry.ask("PUT", f"{place}?digest={digest}")).told == (400, "DIGEST_INVALID")
    assert (await registry.ask("POST", f"{UPLOADS}?digest={digest}", body=b"")).told == (400, "DIGEST_INVALID")
    assert (await registry.ask("PUT", place)).told == (400, "DIGEST_INVALID")
    assert (await registry.ask("PUT", f"{place}?digest={DIGEST}")).status == 201


@pytest.mark.parametrize("upload", [UNKNOWN, "x", "..", "%2e%2e", "a%2Fb", "%00", "A" * 10_000])
async def test_an_unknown_upload_is_unknown_to_every_method(registry: Client, root: Path, upload: str) -> None:
    await registry.push_blob(NAME, CONTENT)
    before = read_tree(root)
    for method in ("GET", "PATCH", "PUT", "DELETE"):
        answer = await registry.ask(method, f"{UPLOADS}{upload}?digest={DIGEST}", body=b"abc")
        assert answer.told == (404, "BLOB_UPLOAD_UNKNOWN")
    assert read_tree(root) == before


async def test_an_upload_of_another_repository_is_unknown(registry: Client, root: Path) -> None:
    place = await registry.begin(NAME)
    before = read_tree(root)
    foreign = place.replace(NAME, "team/other")
    for method in ("GET", "PATCH", "PUT", "DELETE"):
        answer = await registry.ask(method, f"{foreign}?digest={DIGEST}", body=CONTENT)
        assert answer.told == (404, "BLOB_UPLOAD_UNKNOWN")
    assert read_tree(root) == before


async def test_a_finished_upload_is_unknown_and_its_blob_stays(registry: Client) -> None:
    place = await registry.begin(NAME)
    assert (await registry.ask("PUT", f"{place}?digest={DIGEST}", body=CONTENT)).status == 201
    assert (await registry.ask("PUT", f"{place}?digest={DIGEST}", body=CONTENT)).told == (404, "BLOB_UPLOAD_UNKNOWN")
    await assert_pushed(registry)


async def test_an_upload_is_cancelled_even_where_deletion_is_off(registry: Client, root: Path) -> None:
    place = await registry.begin(NAME)
    assert (await registry.ask("PATCH", place, OCTETS, body=CONTENT)).status == 202
    answer = await registry.ask("DELETE", place)
    assert (answer.status, answer.body) == (204, b"")
    assert (await registry.ask("GET", place)).told == (404, "BLOB_UPLOAD_UNKNOWN")
    assert not read_files(root)


async def test_two_at_one_upload_one_wins(registry: Client, other_worker: Client) -> None:
    place = await registry.begin(NAME)
    async with registry.connection() as slow:
        await slow.send(f"PATCH {place} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(CONTENT)}\r\n\r\n", CONTENT[:5])
        await asyncio.sleep(0.1)
        for client in (registry, other_worker):
            for method in ("PATCH", "PUT", "DELETE"):
                answer = await client.ask(method, f"{place}?digest={DIGEST}", body=b"other")
                assert answer.told == (416, "RANGE_INVALID")
        await slow.send(CONTENT[5:])
        assert (await slow.read_head()).status == 202
    assert (await other_worker.ask("PUT", f"{place}?digest={DIGEST}")).status == 201
    await assert_pushed(registry)


async def test_mounting_takes_a_blob_from_another_repository(registry: Client, root: Path) -> None:
    await registry.push_blob("team/source", CONTENT)
    for query in (f"mount={DIGEST}&from=team/source", f"from=team%2Fsource&mount={DIGEST}"):
        answer = await registry.ask("POST", f"{UPLOADS}?{query}")
        assert (answer.status, answer.path) == (201, blob_path())
        assert answer["Docker-Content-Digest"] == DIGEST
    await assert_pushed(registry)
    assert len([path for path in read_files(root) if path.endswith("/data")]) == 1


async def test_a_mount_without_a_source_finds_one(registry: Client, other_worker: Client, root: Path) -> None:
    await registry.push_blob("team/source", CONTENT)
    answer = await other_worker.ask("POST", f"{UPLOADS}?mount={DIGEST}")
    assert (answer.status, answer.path, answer["Docker-Content-Digest"]) == (201, blob_path(), DIGEST)
    await assert_pushed(registry)
    assert len([path for path in read_files(root) if path.endswith("/data")]) == 1


async def test_a_mount_without_a_source_takes_only_what_a_repository_has_now(registry: Client, root: Path) -> None:
    """Content that no repository has any more is not for everyone who knows its digest."""
    await registry.push_blob("team/source", CONTENT)
    assert (await registry.ask("DELETE", f"/v2/team/source/blobs/{DIGEST}")).status == 202
    assert blob_file(root, DIGEST).exists()
    answer = await registry.ask("POST", f"{UPLOADS}?mount={DIGEST}")
    assert answer.status == 202
    assert (await registry.ask("GET", blob_path())).status == 404
    assert (await registry.ask("PUT", f"{answer.path}?digest={DIGEST}", body=CONTENT)).status == 201
    assert (await registry.ask("POST", f"/v2/team/other/blobs/uploads/?mount={DIGEST}")).status == 201


@pytest.mark.parametrize("hint", ["", "x", DIGEST, f"{DIGEST} ../..", f"{digest_of(b'other')} team/source", "\xff"])
async def test_a_damaged_hint_where_a_blob_is_becomes_an_upload(registry: Client, root: Path, hint: str) -> None:
    await registry.push_blob("team/source", CONTENT)
    (noted,) = [path for path in (root / "docker/registry/portside/index/holders").rglob("*") if path.is_file()]
    noted.write_text(hint, encoding="latin-1")
    assert (await registry.ask("POST", f"{UPLOADS}?mount={DIGEST}")).status == 202
    assert (await registry.ask("POST", f"{UPLOADS}?mount={DIGEST}&from=team/source")).status == 201
    assert (await registry.ask("POST", f"/v2/team/other/blobs/uploads/?mount={DIGEST}")).status == 201


@pytest.mark.parametrize(
    "query",
    [
        f"mount={DIGEST}&from=team/empty",
        f"mount={digest_of(b'nowhere')}&from=team/source",
        f"mount={digest_of(b'nowhere')}",
        f"mount={DIGEST}&from=team/nowhere",
        f"mount={DIGEST}&from=",
        f"mount={DIGEST}&from=../x",
        f"mount={DIGEST}&from=Team/Source",
        f"mount={DIGEST}&from={'x' * 300}",
        f"mount={DIGEST}&from=team%00source",
        "mount=sha256:x&from=team/source",
        "mount=&from=team/source",
        "mount=md5:0123&from=team/source",
        "from=team/source",
        "mount=&from=",
    ],
)
async def test_what_cannot_be_mounted_becomes_an_upload_that_works(registry: Client, query: str) -> None:
    await registry.push_blob("team/source", CONTENT)
    answer = await registry.ask("POST", f"{UPLOADS}?{query}")
    assert answer.status == 202
    assert (await registry.ask("GET", blob_path())).status == 404
    assert (await registry.ask("PUT", f"{answer.path}?digest={DIGEST}", body=CONTENT)).status == 201
    await assert_pushed(registry)


@pytest.mark.parametrize("how", ["length", "chunked"])
async def test_a_hang_up_in_the_middle_leaves_an_upload_that_can_go_on(
    registry: Client, other_worker: Client, how: str
) -> None:
    content = CONTENT * 300
    place = await registry.begin(NAME)
    async with registry.connection() as peer:
        framing = f"Content-Length: {len(content)}" if how == "length" else "Transfer-Encoding: chunked"
        await peer.send(f"PATCH {place} HTTP/1.1\r\nHost: x\r\n{framing}\r\n\r\n")
        await peer.send(b"" if how == "length" else b"%x\r\n" % len(content), content[:500_000])
        await asyncio.sleep(0.2)
        peer.reset()
    stands = await wait_until_released(other_worker, place)
    assert 0 < stands <= 500_000
    headers = {"Content-Range": f"{stands}-{len(content) - 1}"}
    assert (await other_worker.ask("PATCH", place, headers, body=content[stands:])).status == 202
    assert (await registry.ask("PUT", f"{place}?digest={digest_of(content)}")).status == 201
    await assert_pushed(registry, content)


async def test_a_truncated_body_is_no_blob(registry: Client, root: Path) -> None:
    async with registry.connection() as peer:
        await peer.send(
            f"POST {UPLOADS}?digest={DIGEST} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(CONTENT)}\r\n\r\n",
            CONTENT[:-1],
        )
        peer.writer.write_eof()
        await peer.other_side_closed()
    for _ in range(100):
        if not read_files(root):
            return
        await asyncio.sleep(0.05)
    raise AssertionError(f"it left {list(read_files(root))}")


async def test_a_chunked_body_that_breaks_its_framing_leaves_what_was_well_framed(registry: Client) -> None:
    place = await registry.begin(NAME)
    async with registry.connection() as peer:
        await peer.send(f"PATCH {place} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
        await asyncio.sleep(0.1)
        await peer.send("nonsense\r\n")
    assert await wait_until_released(registry, place) == 5
    assert (await registry.ask("PUT", f"{place}?digest={digest_of(b'hello')}")).status == 201


async def test_100_continue_is_said_once_and_only_when_the_upload_is_acceptable(registry: Client) -> None:
    place = await registry.begin(NAME)
    async with asyncio.timeout(10), registry.connection() as peer:
        head = f"PATCH {place} HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: {len(CONTENT)}\r\n\r\n"
        await peer.send(head)
        assert (await peer.read_head()).line == "HTTP/1.1 100 Continue"
        await peer.send(CONTENT[:9])
        await asyncio.sleep(0.05)
        await peer.send(CONTENT[9:])
        assert (await peer.read_head()).status == 202
        answer = await registry.ask_on(peer, "GET", place)  # the connection is as good as before
        assert answer["Range"] == f"0-{len(CONTENT) - 1}"


@pytest.mark.parametrize(
    ("target", "extra", "status"),
    [
        (f"{UPLOADS}{UNKNOWN}", "", 404),
        ("/v2/BAD/blobs/uploads/", "", 400),
        (f"/v2/{NAME}/manifests/latest", "X: y", 413),
    ],
)
async def test_a_refused_push_is_never_told_to_continue(registry: Client, target: str, extra: str, status: int) -> None:
    method = "POST" if target.endswith("uploads/") else "PUT"
    async with asyncio.timeout(10), registry.connection() as peer:
        lines = [
            f"{method} {target}?digest={DIGEST} HTTP/1.1",
            "Host: x",
            "Expect: 100-continue",
            *filter(None, [extra]),
        ]
        await peer.send("\r\n".join([*lines, "Content-Length: 99999999", "", ""]))
        head = await peer.read_head()
        assert (head.status, head.value("Connection")) == (status, "close")


async def test_a_body_that_came_without_waiting_is_taken_without_a_word(registry: Client) -> None:
    place = await registry.begin(NAME)
    answer = await registry.ask("PATCH", place, {"Expect": "100-continue"}, body=b"abc")
    assert answer.status in {100, 202}


async def test_an_expectation_that_nobody_knows_is_refused(registry: Client) -> None:
    place = await registry.begin(NAME)
    answer = await registry.ask("PATCH", place, {"Expect": "200-ok"}, body=b"abc")
    assert answer.status == 417


@pytest.mark.parametrize(
    ("said", "origin"),
    [
        ("", "http://inner:5080"),
        ("X-Forwarded-Proto: https\r\n", "https://inner:5080"),
        ("X-Forwarded-Proto: https, http\r\nX-Forwarded-Host: r.example, inner\r\n", "https://r.example"),
        ("X-Forwarded-Host: r.example\r\nX-Forwarded-Port: 5000\r\n", "http://r.example:5000"),
        ("Forwarded: for=192.0.2.1;host=f.example;proto=https\r\nX-Forwarded-Host: r.example\r\n", "https://f.example"),
        ("X-Forwarded-Host: evil.example/x\r\nX-Forwarded-Proto: javascript\r\n", "http://inner:5080"),
    ],
)
async def test_the_address_in_location_is_the_clients_own(registry: Client, said: str, origin: str) -> None:
    async with registry.connection() as peer:
        await peer.send(f"POST {UPLOADS} HTTP/1.1\r\nHost: inner:5080\r\n{said}Content-Length: 0\r\n\r\n")
        location = (await peer.read_head()).value("Location") or ""
    assert re.fullmatch(re.escape(origin) + r"/v2/team/app/blobs/uploads/[0-9a-f-]{36}", location)


@pytest.mark.parametrize(
    "said", ["X-Forwarded-Proto: https", "X-Forwarded-Host: r.example", "Forwarded: host=r.example"]
)
async def test_a_link_is_rooted_whatever_is_said_of_the_address(registry: Client, said: str) -> None:
    await registry.push_image(NAME, "a", "b")
    answer = await registry.ask("GET", f"/v2/{NAME}/tags/list?n=1", dict([said.split(": ")]))
    assert answer["Link"] == f'</v2/{NAME}/tags/list?last=a&n=1>; rel="next"'


DOUBTFUL = {"X-Forwarded-For": "203.0.113.5"}


@pytest.mark.parametrize(
    ("headers", "why"),
    [
        (DOUBTFUL, "does not say whether the client came by https"),
        ({"Via": "1.1 nginx"}, "does not say whether the client came by https"),
        ({**DOUBTFUL, "X-Forwarded-Proto": "ftp"}, "is neither http nor https"),
        ({"X-Forwarded-Host": "a/b", "X-Forwarded-Proto": "https"}, "is not a valid host"),
        ({"X-Forwarded-Ssl": "on"}, "X-Forwarded-Ssl: on says that the client came by https"),
        ({**DOUBTFUL, "X-Forwarded-Proto": "https"}, "a client at 203.0.113.5 cannot have used https://127.0.0.1:"),
    ],
)
async def test_the_log_says_once_that_pushes_come_by_an_address_that_their_clients_cannot_have_used(
    registry: Client, caplog: pytest.LogCaptureFixture, headers: dict[str, str], why: str
) -> None:
    host = [] if "cannot have" in why else [("Host", "r.example")]
    for _ in range(3):
        async with registry.connection() as peer:
            fields = [*(host or [("Host", registry.authority)]), *headers.items(), ("Content-Length", "0")]
            lines = "".join(f"{name}: {value}\r\n" for name, value in fields)
            await peer.send(f"POST {UPLOADS} HTTP/1.1\r\n{lines}\r\n")
            assert (await peer.read_head()).status == 202
    (line,) = [record.getMessage() for record in caplog.records if record.name == "portside.address"]
    assert why in line
    assert "docs/behind-a-proxy.md" in line


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {**DOUBTFUL, "X-Forwarded-Proto": "https"},
        {**DOUBTFUL, "X-Forwarded-Proto": "http"},
        {"Forwarded": "for=203.0.113.5;proto=https"},
        {"X-Forwarded-For": "127.0.0.1", "X-Forwarded-Proto": "http", "X-Forwarded-Host": "localhost:5000"},
    ],
)
async def test_the_log_says_nothing_of_an_address_that_clients_may_have_used(
    registry: Client, caplog: pytest.LogCaptureFixture, headers: dict[str, str]
) -> None:
    async with registry.connection() as peer:
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        await peer.send(f"POST {UPLOADS} HTTP/1.1\r\nHost: r.example\r\n{lines}Content-Length: 0\r\n\r\n")
        assert (await peer.read_head()).status == 202
    assert not [record for record in caplog.records if record.name == "portside.address"]
