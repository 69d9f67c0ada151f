"""v1 with an index elsewhere: what a token of the index lets its holder do, as the index says it."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from backends.auth import index_server
from backends.auth.rules_text import parse_rules
from backends.storage import layout
from backends.v1 import index_mode
from backends.v1.routes import routes_beside_an_index
from tests.support.certificate import make_certificate
from tests.support.gated import basic
from tests.support.index_mode import MINE, BesideIndex, beside_index
from tests.support.serving_here import Answer
from tests.support.small_index import Listed, SmallIndex, header, paths
from tests.support.v1server import Pushed, make_pushed

BASE = make_pushed("a", layer=b"the layer of the base")
APP = make_pushed("b", parent=BASE.id, layer=b"the layer of the app")
OTHER = make_pushed("c", layer=b"of another repository")


@pytest.fixture
async def here() -> AsyncIterator[BesideIndex]:
    async with beside_index(SmallIndex(registry="registry.test")) as running:
        yield running


UNAUTHORIZED = (401, {"error": "Requires authorization"})


def told(answer: Answer) -> tuple[int, object]:
    if answer.status == 401:
        assert answer.head.values("WWW-Authenticate") == ["Token"]
    return answer.status, answer.json


# what there is


async def test_it_says_that_it_does_not_stand_alone_and_what_is_the_index_s_is_not_here(here: BesideIndex) -> None:
    for path in ("/v1/_ping", "/_ping"):
        assert (await here.ask("GET", path, {}))["X-Docker-Registry-Standalone"] == "False"
    for method, path, status in (
        ("GET", "/v1/users/", 404),
        ("POST", "/v1/users/", 404),
        ("PUT", "/v1/users/alice/", 404),
        ("GET", f"/v1/repositories/{MINE}/images", 404),
        ("PUT", f"/v1/repositories/{MINE}/images", 404),
        ("DELETE", f"/v1/repositories/{MINE}/images", 404),
        ("PUT", f"/v1/repositories/{MINE}/auth", 404),
        ("PUT", f"/v1/repositories/{MINE}/", 405),
        ("PUT", f"/v1/repositories/{MINE}", 405),
    ):
        for headers in ({}, here.may("write")):
            answer = await here.ask(method, path, headers, b"[]" if method != "GET" else None)
            assert answer.status == status, (method, path, answer)
            assert not answer.head.values("X-Docker-Token")
            if status == 404:
                assert here.index.url in answer.json["error"]
            else:
                assert answer["Allow"] == "DELETE"
    assert here.index.asked == []


# tokens


GUARDED = [
    *[("GET", f"/v1/images/{BASE.id}/{part}") for part in ("json", "layer", "ancestry")],
    *[("PUT", f"/v1/images/{BASE.id}/{part}") for part in ("json", "layer", "checksum")],
    ("GET", f"/v1/repositories/{MINE}/tags"),
    ("GET", f"/v1/repositories/{MINE}/tags/t"),
    ("GET", f"/v1/repositories/{MINE}/tags/t/json"),
    ("GET", f"/v1/repositories/{MINE}/json"),
    ("PUT", f"/v1/repositories/{MINE}/tags/t"),
    ("GET", f"/v1/repositories/{MINE}/properties"),
    ("PUT", f"/v1/repositories/{MINE}/properties"),
    ("DELETE", f"/v1/repositories/{MINE}/tags/t"),
    ("DELETE", f"/v1/repositories/{MINE}/tags"),
    ("DELETE", f"/v1/repositories/{MINE}/"),
]
PRIVATE = b'{"access": "private"}'
ACCESS = {"GET": "read", "HEAD": "read", "PUT": "write", "DELETE": "delete"}


@pytest.mark.parametrize(("method", "path"), GUARDED)
async def test_nothing_is_done_without_a_token_that_the_index_takes(here: BesideIndex, method: str, path: str) -> None:
    await here.push(MINE, BASE)
    good = here.index.give(MINE, ACCESS[method])
    altered = here.index.give(MINE, ACCESS[method], given="other")
    wrong = [
        {},
        {"Authorization": "Basic Og=="},
        basic("alice"),
        {"Authorization": "Bearer abc"},
        {"Authorization": f"Basic {good}"},
        header(good.replace("SIGNATURE", "SIGNED")),
        header(altered),
        header(f"{good},repository=team/other"),
        header(good.replace(MINE, "app")),
        header(good.replace(MINE, "../app")),
        header(good.replace(MINE, "team/.")),
        header(good.replace(MINE, "team/app/images?x=")),
        header(good.replace(MINE, "")),
        header("x" * 9000),
        {"Authorization": "Token"},
        {"Authorization": "Token Token Token"},
        {"Authorization": "Token signature"},
    ]
    for headers in wrong:
        answer = await here.ask(method, path, headers, b"{}" if method == "PUT" else None)
        assert told(answer) == UNAUTHORIZED, (headers, answer)
    assert not [each for each in here.index.asked if ".." in each.path or "?" in each.path]


@pytest.mark.parametrize(("method", "path"), GUARDED)
@pytest.mark.parametrize("access", ["read", "write", "delete", "all", ""])
async def test_a_token_is_for_the_methods_of_its_access_and_one_without_for_all(
    here: BesideIndex, method: str, path: str, access: str
) -> None:
    await here.push(MINE, BASE)
    token = here.index.give(MINE, access)
    if not access:
        token = token.removesuffix(",access=")
    answer = await here.ask(method, path, header(token), b'"x"' if method == "PUT" else None)
    if access in {ACCESS[method], "all", ""}:
        assert answer.status not in {401, 403, 404} or "tags/t" in path or "PUT" in method, answer
        assert answer.status != 401
    else:
        assert told(answer) == UNAUTHORIZED


@pytest.mark.parametrize(("method", "path"), [each for each in GUARDED if "repositories" in each[1]])
async def test_a_token_of_one_repository_is_for_no_other(here: BesideIndex, method: str, path: str) -> None:
    await here.push(MINE, BASE)
    await here.push("team/other", OTHER)
    answer = await here.ask(method, path, here.may(ACCESS[method], "team/other"), b"{}" if method == "PUT" else None)
    assert told(answer) == UNAUTHORIZED


@pytest.mark.parametrize("written", ["Token {}", "Token Token {}", "token {}", "TOKEN token {}"])
async def test_a_token_is_read_however_a_client_writes_it_and_the_index_sees_it_unchanged(
    here: BesideIndex, written: str
) -> None:
    await here.push(MINE, BASE)
    here.index.asked.clear()
    shown = written.format(here.index.give(MINE, "read"))
    assert (await here.ask("GET", f"/v1/repositories/{MINE}/tags", {"Authorization": shown})).json == {"t": BASE.id}
    assert [(each.path, each.authorization) for each in here.index.asked] == [
        (f"/v1/repositories/{MINE}/images", shown)
    ]


async def test_head_is_a_read(here: BesideIndex) -> None:
    await here.push(MINE, BASE)
    for part in ("json", "layer", "ancestry"):
        assert (await here.ask("HEAD", f"/v1/images/{BASE.id}/{part}", here.may("read"))).status == 200


@pytest.mark.parametrize("name", ["library/app", "app", "a/b/c", "ns/r%2Bx", "n.s/R_x"])
async def test_names_are_compared_as_the_original_writes_them(here: BesideIndex, name: str) -> None:
    written = {"app": "library/app", "a/b/c": "a/b%2Fc"}.get(name, name)
    answer = await here.ask("GET", f"/v1/repositories/{name}/tags", here.may("read", written))
    assert (answer.status, answer.json) == (404, {"error": "Repository not found"})
    assert paths(here.index.asked) == [f"GET {written}/images"]


# images


async def test_what_was_pushed_with_one_token_is_pulled_with_another(here: BesideIndex) -> None:
    await here.push(MINE, BASE, APP)
    reader = here.may("read")
    assert (await here.ask("GET", f"/v1/repositories/{MINE}/tags/t", reader)).json == APP.id
    assert (await here.ask("GET", f"/v1/images/{APP.id}/ancestry", reader)).json == [APP.id, BASE.id]
    for image in (BASE, APP):
        assert (await here.ask("GET", f"/v1/images/{image.id}/json", reader)).body == image.json
        assert (await here.ask("GET", f"/v1/images/{image.id}/layer", reader)).body == image.layer
    kept = await here.storage.driver.read(layout.v1_images_list("team", "app"))
    assert kept == json.dumps([BASE.id, APP.id]).encode()  # as Python 2's json writes it, too


async def test_an_image_that_the_index_does_not_list_is_refused(here: BesideIndex) -> None:
    here.index.repositories[MINE] = Listed([BASE.id])
    writer = here.may("write")
    refused = (400, b'{"error": "This image does not belong to the repository"}')
    assert await here.put_image(OTHER, writer) == [refused]
    here.index.repositories[MINE].ids.append(OTHER.id)  # what was remembered is not what counts
    assert await here.put_image(OTHER, writer) == [(200, b"true")] * 3


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"id": "x"}', b'{"a": 1}'])
async def test_a_bad_body_is_told_before_the_list(here: BesideIndex, body: bytes) -> None:
    answer = await here.ask("PUT", f"/v1/images/{OTHER.id}/json", here.may("write"), body)
    assert answer.status == 400
    assert "belong" not in answer.json["error"]


async def test_a_parent_is_one_that_the_index_lets_the_caller_build_upon(
    here: BesideIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index_mode, "PUSH_LOOK_SECONDS", 0.0)  # Docker pushes again what was missed
    await here.push("team/base", BASE)
    here.index.repositories[MINE] = Listed([APP.id])
    unauthorized = (400, b'{"error": "Image depends on an unauthorized parent"}')
    assert await here.put_image(APP, here.may("write")) == [unauthorized]
    here.index.shared.add(BASE.id)
    writer = here.may("write")
    assert await here.put_image(APP, writer) == [(200, b"true")] * 3
    answer = await here.ask("PUT", f"/v1/repositories/{MINE}/tags/t", writer, json.dumps(APP.id).encode())
    assert answer.status == 200
    reader = here.may("read")
    assert (await here.ask("GET", f"/v1/images/{BASE.id}/layer", reader)).body == BASE.layer
    here.index.asked.clear()
    absent = make_pushed("d", parent="e" * 64)
    here.index.repositories[MINE].ids.append(absent.id)
    assert await here.put_image(absent, here.may("write")) == [unauthorized]
    here.index.shared.add("e" * 64)
    refused = (400, b'{"error": "Image depends on a non existing parent"}')
    assert await here.put_image(absent, here.may("write")) == [refused]
    assert paths(here.index.asked)[:2] == [f"GET {MINE}/images", f"GET {MINE}/layer/{'e' * 64}/access"]


async def test_knowing_an_id_of_another_repository_does_not_give_its_layer(here: BesideIndex) -> None:
    await here.push("team/other", OTHER)
    absent = await here.ask("GET", f"/v1/images/{'f' * 64}/json", here.may("read"))
    assert (absent.status, absent.json) == (404, {"error": "Image not found"})
    for part in ("json", "layer", "ancestry"):
        answer = await here.ask("GET", f"/v1/images/{OTHER.id}/{part}", here.may("read"))
        assert (answer.status, answer.json) == (404, {"error": "Image not found"})
    here.index.repositories[MINE] = Listed([APP.id])
    tag = json.dumps(OTHER.id).encode()
    answer = await here.ask("PUT", f"/v1/repositories/{MINE}/tags/t", here.may("write"), tag)
    assert (answer.status, answer.json) == (404, {"error": "Image not found"})
    # Nor does announcing it: the index takes a client's word for its list, so one's own bytes are pushed.
    here.index.repositories[MINE].ids.append(OTHER.id)
    mine = Pushed(OTHER.id, OTHER.json, b"my own bytes")
    assert (await here.put_image(mine, here.may("write")))[0][0] in {200, 409}


async def test_of_a_private_repository_the_index_is_asked_about_each_image(here: BesideIndex) -> None:
    await here.push(MINE, BASE, APP)
    answer = await here.ask("PUT", f"/v1/repositories/{MINE}/properties", here.may("write"), b'{"access": "private"}')
    assert answer.status == 200
    here.index.repositories[MINE].ids.remove(BASE.id)
    reader = here.may("read")
    here.index.asked.clear()
    for part in ("json", "layer", "ancestry"):
        for method in ("GET", "HEAD"):
            answer = await here.ask(method, f"/v1/images/{BASE.id}/{part}", reader)
            assert answer.status == 404
            assert method == "HEAD" or answer.json == {"error": "Image not found"}
            assert (await here.ask(method, f"/v1/images/{APP.id}/{part}", reader)).status == 200
    assert f"GET {MINE}/layer/{APP.id}/access" in paths(here.index.asked)
    answer = await here.ask("PUT", f"/v1/repositories/{MINE}/properties", here.may("write"), b'{"access": "public"}')
    assert (await here.ask("GET", f"/v1/images/{BASE.id}/layer", reader)).body == BASE.layer


# the index itself


async def test_the_index_is_not_asked_again_for_a_moment_and_a_revoked_token_ends_within_seconds(
    here: BesideIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index_server, "GRANTED_SECONDS", 3.0)
    await here.push(MINE, BASE)
    reader = here.may("read")
    here.index.asked.clear()
    for _ in range(20):
        assert (await here.ask("GET", f"/v1/images/{BASE.id}/json", reader)).status == 200
    assert len(here.index.asked) == 1
    here.index.revoke()
    await asyncio.sleep(3.1)
    assert told(await here.ask("GET", f"/v1/images/{BASE.id}/json", reader)) == UNAUTHORIZED
    assert index_server.REFUSED_SECONDS <= 3


async def test_many_at_once_ask_the_index_once(here: BesideIndex) -> None:
    await here.push(MINE, BASE)
    here.index.delay = 0.3
    here.index.asked.clear()
    reader = here.may("read")
    answers = await asyncio.gather(*(here.ask("GET", f"/v1/repositories/{MINE}/tags/t", reader) for _ in range(20)))
    assert {each.status for each in answers} == {200}
    assert len(here.index.asked) == 1


LIES = [
    (500, {}, b"", 503),
    (302, {"Location": "/elsewhere"}, b"", 503),
    (204, {}, b"", 503),
    (200, {}, b"", 503),
    (200, {}, b"[", 503),
    (200, {}, b"{}", 503),
    (200, {}, b"null", 503),
    (200, {}, b'["a"]', 503),
    (200, {}, b'[{"id": 1}]', 503),
    (200, {}, b'[{"name": "x"}]', 503),
    (200, {}, b"[" * 200, 503),
    (200, {}, b"[" + b" " * (9 * 1024 * 1024) + b"]", 503),
    (200, {"Content-Encoding": "gzip"}, b"[]", 200),
    (400, {}, b"", 401),
    (401, {}, b"", 401),
    (403, {}, b"[]", 401),
    (404, {}, b"", 401),
    (429, {"Retry-After": "7"}, b"", 429),
]


@pytest.mark.parametrize(("status", "headers", "body", "wanted"), LIES)
async def test_an_index_that_says_nothing_useful_lets_nobody_in(
    here: BesideIndex, status: int, headers: dict[str, str], body: bytes, wanted: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    here.index.answers = (status, headers, body)
    token = here.index.give(MINE, "read")
    answers = [await here.ask("GET", f"/v1/repositories/{MINE}/properties", header(token)) for _ in range(2)]
    assert {each.status for each in answers} == {wanted}
    assert len(here.index.asked) <= 2  # no redirection is followed
    if wanted == 503:
        assert answers[0]["Retry-After"] == "5"
        assert answers[0].json == {"error": "the index of this registry cannot be asked now"}
        lines = [each.getMessage() for each in caplog.records if each.name == "portside.auth.index"]
        assert len(lines) == 1
        assert "cannot be asked, so clients of v1 get 503: it" in lines[0]
        here.index.answers = None
        assert (await here.ask("GET", f"/v1/repositories/{MINE}/properties", header(token))).status == 200
        assert "answers again" in caplog.text
    elif wanted == 429:
        assert answers[0]["Retry-After"] == "7"
    assert "SIGNATURE" not in caplog.text


async def test_a_slow_index_is_waited_for_so_long(here: BesideIndex, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index_server, "TIMEOUT_SECONDS", 0.2)
    here.index.delay = 0.6
    answer = await here.ask("GET", f"/v1/repositories/{MINE}/properties", here.may("read"))
    assert answer.status == 503
    image = await here.ask("PUT", f"/v1/images/{BASE.id}/layer", here.may("write"), b"x" * 100)
    assert image.status == 503


async def test_an_index_that_is_down_in_the_middle_of_a_push_or_pull_ends_it_with_503(
    here: BesideIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    await here.push(MINE, BASE)
    await here.ask("PUT", f"/v1/repositories/{MINE}/properties", here.may("write"), b'{"access": "private"}')
    reader, writer = here.may("read"), here.may("write")
    here.index.repositories[MINE].ids.append(APP.id)
    for headers in (reader, writer):
        method = "GET" if headers is reader else "PUT"
        await here.ask(method, f"/v1/repositories/{MINE}/properties", headers, b'{"access": "private"}')
    here.index.answers = (500, {}, b"")
    assert (await here.ask("GET", f"/v1/images/{BASE.id}/json", reader)).status == 503
    assert (await here.put_image(APP, writer))[0][0] == 503
    here.index.answers = None
    assert (await here.ask("GET", f"/v1/images/{BASE.id}/json", reader)).status == 200
    assert await here.put_image(APP, writer) == [(200, b"true")] * 3


async def test_a_crowd_at_a_slow_index_is_told_to_come_again(
    here: BesideIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index_server, "WAITING", 8)
    here.index.delay = 0.5
    answers = await asyncio.gather(
        *(here.ask("GET", f"/v1/repositories/{MINE}/properties", here.may("read")) for _ in range(12))
    )
    statuses = [each.status for each in answers]
    assert statuses.count(429) >= 8  # one client has half the room
    assert statuses.count(200) == 4


async def test_the_index_s_certificate_is_verified(tmp_path: Path) -> None:
    certificate = make_certificate(tmp_path)
    for ca, status in ((certificate.ca, 200), (None, 503)):
        async with beside_index(SmallIndex(), files=certificate, ca=ca) as here:
            answer = await here.ask("GET", f"/v1/repositories/{MINE}/properties", here.may("read"))
            assert answer.status == status
            assert bool(here.index.asked) == (status == 200)


# beside rules


RULES = """
- {allow: push, to: v1:index, on: team/*}
- {allow: pull, to: anyone, on: public/*}
- {deny: push, to: v1:index, on: team/frozen}
"""


async def test_rules_and_index_must_both_allow() -> None:
    rules = parse_rules(RULES)
    async with beside_index(SmallIndex(), rules=lambda: rules) as here:
        await here.push(MINE, BASE)
        for name, nobody, reader, writer in (
            (MINE, 401, 200, 200),
            ("team/frozen", 401, 404, 403),
            ("public/x", 401, 404, 403),
            ("elsewhere/x", 401, 404, 403),
        ):
            for headers, method, status in (
                ({}, "GET", nobody),
                (here.may("read", name), "GET", reader),
                (here.may("write", name), "PUT", writer),
                (here.may("read", "team/none"), "GET", 401),
            ):
                what = "tags" if method == "GET" else "properties"
                body = b'{"access": "public"}' if method == "PUT" else None
                answer = await here.ask(method, f"/v1/repositories/{name}/{what}", headers, body)
                assert answer.status == status, (name, method, answer)
        here.index.repositories["elsewhere/x"] = Listed([OTHER.id])
        put = await here.put_image(OTHER, here.may("write", "elsewhere/x"))
        assert [each[0] for each in put] == [403]
        assert (await here.ask("GET", f"/v1/images/{BASE.id}/json", here.may("read", "public/x"))).status == 404


# every route, those to come included


OPEN = frozenset({"v1_ping", "v1_root"})
OF_THE_INDEX = frozenset({"v1_users", "v1_images", "v1_auth"})


def filled(pattern: str, name: str, image: str) -> str:
    """A path of a route."""
    values = {"name*": name, "image": image, "tag": "t", "user": "bob"}
    return re.sub(r"\{([^}]+)\}", lambda place: values[place[1]], pattern)


def operations() -> Iterator[tuple[str, str, str]]:
    """Yields the name of each route, its pattern, and each method that it takes."""
    for route in routes_beside_an_index():
        for method in sorted({*route.operations, *({"HEAD"} if "GET" in route.operations else ())}):
            yield route.name, route.pattern, method


async def test_every_route_wants_a_token_but_those_that_are_open(here: BesideIndex) -> None:
    await here.push(MINE, BASE)
    for route, pattern, method in operations():
        path = filled(pattern, MINE, BASE.id)
        body = b"{}" if method in {"PUT", "POST"} else None
        here.index.asked.clear()
        answer = await here.ask(method, path, {}, body)
        wanted = 200 if route in OPEN else 404 if route in OF_THE_INDEX else 401
        if method == "DELETE" and route in OPEN | OF_THE_INDEX:
            wanted = 404
        assert answer.status == wanted, (method, path, answer)
        assert here.index.asked == []


@pytest.mark.parametrize("access", ["read", "write", "delete", "all"])
async def test_a_token_of_one_repository_learns_nothing_of_another_that_is_private(access: str) -> None:
    """By every route, with what is hidden there and not there, the answers are the same.

    So they are, although the index believes whoever announces an id in a repository of theirs.
    """
    hidden = "team/hidden"
    async with beside_index(SmallIndex()) as full, beside_index(SmallIndex()) as bare:
        await full.push(hidden, OTHER)
        await full.ask("PUT", f"/v1/repositories/{hidden}/properties", full.may("write", hidden), PRIVATE)
        for each in (full, bare):
            await each.push(MINE, BASE)
            each.index.repositories[MINE].ids.append(OTHER.id)
        compared = 0
        for _, pattern, method in operations():
            for name in (hidden, MINE):
                path = filled(pattern, name, OTHER.id)
                body = OTHER.json if path.endswith("/json") else f'"{OTHER.id}"'.encode()
                sent = body if method in {"PUT", "POST"} else None
                said = []
                for each in (full, bare):
                    answer = await each.ask(method, path, each.may(access), sent)
                    told = re.sub(rb'(?<="last_update": )\d+', b"now", answer.body)  # both were pushed by themselves
                    said.append((answer.status, told.replace(each.index.url.encode(), b"")))
                assert said[0] == said[1], (method, path)
                compared += 1
        assert compared > 40


async def test_what_is_announced_of_a_private_repository_is_pushed_anew_and_stays_one_s_own() -> None:
    async with beside_index(SmallIndex()) as here:
        await here.push("team/hidden", OTHER)
        writer = here.may("write", "team/hidden")
        await here.ask("PUT", "/v1/repositories/team/hidden/properties", writer, PRIVATE)
        mine = Pushed(OTHER.id, OTHER.json, b"my own bytes")
        await here.push(MINE, mine)
        for name, image in ((MINE, mine), ("team/hidden", OTHER)):
            answer = await here.ask("GET", f"/v1/images/{OTHER.id}/layer", here.may("read", name))
            assert answer.body == image.layer
