"""Images: json, layer, ancestry, checksum, with every header and every error (V1API section 3)."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from pathlib import Path

import pytest

from tests.support.byteranges import Part, parse_byteranges
from tests.support.loopback import chunk_of
from tests.support.trees import read_tree
from tests.support.v1server import Answer, Pushed, RunningRegistry, make_pushed

BASE = make_pushed("a", layer=bytes(range(256)) * 40)
TOP = make_pushed("b", parent=BASE.id, layer=b"top layer")
SIZE = len(BASE.layer)
YEAR = 31_536_000
STATES = ("absent", "json", "layer", "complete")
NO_CHECKSUM = (
    "X-Docker-Checksum-Payload not set.  If you are using the Docker daemon,"
    " you should upgrade to version 0.10 or later"
)


async def wait_until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not true():  # noqa: ASYNC110 - what a folder holds tells nobody when it changes
            await asyncio.sleep(0.01)


def assert_cached(told: Answer) -> None:
    """CACHE headers: what never changes may be kept for a year."""
    assert told.value("Cache-Control") == f"public, max-age={YEAR}"
    assert told.value("Last-Modified") == "Thu, 01 Jan 1970 00:00:00 GMT"
    assert told.value("Pragma") is None
    assert told.value("ETag") is None
    expires = parsedate_to_datetime(told.value("Expires") or "").timestamp()
    assert abs(expires - time.time() - YEAR) < 30


def assert_not_cached(told: Answer) -> None:
    assert (told.value("Cache-Control"), told.value("Pragma"), told.value("Expires")) == ("no-cache", "no-cache", "-1")
    assert told.value("Content-Type") == "application/json"


@pytest.mark.parametrize(
    ("text", "layer", "payload"),
    [
        (b"{}", b"", "ca3d163bab055381827226140568f3bef7eaac187cebd76878e0b63e9e442356"),
        (b"{}", b"hello", "edf8906cf6ea9c16186c129fffa316f9d77564d488e5c4c012de3fadeb5a1ced"),
        (b'{"id": "%s"}' % (b"3" * 64), b"", "011117bf09579c3ce16ed7cf787d0e2223062b10c03768746c5f79e529895b8a"),
        (
            b'{"id": "%s"}' % (b"4" * 64),
            b"hello world",
            "bb87388a1bfec80d775e8b3e9643813859501bc2cf69cc35fc186e132cd23461",
        ),
        (
            b'{"id": "%s"}' % (b"a" * 64),
            b"layerbytes",
            "08bc63e9ecd3e03126d246b605e1b823272b1b702299599ced602debdf6a6dc0",
        ),
        (b"{}", bytes(10240), "a7b3ccae4b70f4557b648eeafce77e01675bf7307a1dd0fb774d1e24b1c14a3b"),
    ],
)
async def test_the_payload_checksum_is_over_json_newline_and_layer(
    registry: RunningRegistry, text: bytes, layer: bytes, payload: str
) -> None:
    image_id = text[8:-2].decode() or "c" * 64
    if text == b"{}":  # no image can have it; the vector itself still holds
        assert hashlib.sha256(text + b"\n" + layer).hexdigest() == payload
        return
    image = Pushed(image_id, text, layer)
    await registry.put_json(image)
    await registry.put_layer(image)
    told = await registry.put_checksum(image, f"sha256:{payload}")
    assert (told.status, told.body) == (200, b"true")
    stored = await registry.ask("GET", f"/v1/images/{image_id}/json")
    assert stored.value("X-Docker-Checksum-Payload") == f"sha256:{payload}"


async def test_an_image_comes_back_to_the_byte_and_may_be_kept_for_a_year(registry: RunningRegistry) -> None:
    image = Pushed(BASE.id, b"  " + BASE.json + b"\n", BASE.layer)
    await registry.push_images([image, TOP])
    told = await registry.ask("GET", f"/v1/images/{BASE.id}/json")
    assert (told.status, told.body) == (200, image.json)
    assert told.value("Content-Type") == "application/json"
    assert told.value("X-Docker-Size") == str(SIZE)
    assert told.value("X-Docker-Checksum-Payload") == image.payload
    assert told.value("Accept-Ranges") is None
    assert_cached(told)
    told = await registry.ask("GET", f"/v1/images/{BASE.id}/layer")
    assert (told.status, told.body) == (200, image.layer)
    assert told.value("Content-Type") == "application/octet-stream"
    assert told.value("Accept-Ranges") == "bytes"
    assert_cached(told)
    told = await registry.ask("GET", f"/v1/images/{TOP.id}/ancestry")
    assert (told.status, told.body) == (200, f'["{TOP.id}", "{BASE.id}"]'.encode())
    assert told.value("Content-Type") == "application/json"
    assert_cached(told)


@pytest.mark.parametrize("part", ["json", "layer", "ancestry"])
async def test_head_tells_what_get_tells_without_the_body(registry: RunningRegistry, part: str) -> None:
    await registry.push_images([BASE])
    get, head = [await registry.ask(method, f"/v1/images/{BASE.id}/{part}") for method in ("GET", "HEAD")]
    times = {"Date", "Expires"}
    assert [header for header in head.head.headers if header[0] not in times] == [
        header for header in get.head.headers if header[0] not in times
    ]
    assert head.value("Content-Length") == str(len(get.body))
    assert head.body == b""


async def test_a_layer_is_never_compressed_whatever_the_client_accepts(registry: RunningRegistry) -> None:
    await registry.push_images([BASE])
    for part in ("layer", "json"):
        told = await registry.ask("GET", f"/v1/images/{BASE.id}/{part}", "Accept-Encoding: gzip")
        assert told.value("Content-Encoding") is None
        assert told.body == (BASE.layer if part == "layer" else BASE.json)


async def test_a_layer_that_has_an_encoding_is_stored_as_it_came(registry: RunningRegistry) -> None:
    image = make_pushed("c", layer=b"\x1f\x8b\x08 not even gzip")
    await registry.put_json(image)
    told = await registry.ask(
        "PUT", f"/v1/images/{image.id}/layer", "Content-Encoding: gzip", chunks=[image.layer], agent=None
    )
    assert told.status == 200
    assert (await registry.put_checksum(image)).status == 200
    assert (await registry.ask("GET", f"/v1/images/{image.id}/layer")).body == image.layer


async def test_a_layer_may_come_with_a_length_too(registry: RunningRegistry) -> None:
    await registry.put_json(BASE)
    assert (await registry.ask("PUT", f"/v1/images/{BASE.id}/layer", body=BASE.layer)).status == 200
    assert (await registry.put_checksum(BASE)).status == 200
    assert (await registry.ask("GET", f"/v1/images/{BASE.id}/layer")).body == BASE.layer


async def test_an_empty_layer_is_a_layer(registry: RunningRegistry) -> None:
    """docker-registry answers 416 to who asks for it."""
    image = make_pushed("c", layer=b"")
    await registry.put_json(image)
    assert (await registry.ask("PUT", f"/v1/images/{image.id}/layer")).status == 200
    assert (await registry.put_checksum(image)).status == 200
    told = await registry.ask("GET", f"/v1/images/{image.id}/layer")
    assert (told.status, told.body, told.value("Content-Length")) == (200, b"", "0")
    assert (await registry.ask("GET", f"/v1/images/{image.id}/json")).value("X-Docker-Size") == "0"


@pytest.mark.parametrize(
    ("header", "status", "first", "last"),
    [
        ("bytes=0-9", 206, 0, 9),
        (f"bytes=0-{SIZE - 1}", 206, 0, SIZE - 1),
        ("bytes=5-", 206, 5, SIZE - 1),
        (f"bytes={SIZE - 1}-", 206, SIZE - 1, SIZE - 1),
        ("bytes=0-0", 206, 0, 0),
        ("bytes=0-99999", 206, 0, SIZE - 1),
        (f"bytes=5000-{SIZE}", 206, 5000, SIZE - 1),  # as docker resumes: one past the end
        ("bytes=-5", 206, SIZE - 5, SIZE - 1),
        (f"bytes={SIZE}-{SIZE}", 416, 0, 0),  # as docker asks when it has everything
        (f"bytes={SIZE}-", 416, 0, 0),
        ("bytes=20000-", 416, 0, 0),
        ("bytes=9-5", 416, 0, 0),
        ("bytes=5", 200, 0, SIZE - 1),
        ("bytes=abc-", 200, 0, SIZE - 1),
        ("bytes=a-b", 200, 0, SIZE - 1),
        ("items=0-5", 200, 0, SIZE - 1),
        ("bytes=", 200, 0, SIZE - 1),
        ("bytes=-", 200, 0, SIZE - 1),
        ("bytes=0-" + "9" * 30, 206, 0, SIZE - 1),
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_a_download_resumes_where_it_broke_off(
    registry: RunningRegistry, method: str, header: str, status: int, first: int, last: int
) -> None:
    await registry.push_images([BASE])
    told = await registry.ask(method, f"/v1/images/{BASE.id}/layer", f"Range: {header}")
    assert told.status == status
    assert told.value("Content-Type") == "application/octet-stream"
    assert_cached(told)
    content = b"" if status == 416 else BASE.layer[first : last + 1]
    assert told.value("Content-Length") == str(len(content))
    assert told.body == (content if method == "GET" else b"")
    ranges = {200: None, 206: f"bytes {first}-{last}/{SIZE}", 416: f"bytes */{SIZE}"}
    assert told.value("Content-Range") == ranges[status]


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_several_ranges_of_a_layer_come_as_parts(registry: RunningRegistry, method: str) -> None:
    """docker-registry ignores them, and no Docker asks it: one way of sending content serves both protocols."""
    await registry.push_images([BASE])
    told = await registry.ask(method, f"/v1/images/{BASE.id}/layer", "Range: bytes=7-9,0-5")
    assert (told.status, told.value("Content-Range")) == (206, None)
    assert_cached(told)
    if method == "HEAD":
        assert int(told.value("Content-Length") or 0) > 200
        return
    assert parse_byteranges(told.value("Content-Type") or "", told.body) == [
        Part(7, 9, SIZE, BASE.layer[7:10]),
        Part(0, 5, SIZE, BASE.layer[:6]),
    ]


@pytest.mark.parametrize(
    ("condition", "status"),
    [
        ("Thu, 01 Jan 1970 00:00:00 GMT", 206),  # as it was told in Last-Modified
        ("Thu, 01 Jan 1970 00:00:01 GMT", 200),
        ('"x"', 200),
    ],
)
async def test_a_part_is_sent_only_of_the_layer_that_if_range_names(
    registry: RunningRegistry, condition: str, status: int
) -> None:
    await registry.push_images([BASE])
    told = await registry.ask("GET", f"/v1/images/{BASE.id}/layer", "Range: bytes=0-9", f"If-Range: {condition}")
    assert told.status == status


@pytest.mark.parametrize("part", ["json", "layer", "ancestry"])
async def test_whoever_has_a_copy_of_an_image_keeps_it(registry: RunningRegistry, part: str) -> None:
    await registry.push_images([BASE])
    for value in ("Thu, 01 Jan 1970 00:00:00 GMT", "nonsense"):
        told = await registry.ask("GET", f"/v1/images/{BASE.id}/{part}", f"If-Modified-Since: {value}")
        assert (told.status, told.body) == (304, b"")
        assert told.value("Cache-Control") == f"public, max-age={YEAR}"
        assert (told.value("Content-Type"), told.value("Last-Modified")) == (None, None)
    assert (await registry.ask("GET", f"/v1/images/{BASE.id}/{part}", 'If-None-Match: "x"')).status == 200


@pytest.mark.parametrize("part", ["json", "layer", "ancestry"])
@pytest.mark.parametrize("extra", [(), ("If-Modified-Since: x",), ("Range: bytes=0-1",)])
async def test_an_image_that_is_absent_or_on_its_way_cannot_be_read(
    registry: RunningRegistry, part: str, extra: tuple[str, ...]
) -> None:
    target = f"/v1/images/{BASE.id}/{part}"
    told = await registry.ask("GET", target, *extra)
    assert told.told == (404, "Image not found")
    assert_not_cached(told)
    await registry.put_json(BASE)
    await registry.put_layer(BASE)
    told = await registry.ask("GET", target, *extra)
    assert told.told == (400, "Image is being uploaded, retry later")
    assert_not_cached(told)
    assert (await registry.ask("HEAD", target, *extra)).status == 400


@pytest.mark.parametrize("part", ["json", "layer", "ancestry", "checksum"])
@pytest.mark.parametrize(
    "image_id", ["A" * 64, "a" * 63, "a" * 65, "a" * 32, "x" * 64, "..", "%2e%2e", "a" * 64 + "%0a", "%00"]
)
async def test_an_id_that_is_none_is_told_so(registry: RunningRegistry, part: str, image_id: str) -> None:
    method = "PUT" if part == "checksum" else "GET"
    assert (await registry.ask(method, f"/v1/images/{image_id}/{part}")).told == (404, "Invalid image ID")


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize(
    ("headers", "told"),
    [
        ((), dict.fromkeys(STATES, (412, NO_CHECKSUM))),
        (("X-Docker-Checksum-Payload:",), dict.fromkeys(STATES, (400, "Missing Image's checksum"))),
        (
            (f"X-Docker-Checksum-Payload: sha256:{'0' * 64}",),
            {
                "absent": (404, "Image not found"),
                "json": (400, "Checksum mismatch"),
                "layer": (400, "Checksum mismatch"),
                "complete": (409, "Cannot set this image checksum"),
            },
        ),
        (
            (f"X-Docker-Checksum-Payload: {BASE.payload.upper()}", f"X-Docker-Checksum: {BASE.payload}"),
            {
                "absent": (404, "Image not found"),
                "json": (400, "Checksum mismatch"),
                "layer": (400, "Checksum mismatch"),
                "complete": (409, "Cannot set this image checksum"),
            },
        ),
        (
            (f"X-Docker-Checksum-Payload: {BASE.payload}",),
            {
                "absent": (404, "Image not found"),
                "json": (400, "Checksum mismatch"),
                "complete": (409, "Cannot set this image checksum"),
            },
        ),
    ],
)
async def test_a_checksum_that_cannot_be_set_is_refused_in_docker_registrys_words(
    registry: RunningRegistry, root: Path, state: str, headers: tuple[str, ...], told: dict[str, tuple[int, str]]
) -> None:
    if state not in told:
        return
    if state == "complete":
        await registry.push_images([BASE])
    if state in {"json", "layer"}:
        await registry.put_json(BASE)
    if state == "layer":
        await registry.put_layer(BASE)
    before = read_tree(root)
    answer = await registry.ask("PUT", f"/v1/images/{BASE.id}/checksum", *headers)
    assert answer.told == told[state]
    assert_not_cached(answer)
    assert read_tree(root) == before


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"", (400, "Invalid JSON")),
        (b"[]", (400, "Invalid JSON")),
        (b"{}", (400, "Invalid JSON")),
        (b"\xff", (400, "Invalid JSON")),
        (b'{"a": 1}', (400, "Missing key `id' in JSON")),
        (TOP.json, (400, "JSON data contains invalid id")),
        (make_pushed("a", parent="c" * 64).json, (400, "Image depends on a non existing parent")),
        (make_pushed("a", parent="../x").json, (400, "Image depends on a non existing parent")),
        (b'{"id": "%s", "id": "%s"}' % (b"a" * 64, b"a" * 64), (400, "Invalid JSON")),
        (b"[" * 200_000, (400, "Invalid JSON")),
    ],
)
@pytest.mark.parametrize("complete", [False, True])
async def test_a_json_that_is_none_changes_nothing_even_where_an_image_is(
    registry: RunningRegistry, root: Path, *, complete: bool, body: bytes, told: tuple[int, str]
) -> None:
    if complete:
        await registry.push_images([BASE])
    before = read_tree(root)
    answer = await registry.ask("PUT", f"/v1/images/{BASE.id}/json", body=body)
    assert answer.told == told
    assert_not_cached(answer)
    assert read_tree(root) == before


async def test_a_json_that_is_too_large_is_refused_however_it_comes(registry: RunningRegistry, root: Path) -> None:
    before = read_tree(root)
    large = make_pushed("a", x="x" * (4 << 20)).json
    for answer in (
        await registry.ask("PUT", f"/v1/images/{BASE.id}/json", body=large),
        await registry.ask("PUT", f"/v1/images/{BASE.id}/json", chunks=[large]),
    ):
        assert answer.status == 413
        assert "4194304" in answer.json["error"]
    assert read_tree(root) == before


async def test_an_image_that_exists_is_not_pushed_again(registry: RunningRegistry, root: Path) -> None:
    await registry.push_images([BASE])
    before = read_tree(root)
    assert (await registry.put_json(BASE)).told == (409, "Image already exists")
    assert (await registry.put_layer(BASE)).told == (409, "Image already exists")
    assert (await registry.put_checksum(BASE)).told == (409, "Cannot set this image checksum")
    assert read_tree(root) == before


async def test_a_layer_without_a_json_has_no_image(registry: RunningRegistry, root: Path) -> None:
    before = read_tree(root)
    assert (await registry.put_layer(BASE)).told == (404, "Image not found")
    assert read_tree(root) == before


@pytest.mark.parametrize(
    ("agent", "status"),
    [
        ("docker/0.9.1 go/go1.2.1", 412),
        ("docker/0.9", 412),
        ("docker/0.10.0", 200),
        ("docker/1.5.0", 200),
        ("docker/0.0.0-20190424223053-cfe423a", 200),  # never released, and younger than all of these
        (None, 200),
    ],
)
async def test_daemons_that_cannot_name_a_layer_learn_so_before_they_send_it(
    registry: RunningRegistry, agent: str | None, status: int
) -> None:
    await registry.put_json(BASE)
    told = await registry.ask("PUT", f"/v1/images/{BASE.id}/layer", chunks=[BASE.layer], agent=agent)
    assert told.status == status
    if status == 412:
        assert told.json["error"] == "This endpoint does not support Docker daemons older than 0.10"


async def test_a_chunked_layer_that_is_malformed_gets_400_and_leaves_nothing(
    registry: RunningRegistry, root: Path
) -> None:
    """docker-registry takes a layer that broke off for whole."""
    await registry.put_json(BASE)
    before = read_tree(root)
    async with registry.connection() as peer:
        head = f"PUT /v1/images/{BASE.id}/layer HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        await peer.send(head, chunk_of(BASE.layer), b"not a chunk\r\n")
        answer = await peer.read_head()
        assert answer.status == 400
    assert read_tree(root) == before


@pytest.mark.parametrize("framing", ["Transfer-Encoding: chunked", f"Content-Length: {SIZE}"])
async def test_a_layer_that_breaks_off_leaves_nothing_and_can_be_sent_again(
    registry: RunningRegistry, root: Path, framing: str
) -> None:
    await registry.put_json(BASE)
    before = read_tree(root)
    part = BASE.layer[: SIZE // 2]
    async with registry.connection() as peer:
        head = f"PUT /v1/images/{BASE.id}/layer HTTP/1.1\r\nHost: x\r\n{framing}\r\n\r\n"
        await peer.send(head, chunk_of(part) if "chunked" in framing else part)
        await wait_until(lambda: read_tree(root) != before)
        peer.reset()
    await wait_until(lambda: read_tree(root) == before)
    assert (await registry.put_checksum(BASE)).told == (400, "Checksum mismatch")
    assert (await registry.put_layer(BASE)).status == 200
    assert (await registry.put_checksum(BASE)).status == 200
