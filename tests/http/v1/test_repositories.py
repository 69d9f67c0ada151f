"""Repositories as an index knows them, tags, search (V1API sections 4 to 6)."""

from __future__ import annotations

import json
import re
import stat
import time
from pathlib import Path
from urllib.parse import quote

import pytest

from backends.storage.factory import open_folder
from backends.v1.search import ONLY_V1
from backends.v1.settings import V1Settings
from tests.support.trees import read_files, read_stats, read_tree, write_tree
from tests.support.v1server import DOCKER, Answer, RunningRegistry, make_pushed, running_v1

BASE = make_pushed("a", layer=b"base layer")
TOP = make_pushed("b", parent=BASE.id, layer=b"top layer")
A, B = BASE.id, TOP.id
TOKEN = re.compile(r'Token signature=[A-Z0-9]{16},repository="([^"]*)",access=(write|read|delete)')
UNDESCRIBED = (
    b'{"arch": "amd64", "docker_go_version": null, "docker_version": null, "kernel": null, "last_update": null,'
    b' "os": "linux"}'
)


def assert_token(told: Answer, repository: str, access: str, authority: str) -> None:
    """The headers without which old clients give up."""
    match = TOKEN.fullmatch(told.value("X-Docker-Token") or "")
    assert match is not None
    assert match.groups() == (repository, access)
    assert told.value("WWW-Authenticate") == told.value("X-Docker-Token")
    assert told.value("X-Docker-Endpoints") == authority


@pytest.mark.parametrize(
    ("method", "target", "body", "status", "answer", "access"),
    [
        ("PUT", "/v1/repositories/ns/r/", b"[]", 200, b'""', "write"),
        ("PUT", "/v1/repositories/ns/r", b"[]", 200, b'""', "write"),
        ("PUT", "/v1/repositories/ns/r/images", b"[]", 204, b"", "write"),
        ("DELETE", "/v1/repositories/ns/r/images", None, 204, b"", "delete"),
        ("DELETE", "/v1/repositories/ns/absent/images", None, 204, b"", "delete"),
    ],
)
async def test_the_calls_of_an_index_answer_with_token_and_endpoint(
    registry: RunningRegistry, method: str, target: str, body: bytes | None, status: int, answer: bytes, access: str
) -> None:
    told = await registry.ask(method, target, body=body)
    assert (told.status, told.body) == (status, answer)
    assert_token(told, "ns/absent" if "absent" in target else "ns/r", access, registry.authority)
    assert (told.value("Cache-Control"), told.value("Content-Type")) == ("no-cache", "application/json")


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_a_pull_begins_with_the_list_of_images(registry: RunningRegistry, method: str) -> None:
    await registry.ask("PUT", "/v1/repositories/ns/r/", body=b'[ {"id":"x"} ]')
    told = await registry.ask(method, "/v1/repositories/ns/r/images")
    assert (told.status, told.value("Content-Length")) == (200, "14")
    assert told.body == (b'[ {"id":"x"} ]' if method == "GET" else b"")
    assert_token(told, "ns/r", "read", registry.authority)


async def test_a_list_that_is_absent_is_told_without_a_token(registry: RunningRegistry) -> None:
    told = await registry.ask("GET", "/v1/repositories/ns/r/images")
    assert told.told == (404, "images not found")
    assert (told.value("X-Docker-Token"), told.value("X-Docker-Endpoints")) == (None, None)


async def test_the_endpoint_is_what_the_client_used_or_what_is_set(registry: RunningRegistry, root: Path) -> None:
    async with registry.connection() as peer:
        await peer.send("GET /v1/repositories/ns/r/images HTTP/1.1\r\nHost: hub.test:5000\r\n\r\n")
        assert (await peer.read_head()).status == 404
    await registry.ask("PUT", "/v1/repositories/ns/r/", body=b"[]")
    async with registry.connection() as peer:
        lines = ("Host: hub.test:5000", "X-Forwarded-Host: evil.test", "X-Forwarded-Proto: https")
        await peer.send(
            "GET /v1/repositories/ns/r/images HTTP/1.1\r\n", "".join(f"{line}\r\n" for line in lines), "\r\n"
        )
        assert (await peer.read_head()).value("X-Docker-Endpoints") == "hub.test:5000"
    storage = open_folder(root)
    async with running_v1(storage, V1Settings(endpoints=("registry.test",))) as other:
        told = await other.ask("GET", "/v1/repositories/ns/r/images")
        assert told.value("X-Docker-Endpoints") == "registry.test"
    await storage.close()


async def test_a_list_loses_the_tags_that_docker_would_take_for_its_own(registry: RunningRegistry, root: Path) -> None:
    announced = f'[{{"id":"{A}"}},{{"id":"{B}","Tag":"b"}}]'.encode()
    await registry.ask("PUT", "/v1/repositories/ns/r/", body=announced)
    assert (root / "repositories/ns/r/_index_images").read_bytes() == announced
    told = await registry.ask("GET", "/v1/repositories/ns/r/images")
    assert told.body == f'[{{"id": "{A}"}}, {{"id": "{B}"}}]'.encode()


async def test_lists_merge_whichever_way_they_come(registry: RunningRegistry) -> None:
    for target, body in (
        ("/v1/repositories/ns/r/", [{"id": "x", "checksum": "1"}, {"id": "y", "Tag": "latest"}]),
        ("/v1/repositories/ns/r/images", []),
        ("/v1/repositories/ns/r/images", [{"id": "x", "checksum": "2"}, {"id": "y", "checksum": "3"}]),
        ("/v1/repositories/ns/r/", [{"id": "z", "foo": 1}]),
    ):
        assert (await registry.ask("PUT", target, body=json.dumps(body).encode())).status in {200, 204}
    told = await registry.ask("GET", "/v1/repositories/ns/r/images")
    assert {entry["id"]: entry for entry in told.json} == {
        "x": {"id": "x", "checksum": "2"},
        "y": {"id": "y", "checksum": "3"},
        "z": {"id": "z"},
    }


@pytest.mark.parametrize("target", ["/v1/repositories/ns/r/", "/v1/repositories/ns/r/images"])
@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "Error Decoding JSON"),
        (b"{", "Error Decoding JSON"),
        (b"\xff", "Error Decoding JSON"),
        (b"[" * 200_000, "Error Decoding JSON"),
        (b"{}", "Invalid data"),
        (b"null", "Invalid data"),
        (b'"x"', "Invalid data"),
        (b"[5]", "Invalid data"),
        (b"[{}]", "Invalid data"),
        (b'[{"id": null}]', "Invalid data"),
    ],
)
@pytest.mark.parametrize("exists", [False, True])
async def test_a_list_that_is_none_changes_nothing(
    registry: RunningRegistry, root: Path, *, exists: bool, target: str, body: bytes, message: str
) -> None:
    if exists:
        await registry.ask("PUT", "/v1/repositories/ns/r/", body=b'[{"id": "x"}]')
    before = read_tree(root)
    assert (await registry.ask("PUT", target, body=body)).told == (400, message)
    assert read_tree(root) == before


BAD_NAMES = ["ns/r%00", "ns/r%0a", "/r", "%2fr", "ns/%C3%A4", "ns/%ff", "ns/r" + "x" * 10_000]


@pytest.mark.parametrize("name", BAD_NAMES)
async def test_a_repository_with_a_bad_name_is_not_made(registry: RunningRegistry, root: Path, name: str) -> None:
    before = read_tree(root)
    for method, target, body in (
        ("PUT", f"/v1/repositories/{name}/", b"[]"),
        ("PUT", f"/v1/repositories/{name}/images", b"[]"),
        ("PUT", f"/v1/repositories/{name}/tags/latest", json.dumps(A).encode()),
        ("PUT", f"/v1/repositories/{name}/properties", b'{"access": "private"}'),
    ):
        told = await registry.ask(method, target, body=body)
        assert told.status == 400, target
        assert told.json["error"]
    for target in ("images", "tags", "tags/latest", "properties", "json"):
        told = await registry.ask("GET", f"/v1/repositories/{name}/{target}")
        assert told.status in {200, 400, 404}
    for target in ("", "/tags", "/tags/latest"):
        assert (await registry.ask("DELETE", f"/v1/repositories/{name}{target}")).status in {400, 404}
    assert read_tree(root) == before
    assert not (root.parent / "etc").exists()


@pytest.mark.parametrize("tag", ["x" * 248, "a%2Fb", "%00", "a%0a", "%C3%A4", "x" * 10_000])
async def test_a_bad_tag_is_not_made(registry: RunningRegistry, root: Path, tag: str) -> None:
    await registry.push_images([BASE])
    before = read_tree(root)
    told = await registry.ask("PUT", f"/v1/repositories/ns/r/tags/{tag}", body=json.dumps(A).encode())
    assert told.status == 400
    assert (await registry.ask("GET", f"/v1/repositories/ns/r/tags/{tag}")).status in {400, 404}
    assert read_tree(root) == before


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"", (400, "Invalid data")),
        (b'""', (400, "Invalid data")),
        (b"[]", (400, "Invalid data")),
        (b"5", (400, "Invalid data")),
        (b"null", (400, "Invalid data")),
        (A.encode(), (400, "Invalid data")),
        (json.dumps("c" * 64).encode(), (404, "Image not found")),
        (b'"../../etc/passwd"', (404, "Image not found")),
        (json.dumps("x" * 10_000).encode(), (404, "Image not found")),
    ],
)
async def test_a_tag_that_names_no_image_is_not_made(
    registry: RunningRegistry, root: Path, body: bytes, told: tuple[int, str]
) -> None:
    await registry.push_images([BASE])
    before = read_tree(root)
    assert (await registry.ask("PUT", "/v1/repositories/ns/r/tags/latest", body=body)).told == told
    assert read_tree(root) == before


async def test_a_tag_is_read_listed_described_and_deleted(registry: RunningRegistry) -> None:
    await registry.push_images([BASE, TOP])
    for tag, image_id in (("latest", A), ("1.0", B)):
        told = await registry.ask("PUT", f"/v1/repositories/ns/r/tags/{tag}", body=json.dumps(image_id).encode())
        assert (told.status, told.body) == (200, b"true")
    told = await registry.ask("GET", "/v1/repositories/ns/r/tags")
    assert (told.status, told.body) == (200, f'{{"1.0": "{B}", "latest": "{A}"}}'.encode())
    assert (await registry.ask("GET", "/v1/repositories/ns/r/tags/1.0")).body == f'"{B}"'.encode()
    for target in ("tags/1.0/json", "tags/latest/json", "json"):
        described = (await registry.ask("GET", f"/v1/repositories/ns/r/{target}")).json
        assert abs(described.pop("last_update") - time.time()) < 30
        assert described == {
            "arch": "amd64",
            "docker_go_version": "go1.4.1",
            "docker_version": "1.5.0",
            "kernel": "3.16.0-4-amd64",
            "os": "linux",
        }
    told = await registry.ask("DELETE", "/v1/repositories/ns/r/tags/latest")
    assert (told.status, told.body) == (200, b"true")
    assert (await registry.ask("GET", "/v1/repositories/ns/r/json")).body == UNDESCRIBED
    assert (await registry.ask("DELETE", "/v1/repositories/ns/r/tags/latest")).told == (404, "Tag not found: latest")
    assert (await registry.ask("GET", "/v1/repositories/ns/r/tags/latest")).told == (404, "Tag not found")
    assert (await registry.ask("GET", "/v1/repositories/ns/r/tags")).json == {"1.0": B}


@pytest.mark.parametrize("target", ["", "/", "/tags"])
async def test_a_repository_is_deleted_with_its_tags(registry: RunningRegistry, root: Path, target: str) -> None:
    await registry.push("ns/r", "latest", [BASE])
    told = await registry.ask("DELETE", f"/v1/repositories/ns/r{target}")
    assert (told.status, told.body) == (200, b"true")
    assert not (root / "repositories/ns/r").exists()
    assert (await registry.ask("DELETE", f"/v1/repositories/ns/r{target}")).told == (404, "Repository not found")
    assert (await registry.ask("GET", "/v1/repositories/ns/r/tags")).told == (404, "Repository not found")
    assert (await registry.ask("GET", "/v1/repositories/ns/r/images")).told == (404, "images not found")
    assert (await registry.ask("GET", f"/v1/images/{A}/json")).status == 200


async def test_what_is_not_there_has_a_default_description(registry: RunningRegistry) -> None:
    for target in ("tags/latest/json", "json"):
        told = await registry.ask("GET", f"/v1/repositories/ns/absent/{target}")
        assert (told.status, told.body) == (200, UNDESCRIBED)


async def test_a_repository_without_tags_has_an_empty_list(registry: RunningRegistry) -> None:
    await registry.ask("PUT", "/v1/repositories/ns/r/", body=b"[]")
    assert (await registry.ask("GET", "/v1/repositories/ns/r/tags")).body == b"{}"


async def test_a_name_without_namespace_is_of_the_library(registry: RunningRegistry) -> None:
    await registry.push("flat", "b", [BASE])
    assert (await registry.ask("GET", "/v1/repositories/library/flat/tags")).json == {"b": A}
    assert (await registry.ask("GET", "/v1/repositories/flat/tags/b")).json == A
    told = await registry.ask("GET", "/v1/repositories/flat/images")
    assert_token(told, "library/flat", "read", registry.authority)


async def test_a_name_may_have_several_components(registry: RunningRegistry, root: Path) -> None:
    await registry.push("a/b/c", "latest", [BASE])
    assert (root / "repositories/a/b%252Fc/tag_latest").read_text() == A
    assert (await registry.ask("GET", "/v1/repositories/a/b/c/tags")).json == {"latest": A}
    assert_token(await registry.ask("GET", "/v1/repositories/a/b/c/images"), "a/b%2Fc", "read", registry.authority)


@pytest.mark.parametrize(
    ("body", "status", "access"),
    [
        (b'{"access": "private"}', 200, "private"),
        (b'{"access": "public"}', 200, "public"),
        (b'{"access": "other"}', 200, "public"),
        (b"{}", 400, "public"),
        (b"[]", 400, "public"),
        (b'{"x": 1}', 400, "public"),
        (b"", 400, "public"),
        (b'{"access": ["private"]}', 400, "public"),
    ],
)
async def test_a_repository_may_be_marked_private(
    registry: RunningRegistry, body: bytes, status: int, access: str
) -> None:
    assert (await registry.ask("GET", "/v1/repositories/ns/r/properties")).json == {"access": "public"}
    told = await registry.ask("PUT", "/v1/repositories/ns/r/properties", body=body)
    assert told.status == status
    assert told.body == (b"true" if status == 200 else b'{"error": "Invalid data"}')
    assert (await registry.ask("GET", "/v1/repositories/ns/r/properties")).json == {"access": access}


async def test_everybody_has_access_as_long_as_there_is_no_control(registry: RunningRegistry) -> None:
    told = await registry.ask("PUT", "/v1/repositories/ns/absent/auth", body=b"x")
    assert (told.status, told.body) == (200, b'"OK"')


# search


async def test_a_search_finds_names_of_both_registries(registry: RunningRegistry, root: Path) -> None:
    link = "docker/registry/v2/repositories/new/solo/_manifests/tags/latest/current/link"
    tags = ("library/solo2", "team/other", "a/b%252Fsolo", "Team/solo_")
    write_tree(root, {link: "sha256:" + "0" * 64, **{f"repositories/{name}/tag_1": "f" * 64 for name in tags}})
    await registry.ask("PUT", "/v1/repositories/solo/announced/", body=b"[]")  # nothing can be pulled yet
    told = await registry.ask("GET", "/v1/search?q=SOLO")
    assert told.json == {
        "num_results": 4,
        "query": "SOLO",
        "results": [
            {"description": "", "name": "solo2"},  # begins with it
            {"description": ONLY_V1, "name": "Team/solo_"},
            *({"description": "", "name": name} for name in ("a/b/solo", "new/solo")),
        ],
    }
    assert told.value("Content-Type") == "application/json"
    for everything in ("", "?q=", "?n=5"):
        assert (await registry.ask("GET", f"/v1/search{everything}")).json["num_results"] == 5
    assert (await registry.ask("HEAD", "/v1/search?q=solo2")).status == 200
    assert (await registry.ask("GET", "/v1/search?q=" + quote("%"))).json["results"] == []


async def test_a_search_in_an_empty_place_finds_nothing(registry: RunningRegistry) -> None:
    told = await registry.ask("GET", "/v1/search?q=x")
    assert told.body == b'{"num_results": 0, "query": "x", "results": []}'


async def test_a_search_sees_every_repository_however_many_there_are(registry: RunningRegistry, root: Path) -> None:
    for number in range(1005):
        (root / f"docker/registry/v2/repositories/r{number:04}/_manifests").mkdir(parents=True)
    told = await registry.ask("GET", "/v1/search?q=r1004")
    assert [result["name"] for result in told.json["results"]] == ["r1004"]
    assert (await registry.ask("GET", "/v1/search")).json["num_results"] == 1005


async def test_a_search_passes_over_what_no_registry_wrote(registry: RunningRegistry, root: Path) -> None:
    tag = {"repositories/ns/r/tag_1": "f" * 64}
    write_tree(root, {**tag, "repositories/stray": "", "repositories/\u00e4/r/_index_images": "[]"})
    (root / "repositories" / b"\xff".decode("utf-8", "surrogateescape") / "r").mkdir(parents=True)
    assert [result["name"] for result in (await registry.ask("GET", "/v1/search")).json["results"]] == ["ns/r"]


@pytest.mark.parametrize("query", ["?" + "&".join(["a=b"] * 200), "?q=%ff", "?q=%00%0d%0a", "?q=a&q=b"])
async def test_a_strange_query_breaks_nothing(registry: RunningRegistry, query: str) -> None:
    told = await registry.ask("GET", f"/v1/search{query}")
    assert told.status in {200, 400}
    assert told.json


async def test_a_whole_push_leaves_exactly_these_files(registry: RunningRegistry, root: Path) -> None:
    """V1API section 11, and the blob that both protocols share; what is known of layers can be found out again."""
    await registry.push("ns/r", "latest", [BASE, TOP])
    index = "docker/registry/portside/index/"
    files = {path: content for path, content in read_files(root).items() if not path.startswith(index)}
    described = json.loads(files.pop("repositories/ns/r/taglatest_json"))
    assert json.loads(files.pop("repositories/ns/r/json")) == described
    assert described["docker_version"] == DOCKER.split()[0].partition("/")[2]
    blobs = {path: files.pop(path) for path in list(files) if path.startswith("docker/registry/v2/blobs/sha256/")}
    assert sorted(blobs.values()) == sorted([BASE.layer, TOP.layer])
    assert files == {
        f"images/{A}/json": BASE.json,
        f"images/{A}/layer": BASE.layer,
        f"images/{A}/ancestry": f'["{A}"]'.encode(),
        f"images/{A}/_checksum": f'["{BASE.payload}"]'.encode(),
        f"images/{B}/json": TOP.json,
        f"images/{B}/layer": TOP.layer,
        f"images/{B}/ancestry": f'["{B}", "{A}"]'.encode(),
        f"images/{B}/_checksum": f'["{TOP.payload}"]'.encode(),
        "repositories/ns/r/_index_images": f'[{{"id": "{A}"}}, {{"id": "{B}"}}]'.encode(),
        "repositories/ns/r/tag_latest": B.encode(),
    }
    stats = read_stats(root)
    assert {stat.filemode(found.st_mode) for found in stats.values()} == {"-rw-r--r--", "drwxr-xr-x"}
    for image_id in (A, B):
        assert stats[f"images/{image_id}/layer"].st_nlink == 2, "the layer and the blob are one file"
