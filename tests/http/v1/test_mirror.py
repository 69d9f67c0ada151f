"""A mirror of another v1 registry: what goes there, what is kept, what a source may do wrong."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path

import pytest
from aiohttp import web

from backends.registry.v1.mirrored_images import Arriving
from backends.storage.factory import open_folder, open_memory
from backends.storage.storage import Storage
from backends.v1.mirror import upstream
from backends.v1.mirror.downloads import Flight
from backends.v1.mirror.settings import MirrorSettings
from tests.support.certificate import make_certificate
from tests.support.gated import PASSWORD, Passwords, basic, gated
from tests.support.ports import free_port
from tests.support.v1_session import Session
from tests.support.v1mirror import Say, Source, dribbles, running_mirror, running_source, says, staged, until
from tests.support.v1server import RunningRegistry, make_pushed, running_v1

BASE = make_pushed("a", layer=bytes(range(256)) * 2000)
TOP = make_pushed("b", parent=BASE.id, layer=b"top layer")
OTHER = make_pushed("c", layer=b"another")
LAYER = f"/v1/images/{BASE.id}/layer"


@pytest.fixture
async def storage(tmp_path: Path) -> AsyncIterator[Storage]:
    storage = open_folder(tmp_path / "mirror")
    yield storage
    await storage.close()


@pytest.fixture
async def source() -> AsyncIterator[Source]:
    async with running_source() as running:
        running.has(BASE)
        running.has(TOP, BASE)
        running.tags("library/app", latest=TOP.id)
        running.pages["/v1/repositories/library/app/images"] = says(
            json.dumps([{"id": TOP.id, "Tag": "latest"}, {"id": BASE.id}]).encode(),
            headers={"X-Docker-Endpoints": "elsewhere.example", "X-Docker-Token": "theirs"},
        )
        yield running


def images_of(folder: Path) -> list[str]:
    """The ids of images of which anything is there."""
    return sorted(each.name for each in folder.glob("images/*"))


async def has_whole(folder: Path, image_id: str) -> None:
    await until((folder / "images" / image_id / "json").exists)
    await until(lambda: not staged(folder))


async def test_a_pull_through_a_mirror_keeps_what_docker_registry_keeps(
    storage: Storage, source: Source, tmp_path: Path
) -> None:
    async with running_mirror(storage, source.address) as mirror:
        ping = await mirror.ask("GET", "/v1/_ping")
        assert ping.value("X-Docker-Registry-Standalone") == "mirror"
        begun = await mirror.ask("GET", "/v1/repositories/library/app/images", "X-Docker-Token: true")
        assert begun.status == 200
        assert begun.json == [{"id": TOP.id}, {"id": BASE.id}]
        assert begun.value("X-Docker-Endpoints") == mirror.authority
        assert (begun.value("X-Docker-Token") or "").endswith(',repository="library/app",access=read')
        tags = await mirror.ask("GET", "/v1/repositories/library/app/tags")
        assert (tags.status, tags.body) == (200, json.dumps({"latest": TOP.id}).encode())
        assert (await mirror.ask("GET", "/v1/repositories/app/tags/latest")).json == TOP.id
        assert (await mirror.ask("GET", f"/v1/images/{TOP.id}/ancestry")).json == [TOP.id, BASE.id]
        for image in (BASE, TOP):
            told = await mirror.ask("GET", f"/v1/images/{image.id}/json")
            assert (told.status, told.body) == (200, image.json)
            assert told.value("X-Docker-Size") == str(len(image.layer))
            assert told.value("X-Docker-Checksum-Payload") == image.payload
            assert told.value("Cache-Control") == "public, max-age=31536000"
            head = await mirror.ask("HEAD", f"/v1/images/{image.id}/layer")
            assert (head.status, head.value("Content-Length")) == (200, str(len(image.layer)))
            assert head.value("Accept-Ranges") == "bytes"
            layer = await mirror.ask("GET", f"/v1/images/{image.id}/layer")
            assert (layer.status, layer.body) == (200, image.layer)
            await has_whole(tmp_path / "mirror", image.id)
        folder = tmp_path / "mirror" / "images" / TOP.id
        assert sorted(each.name for each in folder.iterdir()) == ["_checksum", "ancestry", "json", "layer"]
        assert (folder / "json").read_bytes() == TOP.json
        assert (folder / "layer").read_bytes() == TOP.layer
        assert json.loads((folder / "ancestry").read_bytes()) == [TOP.id, BASE.id]
        assert json.loads((folder / "_checksum").read_bytes()) == [TOP.payload]
        # v2, and docker-registry on this volume, see images and no repository.
        assert not (tmp_path / "mirror" / "repositories").exists()
        before = len(source.asked)
        for image in (BASE, TOP):
            for end in ("json", "ancestry", "layer"):
                assert (await mirror.ask("GET", f"/v1/images/{image.id}/{end}")).status == 200
        assert len(source.asked) == before
        assert source.asked_for("/layer") == 2
        assert source.asked_for("/layer", method="HEAD") == 2


async def test_nothing_of_a_client_goes_to_the_source_but_its_program(storage: Storage, source: Source) -> None:
    async with running_mirror(storage, source.address) as mirror:
        sent = (
            "Authorization: Basic bWU6c2VjcmV0",
            "Cookie: session=secret",
            "X-Docker-Token: true",
            "X-Forwarded-For: 192.0.2.7",
            "Connection: keep-alive, X-Hop",
            "X-Hop: secret",
            "Range: bytes=3-5",
        )
        part = await mirror.ask("GET", f"/v1/images/{TOP.id}/layer", *sent)
        assert (part.status, part.body) == (206, TOP.layer[3:6])
    assert source.heads
    for head in source.heads:
        assert set(head) <= {"Host", "Accept", "Accept-Encoding", "User-Agent", "Via"}, head
        assert head["User-Agent"].startswith("docker/1.5.0")
        assert head["Via"] == "1.1 portside-mirror"


async def test_the_mirror_shows_its_own_password(storage: Storage, source: Source, tmp_path: Path) -> None:
    (tmp_path / "password").write_text("wonder\n")
    more = {"user": "alice", "password_file": str(tmp_path / "password")}
    async with running_mirror(storage, source.address, **more) as mirror:
        assert (await mirror.ask("GET", f"/v1/images/{TOP.id}/json", "Authorization: Basic eDp5")).status == 200
    assert [head["Authorization"] for head in source.heads] == ["Basic YWxpY2U6d29uZGVy"]


async def test_what_is_nowhere_is_the_local_404(storage: Storage, source: Source) -> None:
    async with running_mirror(storage, source.address) as mirror:
        for path, message in (
            (f"/v1/images/{'d' * 64}/json", "Image not found"),
            (f"/v1/images/{'d' * 64}/ancestry", "Image not found"),
            (f"/v1/images/{'d' * 64}/layer", "Image not found"),
            ("/v1/images/nonsense/json", "Invalid image ID"),
            ("/v1/repositories/x/tags", "Repository not found"),
            ("/v1/repositories/x/tags/y", "Tag not found"),
            ("/v1/repositories/x/images", "images not found"),
        ):
            assert (await mirror.ask("GET", path)).told == (404, message)
        assert (await mirror.ask("HEAD", f"/v1/images/{'d' * 64}/layer")).status == 404
        source.usual = says(b"broken", 500)
        assert (await mirror.ask("GET", f"/v1/images/{'d' * 64}/json")).told == (404, "Image not found")
    assert not [each for each in source.asked if "nonsense" in each]


@pytest.mark.parametrize("name", ["..", "../..", "a/../b", "./a", "a/..", "%2e%2e/a"])
async def test_no_name_leads_out_of_its_path(storage: Storage, source: Source, name: str) -> None:
    source.usual = says(b"[]")
    async with running_mirror(storage, source.address) as mirror:
        for end in ("images", "tags", "tags/x", "json", "tags/../json"):
            await mirror.ask("GET", f"/v1/repositories/{name}/{end}")
    for asked in source.asked:
        assert not {"..", "."} & set(asked.partition(" ")[2].split("/")), asked


async def comes(mirror: RunningRegistry, end: str, said: object) -> None:
    async with asyncio.timeout(5):
        while (await mirror.ask("GET", f"/v1/repositories/app/{end}")).json != said:  # noqa: ASYNC110 - time passes
            await asyncio.sleep(0.05)


async def test_a_tag_is_asked_for_again_after_its_time(storage: Storage, source: Source) -> None:
    async with running_mirror(storage, source.address, tags_seconds=0.4) as mirror:
        for _ in range(3):
            assert (await mirror.ask("GET", "/v1/repositories/app/tags/latest")).json == TOP.id
            assert (await mirror.ask("GET", "/v1/repositories/app/tags")).json == {"latest": TOP.id}
        assert (source.asked_for("/tags/latest"), source.asked_for("/tags")) == (1, 1)
        source.tags("library/app", latest=BASE.id, more=TOP.id)
        await comes(mirror, "tags/latest", BASE.id)
        assert source.asked_for("/tags/latest") == 2
        await comes(mirror, "tags", {"latest": BASE.id, "more": TOP.id})
        del source.pages["/v1/repositories/library/app/tags/latest"]
        await comes(mirror, "tags/latest", {"error": "Tag not found"})


async def test_without_a_time_it_is_always_asked_for(storage: Storage, source: Source) -> None:
    async with running_mirror(storage, source.address, tags_seconds=0) as mirror:
        for image in (TOP, BASE, OTHER):
            source.tags("library/app", latest=image.id)
            assert (await mirror.ask("GET", "/v1/repositories/app/tags/latest")).json == image.id


async def test_what_it_knew_answers_while_the_source_is_away(storage: Storage, source: Source, tmp_path: Path) -> None:
    paths = [
        "/v1/repositories/app/images",
        "/v1/repositories/app/tags",
        "/v1/repositories/app/tags/latest",
        f"/v1/images/{TOP.id}/ancestry",
        *(f"/v1/images/{image.id}/{end}" for image in (TOP, BASE) for end in ("json", "layer")),
    ]
    async with running_mirror(storage, source.address, tags_seconds=0) as mirror:
        before = [(await mirror.ask("GET", path)).body for path in paths]
        for image in (TOP, BASE):
            await has_whole(tmp_path / "mirror", image.id)
        source.pages.clear()
        source.usual = says(b"", 503)
        assert [(await mirror.ask("GET", path)).body for path in paths] == before
    async with running_mirror(storage, "http://127.0.0.1:9", tags_seconds=0) as mirror:
        assert [(await mirror.ask("GET", path)).body for path in paths] == before
        assert (await mirror.ask("GET", "/v1/repositories/app/tags/other")).told == (404, "Tag not found")


async def test_what_was_pushed_here_goes_first_and_stays_here(storage: Storage, source: Source) -> None:
    async with running_mirror(storage, source.address) as mirror:
        await mirror.push("library/app", "mine", [OTHER])
        assert (await mirror.ask("GET", "/v1/repositories/app/tags")).json == {"mine": OTHER.id}
        assert (await mirror.ask("GET", "/v1/repositories/app/tags/latest")).json == TOP.id
        assert (await mirror.ask("DELETE", "/v1/repositories/app/tags/latest")).status == 404
        assert (await mirror.ask("DELETE", "/v1/repositories/app/tags/mine")).status == 200
    assert {each.partition(" ")[0] for each in source.asked} == {"GET"}


async def test_a_push_that_begins_with_its_json_builds_on_the_source_too(storage: Storage, source: Source) -> None:
    child = make_pushed("e", parent=TOP.id, layer=b"child")
    async with running_mirror(storage, source.address) as mirror:
        await mirror.push("team/app", "v1", [child])
        nobodys = make_pushed("f", parent="d" * 64)
        assert (await mirror.put_json(nobodys)).told == (400, "Image depends on a non existing parent")


async def test_a_push_builds_on_what_only_the_source_has(storage: Storage, source: Source, tmp_path: Path) -> None:
    child = make_pushed("e", parent=TOP.id, layer=b"child")
    async with running_mirror(storage, source.address) as mirror:
        # Docker finds TOP and BASE here, and sends neither.
        put = await mirror.ask("PUT", "/v1/repositories/team/app/tags/top", body=json.dumps(TOP.id).encode())
        assert put.status == 200
        await mirror.push("team/app", "v1", [child])
        assert (await mirror.ask("GET", f"/v1/images/{child.id}/ancestry")).json == [child.id, TOP.id, BASE.id]
        unknown = json.dumps("f" * 64).encode()
        assert (await mirror.ask("PUT", "/v1/repositories/team/app/tags/x", body=unknown)).status == 404
    async with running_v1(storage) as alone:
        for image in (child, TOP, BASE):
            assert (await alone.ask("GET", f"/v1/images/{image.id}/layer")).body == image.layer
    assert source.asked_for("/layer") == 2
    assert images_of(tmp_path / "mirror") == [BASE.id, TOP.id, child.id]


async def test_many_who_ask_for_a_layer_have_it_sent_once_and_get_it_while_it_arrives(
    storage: Storage, source: Source, tmp_path: Path
) -> None:
    pieces = [BASE.layer[at : at + 100_000] for at in range(0, len(BASE.layer), 100_000)]
    goes_on = asyncio.Event()

    async def after_the_third(number: int) -> None:
        if number == 3:
            await goes_on.wait()

    source.has(BASE, layer=dribbles(pieces, after_the_third))
    async with (
        running_mirror(storage, source.address) as first,
        running_mirror(open_folder(tmp_path / "mirror"), source.address) as second,  # as another process
    ):

        async def pull(mirror: RunningRegistry, number: int) -> bytes:
            async with mirror.connection() as peer:
                at = number if number % 2 else 0
                extra = f"Range: bytes={at}-{len(BASE.layer)}\r\n" if at else ""
                await peer.send(f"GET {LAYER} HTTP/1.1\r\nHost: {mirror.authority}\r\n{extra}\r\n")
                head = await peer.read_head()
                assert head.status == (206 if number % 2 else 200)
                received = await peer.reader.readexactly(300_000 - at)  # before the source has sent the rest
                arrived.append(number)
                return received + await peer.reader.readexactly(len(BASE.layer) - 300_000)

        arrived: list[int] = []
        pulls = [asyncio.create_task(pull((first, second)[number // 2 % 2], number)) for number in range(20)]
        await until(lambda: len(arrived) == 20 or any(each.done() and each.exception() for each in pulls))
        assert images_of(tmp_path / "mirror") == []
        goes_on.set()
        for number, body in enumerate(await asyncio.gather(*pulls)):
            assert body == (BASE.layer[number:] if number % 2 else BASE.layer)
        await has_whole(tmp_path / "mirror", BASE.id)
    assert source.asked_for("/layer") == 1


async def test_a_layer_that_breaks_off_leaves_nothing_and_comes_whole_the_next_time(
    storage: Storage, source: Source, tmp_path: Path
) -> None:
    async def at_once(_: int) -> None:
        await asyncio.sleep(0.05)

    half = dribbles([BASE.layer[:200_000]], at_once, size=len(BASE.layer))
    source.has(BASE, layer=half)
    async with running_mirror(storage, source.address) as mirror:
        for _ in range(2):
            with pytest.raises(asyncio.IncompleteReadError) as caught:
                await mirror.ask("GET", LAYER)
            assert BASE.layer.startswith(caught.value.partial)
            await until(lambda: not staged(tmp_path / "mirror"))
        assert images_of(tmp_path / "mirror") == []
        source.has(BASE)
        assert (await mirror.ask("GET", LAYER)).body == BASE.layer


async def test_an_image_is_not_here_before_its_ancestors(storage: Storage, source: Source, tmp_path: Path) -> None:
    async def half(_: int) -> None:
        await asyncio.sleep(0)

    source.has(BASE, layer=dribbles([BASE.layer[:1000]], half, size=len(BASE.layer)))
    async with running_mirror(storage, source.address) as mirror:
        assert (await mirror.ask("GET", f"/v1/images/{TOP.id}/layer")).body == TOP.layer
        await until(lambda: source.asked_for(LAYER) == 1)
        await until(lambda: not staged(tmp_path / "mirror"))
        assert images_of(tmp_path / "mirror") == []
        source.has(BASE)
        assert (await mirror.ask("GET", f"/v1/images/{TOP.id}/layer")).body == TOP.layer
        await has_whole(tmp_path / "mirror", TOP.id)
        assert images_of(tmp_path / "mirror") == [BASE.id, TOP.id]


async def test_another_process_sends_what_is_verified_while_ancestors_arrive(
    storage: Storage, source: Source, tmp_path: Path
) -> None:
    goes_on = asyncio.Event()

    async def stall(_: int) -> None:
        await goes_on.wait()

    source.has(BASE, layer=dribbles([BASE.layer], stall))
    path = f"/v1/images/{TOP.id}/layer"
    async with (
        running_mirror(storage, source.address) as first,
        running_mirror(open_folder(tmp_path / "mirror"), source.address) as second,  # as another process
    ):
        assert (await first.ask("GET", path)).body == TOP.layer
        async with asyncio.timeout(5):
            assert (await second.ask("GET", path)).body == TOP.layer
        assert images_of(tmp_path / "mirror") == []
        goes_on.set()
        await has_whole(tmp_path / "mirror", TOP.id)
    assert source.asked_for(path) == 1


WRONG = make_pushed("a", layer=BASE.layer[:-1] + b"!")


def chunked(layer: bytes) -> Say:
    async def say(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse()
        response.enable_chunked_encoding()
        await response.prepare(request)
        await response.write(layer)
        await response.write_eof()
        return response

    return say


async def lies_about(source: Source, what: str) -> None:
    folder = f"/v1/images/{BASE.id}"
    match what:
        case "the bytes":
            source.pages[f"{folder}/layer"] = says(WRONG.layer)
        case "the bytes of a small one":
            small = make_pushed("a", layer=b"small")
            source.has(small, layer=says(b"wrong"))
        case "an empty one":
            source.has(BASE, layer=says(b""), size="0")
        case "the size":
            source.has(BASE, size="17")
        case "more than the size":
            source.has(BASE, layer=says(BASE.layer + b"more"))
        case "no size":
            source.has(BASE, layer=chunked(BASE.layer), size="")
        case "a size that is none":
            source.has(BASE, size="-5")
        case "another id":
            source.pages[f"{folder}/json"] = says(OTHER.json)
        case "no JSON":
            source.pages[f"{folder}/json"] = says(b"<html>")
        case "another ancestry":
            source.pages[f"{folder}/ancestry"] = says(json.dumps([BASE.id, OTHER.id]).encode())
        case "an ancestry of nothing":
            source.pages[f"{folder}/ancestry"] = says(b"[]")
        case "an endless JSON":
            source.pages[f"{folder}/json"] = says(b" " * (9 * 1024 * 1024))
        case "a few bytes less, in chunks":
            source.has(BASE, layer=chunked(BASE.layer[:-3]), checksum="")
        case "a few bytes more, in chunks":
            source.has(BASE, layer=chunked(BASE.layer + b"!"), checksum="")
        case _:
            raise AssertionError(what)


@pytest.mark.parametrize(
    "what",
    [
        "the bytes",
        "the bytes of a small one",
        "an empty one",
        "the size",
        "more than the size",
        "no size",
        "a size that is none",
        "another id",
        "no JSON",
        "another ancestry",
        "an ancestry of nothing",
        "an endless JSON",
        "a few bytes less, in chunks",
        "a few bytes more, in chunks",
    ],
)
async def test_nobody_gets_a_whole_layer_that_is_not_what_was_announced(
    storage: Storage, source: Source, tmp_path: Path, what: str, caplog: pytest.LogCaptureFixture
) -> None:
    await lies_about(source, what)
    async with running_mirror(storage, source.address) as mirror:
        async with mirror.connection() as peer:
            await peer.send(f"GET {LAYER} HTTP/1.1\r\nHost: {mirror.authority}\r\n\r\n")
            head = await peer.read_head()
            if head.status == 200:
                with pytest.raises(asyncio.IncompleteReadError):
                    await peer.read_body(head)
            else:
                assert head.status in {404, 503}
        await until(lambda: not staged(tmp_path / "mirror"))
        assert images_of(tmp_path / "mirror") == []
    assert "is not had from the registry that is mirrored" in caplog.text, "operators are told why"


async def test_an_empty_layer_is_had_once_its_image_is_here(storage: Storage, source: Source, tmp_path: Path) -> None:
    empty = make_pushed("a", layer=b"")
    source.has(empty)
    async with running_mirror(storage, source.address) as mirror:
        told = await mirror.ask("GET", LAYER)
        assert (told.status, told.body) == (200, b"")
        assert images_of(tmp_path / "mirror") == [empty.id]


@pytest.mark.parametrize("is_here", [False, True])
async def test_no_image_is_made_whose_ancestors_its_parent_does_not_have(
    storage: Storage, source: Source, tmp_path: Path, *, is_here: bool
) -> None:
    async with running_mirror(storage, source.address) as mirror:
        if is_here:
            await mirror.ask("GET", LAYER)
            await has_whole(tmp_path / "mirror", BASE.id)
        source.pages[f"/v1/images/{TOP.id}/ancestry"] = says(json.dumps([TOP.id, BASE.id, OTHER.id]).encode())
        assert (await mirror.ask("GET", f"/v1/images/{TOP.id}/layer")).body == TOP.layer
        await until(lambda: not staged(tmp_path / "mirror"))
        assert images_of(tmp_path / "mirror") == ([BASE.id] if is_here else [])


async def test_a_source_without_end_of_ancestors_is_not_believed(
    storage: Storage, source: Source, tmp_path: Path
) -> None:
    endless = [f"{number:064x}" for number in range(100)]
    for image_id, parent in pairwise(endless):
        image = make_pushed(image_id, parent=parent, layer=b"layer")
        source.has(image)
        source.pages[f"/v1/images/{image_id}/ancestry"] = says(json.dumps([image_id, parent]).encode())
    async with running_mirror(storage, source.address) as mirror:
        assert (await mirror.ask("GET", f"/v1/images/{endless[0]}/layer")).body == b"layer"
        await until(lambda: not staged(tmp_path / "mirror"))
        assert images_of(tmp_path / "mirror") == []
    assert source.asked_for("/layer") == 1


async def test_in_chunks_it_is_believed_by_the_length_that_its_json_had(storage: Storage, source: Source) -> None:
    source.has(BASE, layer=chunked(BASE.layer), checksum="")
    async with running_mirror(storage, source.address) as mirror:
        assert (await mirror.ask("GET", LAYER)).body == BASE.layer


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_redirect_to_another_host_is_not_followed(storage: Storage, source: Source, scheme: str) -> None:
    async with running_source(says(BASE.json)) as other:
        there = other.address.replace("http", scheme)
        for image, to in ((BASE, f"{there}/x"), (TOP, f"//{there.partition('//')[2]}/x")):
            for end in ("json", "layer", "ancestry"):
                source.pages[f"/v1/images/{image.id}/{end}"] = says(b"", 302, headers={"Location": to})
        source.pages["/v1/repositories/library/app/images"] = says(b"", 307, headers={"Location": f"{there}/x"})
        async with running_mirror(storage, source.address) as mirror:
            for path in (*(f"/v1/images/{image.id}/json" for image in (BASE, TOP)), "/v1/repositories/app/images"):
                assert (await mirror.ask("GET", path)).status == 404
        assert other.asked == []


async def test_an_image_that_has_lost_its_layer_gets_it_back_if_it_is_the_same(
    storage: Storage, source: Source, tmp_path: Path
) -> None:
    other = make_pushed("a", layer=b"of another image", comment="another")
    async with running_mirror(storage, source.address) as mirror:
        for image, status in ((other, 404), (BASE, 200)):
            folder = tmp_path / "mirror" / "images" / BASE.id
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "json").write_bytes(image.json)
            (folder / "ancestry").write_text(json.dumps([BASE.id]))
            assert (await mirror.ask("GET", f"/v1/images/{BASE.id}/json")).body == image.json
            assert (await mirror.ask("GET", LAYER)).status == status
            await until(lambda: not staged(tmp_path / "mirror"))
            assert (folder / "json").read_bytes() == image.json
            assert (folder / "layer").exists() is (status == 200)


async def test_what_is_not_verified_is_not_read_to_its_end() -> None:
    flight = Flight()
    flight.arriving, flight.received = Arriving("name", 10), 10  # as another process's file says
    assert flight.readable == 9
    flight.end_whole()
    assert flight.readable == 10


async def test_a_source_without_checksums_is_believed_by_the_length(
    storage: Storage, source: Source, tmp_path: Path
) -> None:
    source.has(BASE, checksum="")
    source.has(OTHER, checksum="tarsum+sha256:00")
    async with running_mirror(storage, source.address) as mirror:
        for image in (BASE, OTHER):
            assert (await mirror.ask("GET", f"/v1/images/{image.id}/layer")).body == image.layer
            await has_whole(tmp_path / "mirror", image.id)
            told = await mirror.ask("GET", f"/v1/images/{image.id}/json")
            assert told.value("X-Docker-Checksum-Payload") == image.payload


async def test_a_source_that_is_busy_is_asked_again_where_it_says(storage: Storage, source: Source) -> None:
    page = source.pages.pop(f"/v1/images/{TOP.id}/json")

    async def busy(request: web.BaseRequest) -> web.StreamResponse:
        if "wait" not in request.query_string:
            return web.Response(status=307, headers={"Location": f"{request.path}?wait=1"})
        return await page(request)

    source.pages[f"/v1/images/{TOP.id}/json"] = busy
    async with running_mirror(storage, source.address) as mirror:
        assert (await mirror.ask("GET", f"/v1/images/{TOP.id}/json")).body == TOP.json

        async def round_and_round(request: web.BaseRequest) -> web.StreamResponse:
            return web.Response(status=302, headers={"Location": request.path})

        source.pages[f"/v1/images/{BASE.id}/json"] = round_and_round
        assert (await mirror.ask("GET", f"/v1/images/{BASE.id}/json")).status == 404
    assert source.asked_for(f"{BASE.id}/json") == 10


async def test_a_mirror_of_itself_does_not_ask_for_ever(storage: Storage) -> None:
    async with running_source() as source:
        async with running_mirror(storage, source.address) as mirror:

            async def itself(request: web.BaseRequest) -> web.StreamResponse:
                vias = [f"Via: {value}" for value in request.headers.getall("Via", ())]
                answer = await mirror.ask("GET", request.raw_path, *vias)
                return web.Response(status=answer.status, body=answer.body)

            source.usual = itself
            assert (await mirror.ask("GET", f"/v1/images/{'d' * 64}/json")).told == (404, "Image not found")
        assert len(source.asked) == 3


async def test_the_index_is_asked_for_lists_and_searches(storage: Storage, source: Source) -> None:
    async with running_source() as index:
        index.pages["/v1/repositories/library/app/images"] = says(json.dumps([{"id": OTHER.id}]).encode())
        results = [
            {"name": "library/theirs", "description": "from there", "star_count": 3},
            {"name": "library/mine", "description": None},
            {"name": 7},
            "nonsense",
        ]
        index.pages["/v1/search"] = says(json.dumps({"num_results": 4, "query": "i", "results": results}).encode())
        async with running_mirror(storage, source.address, source_index=index.address) as mirror:
            assert (await mirror.ask("GET", "/v1/repositories/app/images")).json == [{"id": OTHER.id}]
            await mirror.push_images([OTHER])
            for name in ("ni", "mine"):
                await mirror.push(f"library/{name}", "latest", [make_pushed("01"[name == "ni"], parent=OTHER.id)])
            found = (await mirror.ask("GET", "/v1/search?q=i&n=25")).json
            assert found["num_results"] == 3
            assert [(each["name"], each["description"]) for each in found["results"]] == [
                ("library/mine", ""),
                ("ni", ""),
                ("library/theirs", "from there"),
            ]
            assert "GET /v1/search?q=i&n=25" in index.asked
            index.pages["/v1/search"] = says(b"", 500)
            assert (await mirror.ask("GET", "/v1/search?q=i")).json["num_results"] == 2
    assert not source.asked_for("/images")
    assert not source.asked_for("/v1/search")


async def test_who_set_a_tag_is_said_as_the_source_says_it(storage: Storage, source: Source) -> None:
    said = {"arch": "amd64", "docker_version": "1.5.0", "last_update": 1, "more": {"x": 1}}
    for end in ("json", "tags/latest/json"):
        source.pages[f"/v1/repositories/library/app/{end}"] = says(json.dumps(said).encode())
    async with running_mirror(storage, source.address) as mirror:
        for end in ("json", "tags/latest/json"):
            told = (await mirror.ask("GET", f"/v1/repositories/app/{end}")).json
            assert (told["docker_version"], "more" in told) == ("1.5.0", False)
        assert (await mirror.ask("GET", "/v1/repositories/x/json")).json["arch"] == "amd64"


async def test_in_memory_it_is_a_mirror_too(source: Source) -> None:
    async with running_mirror(open_memory(), source.address) as mirror:
        for image in (TOP, BASE):
            for _ in range(2):
                assert (await mirror.ask("GET", f"/v1/images/{image.id}/layer")).body == image.layer


async def test_a_certificate_is_checked(storage: Storage, tmp_path: Path) -> None:
    made = [tmp_path / "one", tmp_path / "other"]
    for folder in made:
        folder.mkdir()
    files, others = (make_certificate(folder) for folder in made)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(files.chain, files.key)
    async with running_source(tls=tls) as source:
        source.has(BASE)
        for ca, status in (("", 404), (str(others.ca), 404), (str(files.ca), 200)):
            async with running_mirror(storage, source.address.replace("https", "HTTPS"), ca=ca) as mirror:
                assert (await mirror.ask("GET", f"/v1/images/{BASE.id}/json")).status == status
        assert source.asked == [f"GET /v1/images/{BASE.id}/json"]


async def test_a_mirror_that_ends_leaves_nothing_of_what_arrives(
    storage: Storage, source: Source, tmp_path: Path
) -> None:
    never = asyncio.Event()

    async def stops(number: int) -> None:
        if number:
            await never.wait()

    source.has(BASE, layer=dribbles([BASE.layer[:100_000], BASE.layer[100_000:]], stops))
    async with running_mirror(storage, source.address) as mirror:
        async with mirror.connection() as peer:
            await peer.send(f"GET {LAYER} HTTP/1.1\r\nHost: {mirror.authority}\r\n\r\n")
            await peer.read_head()
            assert await peer.reader.readexactly(100_000) == BASE.layer[:100_000]
            peer.leave()
        # It goes on without its client, for the next one.
        await asyncio.sleep(0.2)
        assert staged(tmp_path / "mirror")
    assert not staged(tmp_path / "mirror")
    assert images_of(tmp_path / "mirror") == []
    never.set()


async def test_a_source_that_says_nothing_is_not_waited_for_longer_than_its_time(
    storage: Storage, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upstream, "SMALL_SECONDS", 0.3)
    never = asyncio.Event()

    async def silent(_: web.BaseRequest) -> web.StreamResponse:
        await never.wait()
        raise AssertionError

    source.pages[f"/v1/images/{TOP.id}/json"] = silent
    source.pages[f"/v1/images/{BASE.id}/json"] = dribbles([BASE.json[:5], BASE.json[5:]], asyncio.sleep)
    async with running_mirror(storage, source.address) as mirror:
        for image in (TOP, BASE):
            async with asyncio.timeout(5):
                assert (await mirror.ask("GET", f"/v1/images/{image.id}/json")).status == 404
        assert (await mirror.ask("GET", "/v1/repositories/app/tags/latest")).json == TOP.id


async def test_a_source_that_cannot_be_reached_is_let_be_for_a_while() -> None:
    now = [100.0]
    asking = upstream.Upstream(MirrorSettings(f"http://127.0.0.1:{free_port()}"), clock=lambda: now[0])
    for passed, why in (
        (0, "cannot be reached"),
        (1, "a moment ago"),
        (3.9, "a moment ago"),
        (0.2, "cannot be reached"),
    ):
        now[0] += passed
        with pytest.raises(upstream.Unavailable, match=why):
            await asking.get("/v1/search", upstream.Behalf())
    await asking.close()


async def test_a_source_with_access_control_shows_what_the_mirrors_user_may_pull(
    storage: Storage, tmp_path: Path
) -> None:
    rules = "- {allow: push, to: alice, on: [mine/**, secret/**]}\n- {allow: pull, to: mirror, on: mine/**}\n"
    secret = make_pushed("f", layer=b"secret")
    (tmp_path / "password").write_text(PASSWORD)
    async with gated(Passwords(), rules=rules) as here:
        for name, images in (("mine/app", [BASE, TOP]), ("secret/app", [secret])):
            await Session(here.v1, basic("alice")).push(name, "latest", images)
        more = {"user": "mirror", "password_file": str(tmp_path / "password")}
        async with running_mirror(storage, f"http://{here.v1.authority}", **more) as mirror:
            assert {each["id"] for each in (await mirror.ask("GET", "/v1/repositories/mine/app/images")).json} == {
                BASE.id,
                TOP.id,
            }
            assert (await mirror.ask("GET", "/v1/repositories/mine/app/tags/latest")).json == TOP.id
            for image in (TOP, BASE):
                assert (await mirror.ask("GET", f"/v1/images/{image.id}/layer")).body == image.layer
            for path in ("repositories/secret/app/images", "repositories/secret/app/tags", f"images/{secret.id}/layer"):
                assert (await mirror.ask("GET", f"/v1/{path}")).status == 404


async def test_what_a_client_has_got_whole_is_here_when_the_mirror_ends(
    storage: Storage, source: Source, tmp_path: Path
) -> None:
    async with running_mirror(storage, source.address) as mirror:
        assert (await mirror.ask("GET", f"/v1/images/{TOP.id}/layer")).body == TOP.layer
    assert images_of(tmp_path / "mirror") == [BASE.id, TOP.id]
    assert not staged(tmp_path / "mirror")
