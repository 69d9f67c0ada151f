"""Tags and catalog: in order, in pages, with links to the next; names and paths that are not valid."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from backends.v2.settings import V2Settings
from tests.support.serving_here import Client, digest_of, make_manifest
from tests.support.trees import read_tree

NAME = "team/app"
TAGS = ["1.0", "1.0-rc1", "A", "_x", "a", "a-b", "b"]


async def walk(client: Client, path: str, key: str) -> list[list[str]]:
    """Follows the links of a listing."""
    pages = []
    while path:
        answer = await client.ask("GET", path)
        assert answer.status == 200
        pages.append(answer.json[key])
        link = answer.head.value("Link") or ""
        assert not link or link.endswith('>; rel="next"')
        path = link.removeprefix("<").partition(">")[0]
        assert len(pages) < 100
    return pages


async def test_tags_come_sorted_bytewise(registry: Client, other_worker: Client) -> None:
    await registry.push_image(NAME, *reversed(TAGS))
    answer = await other_worker.ask("GET", f"/v2/{NAME}/tags/list")
    assert answer.status == 200
    assert answer["Content-Type"] == "application/json; charset=utf-8"
    assert answer.json == {"name": NAME, "tags": TAGS}
    assert answer.head.value("Link") is None


PAGES_OF_TAGS: list[tuple[str, list[str]]] = [
    ("n=2", TAGS[:2]),
    ("n=0", []),
    ("n=100", TAGS),
    ("n=1000000000000000000000000000000", TAGS),
    ("n=", TAGS),
    ("last=A", TAGS[3:]),
    ("last=a", TAGS[5:]),
    ("last=a&n=1", ["a-b"]),
    ("last=0", TAGS),
    ("last=AA", TAGS[3:]),
    ("last=b", []),
    ("last=zz&n=5", []),
    ("last=%ff", []),
    ("last=", TAGS),
    ("last=../..", TAGS),
    ("n=2&n=5", TAGS[:2]),
]


@pytest.mark.parametrize("number", [999, 1000, 1001, 2500])
async def test_many_tags_are_one_list_to_the_byte(registry: Client, root: Path, number: int) -> None:
    await registry.push_image(NAME, "0")
    tags = root / "docker/registry/v2/repositories" / NAME / "_manifests/tags"
    for each in range(1, number - 1):
        (tags / f"t{each:05}").mkdir()
    (tags / '\u00e4"\\').mkdir()  # another program's
    listed = ["0", *(f"t{each:05}" for each in range(1, number - 1)), '\u00e4"\\']
    body = json.dumps({"name": NAME, "tags": sorted(listed)}, separators=(",", ":")).encode() + b"\n"
    assert (await registry.ask("GET", f"/v2/{NAME}/tags/list")).body == body


async def test_a_page_of_tags_has_what_was_asked_for(registry: Client) -> None:
    await registry.push_image(NAME, *TAGS)
    for query, tags in PAGES_OF_TAGS:
        answer = await registry.ask("GET", f"/v2/{NAME}/tags/list?{query}")
        assert (answer.status, answer.json["tags"]) == (200, tags), query


async def test_links_lead_through_all_tags(registry: Client) -> None:
    await registry.push_image(NAME, *TAGS)
    for size in (1, 2, 3, 7, 8):
        pages = await walk(registry, f"/v2/{NAME}/tags/list?n={size}", "tags")
        assert [tag for page in pages for tag in page] == TAGS
        assert all(len(page) == size for page in pages[:-1])
        assert pages[-1]


@pytest.mark.parametrize("path", [f"/v2/{NAME}/tags/list", "/v2/_catalog"])
@pytest.mark.parametrize("number", ["-1", "x", "1.5", "0x10", "%20", "1e3", "%D9%A1"])
async def test_a_page_size_that_is_not_a_number_is_refused(registry: Client, path: str, number: str) -> None:
    answer = await registry.ask("GET", f"{path}?n={number}")
    assert answer.told == (400, "PAGINATION_NUMBER_INVALID")


async def test_tags_of_a_repository_that_never_was(registry: Client) -> None:
    assert (await registry.ask("GET", "/v2/team/never/tags/list")).told == (404, "NAME_UNKNOWN")
    await registry.begin(NAME)
    assert (await registry.ask("GET", f"/v2/{NAME}/tags/list")).told == (404, "NAME_UNKNOWN")


NAMES = ["a", "a/b", "a-b", "b/c/d", "team/app", "team/app-2", "z"]


async def test_the_catalog_has_repositories_with_manifests_in_order(registry: Client) -> None:
    answer = await registry.ask("GET", "/v2/_catalog")
    assert answer.json == {"repositories": []}
    for name in reversed(NAMES):
        await registry.push_image(name, "latest")
    await registry.push_blob("only/blobs", b"x")
    await registry.begin("only/begun")
    answer = await registry.ask("GET", "/v2/_catalog")
    assert answer["Content-Type"] == "application/json; charset=utf-8"
    assert answer.json == {"repositories": NAMES}


PAGES_OF_NAMES: list[tuple[str, list[str]]] = [
    ("n=3", NAMES[:3]),
    ("n=0", []),
    ("n=1000000000000000000000000000000", NAMES),
    ("last=a", NAMES[1:]),
    ("last=a/b", NAMES[2:]),
    ("last=a%2Fb&n=1", ["a-b"]),
    ("last=b", NAMES[3:]),
    ("last=b/c/d/e", NAMES[4:]),
    ("last=z", []),
    ("last=../../x", NAMES),
    ("last=%00", NAMES),
]


async def test_a_page_of_the_catalog_has_what_was_asked_for(registry: Client) -> None:
    for name in NAMES:
        await registry.push_image(name, "latest")
    for query, names in PAGES_OF_NAMES:
        answer = await registry.ask("GET", f"/v2/_catalog?{query}")
        assert (answer.status, answer.json["repositories"]) == (200, names), query
    for size in (1, 2, 3, 7):
        pages = await walk(registry, f"/v2/_catalog?n={size}", "repositories")
        assert [name for page in pages for name in page] == NAMES


class TestWithSmallPages:
    @pytest.fixture
    def settings(self) -> V2Settings:
        return V2Settings(catalog_max_entries=2, relative_urls=True)

    async def test_no_page_is_larger_than_the_setting_and_the_links_lead_on(self, registry: Client) -> None:
        for name in NAMES:
            for blob in (b"image config", b"image layer"):
                answer = await registry.ask("POST", f"/v2/{name}/blobs/uploads/?digest={digest_of(blob)}", body=blob)
                assert (answer.status, answer["Location"][:4]) == (201, "/v2/")
            answer = await registry.put_manifest(name, "latest", make_manifest(b"image config", b"image layer"))
            assert (answer.status, answer["Location"][:4]) == (201, "/v2/")
        pages = await walk(registry, "/v2/_catalog?n=50", "repositories")
        assert [name for page in pages for name in page] == NAMES
        assert max(len(page) for page in pages) == 2


class TestWithFewTagsAtOnce:
    @pytest.fixture
    def settings(self) -> V2Settings:
        return V2Settings(tags_max=2)

    async def test_no_page_is_larger_than_the_setting_but_all_come_where_no_number_is_asked_for(
        self, registry: Client
    ) -> None:
        await registry.push_image(NAME, *TAGS)
        assert (await registry.ask("GET", f"/v2/{NAME}/tags/list")).json["tags"] == TAGS
        pages = await walk(registry, f"/v2/{NAME}/tags/list?n=1000", "tags")
        assert [len(page) for page in pages] == [2, 2, 2, 1]
        assert [tag for page in pages for tag in page] == TAGS


class TestWithAStrictCatalog:
    """As distribution 2.8.2 and 3.1.2 answer."""

    @pytest.fixture
    def settings(self) -> V2Settings:
        return V2Settings(catalog_max_entries=2, catalog_refuses_more=True)

    async def test_asking_for_more_than_the_setting_is_an_error(self, registry: Client) -> None:
        await registry.push_image(NAME, "latest")
        for size in ("3", "1000000000", "9" * 40):
            answer = await registry.ask("GET", f"/v2/_catalog?n={size}")
            assert answer.told == (400, "PAGINATION_NUMBER_INVALID")
            assert "catalog.maxentries" in answer.json["errors"][0]["detail"]["reason"]
        for query in ("n=2", "n=1", "n=", ""):
            assert (await registry.ask("GET", f"/v2/_catalog?{query}")).json["repositories"] == [NAME]


async def test_the_base_says_what_this_is(registry: Client) -> None:
    for method in ("GET", "HEAD"):
        answer = await registry.ask(method, "/v2/")
        assert answer.status == 200
        assert answer["Content-Type"] == "application/json; charset=utf-8"
        assert answer["Docker-Distribution-Api-Version"] == "registry/2.0"
        assert (answer["Content-Length"], answer.body) == ("2", b"{}" if method == "GET" else b"")


BAD_NAMES = [
    "..", "../..", "a/../b", "./a", "%2e%2e", "a/%2e%2e/b", "a%2fb", "a%2Fb", "%2f", "%2Fetc%2Fpasswd", "%00", "a%00b",
    "a%0ab", "a%0d%0aX-Evil:%20y", "%ff", "%C0%AE%C0%AE", "%5c..%5c", "A", "Team/App", "_uploads", "a/_layers",
    "a_", "-a", "a..b", "a___b", "%20", "a+b", "a:b", "a@b", "~", "x" * 256, "x" * 10_000, "a/" * 5000 + "a",
    "%61" * 300,
]  # fmt: skip


@pytest.mark.parametrize("name", BAD_NAMES, ids=lambda name: name[:20])
async def test_a_bad_name_is_refused_by_every_end_point_and_touches_nothing(
    registry: Client, root: Path, name: str
) -> None:
    (root / "docker/registry/v2/repositories/a/b").mkdir(parents=True)
    (root.parent / "sentinel").write_text("untouched")
    before = read_tree(root.parent)
    digest = "sha256:" + "a" * 64
    for method, path in (
        ("GET", "manifests/latest"), ("PUT", "manifests/latest"), ("DELETE", "manifests/latest"),
        ("GET", f"blobs/{digest}"), ("DELETE", f"blobs/{digest}"), ("POST", "blobs/uploads/"),
        ("POST", f"blobs/uploads/?digest={digest}"), ("GET", "blobs/uploads/0ff71b58-9f1e-4a5c-8a9d-0123456789ab"),
        ("PATCH", "blobs/uploads/0ff71b58-9f1e-4a5c-8a9d-0123456789ab"), ("GET", "tags/list"),
    ):  # fmt: skip
        answer = await registry.ask(method, f"/v2/{name}/{path}", body=b"x" if method in {"PUT", "PATCH"} else None)
        assert answer.told == (400, "NAME_INVALID"), (method, path)
    assert read_tree(root.parent) == before


@pytest.mark.parametrize(
    "path",
    ["/v1/_ping", "/v2/x", "/v2/x/", "/v2/x/y", "/v2/manifests/a", "/v2/a/tags/", "/v2/a/tags", "/v2/_catalog/x",
     "/v2/A/tags/list/", "/v2/a/manifests/", "/" + "x" * 9000],
)  # fmt: skip
async def test_an_unknown_path_is_not_found(registry: Client, path: str) -> None:
    answer = await registry.ask("GET", path)
    assert answer.told == (404, "NOT_FOUND")


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("POST", "/v2/", "GET, HEAD"),
        ("DELETE", "/v2/_catalog", "GET, HEAD"),
        ("PATCH", "/v2/a/manifests/b", "DELETE, GET, HEAD, PUT"),
        ("PUT", "/v2/a/blobs/uploads/", "POST"),
        ("PUT", "/v2/a/blobs/x", "DELETE, GET, HEAD"),
        ("REPORT", "/v2/a/tags/list", "GET, HEAD"),
    ],
)
async def test_a_method_that_is_not_possible_says_which_are(
    registry: Client, method: str, path: str, allow: str
) -> None:
    answer = await registry.ask(method, path)
    assert answer.told == (405, "UNSUPPORTED")
    assert answer["Allow"] == allow


@pytest.mark.parametrize(
    ("path", "allow"),
    [
        ("/v2/a/tags/list", "GET, HEAD"),
        ("/v2/a/blobs/uploads/", "POST"),
        ("/v2/a/manifests/x", "DELETE, GET, HEAD, PUT"),
        ("/v2/A/tags/list", "GET, HEAD"),
        ("/v2/", "GET, HEAD"),
        ("/", "GET, HEAD"),
        ("/v2/unknown/path", "GET, HEAD"),
        ("/v2//a/tags/list", "GET, HEAD"),
        ("/v2/a/tags/list/", "GET, HEAD"),
        ("/v2/%00?x=y", "GET, HEAD"),
    ],
)
async def test_options_is_answered_on_any_path(registry: Client, path: str, allow: str) -> None:
    answer = await registry.ask("OPTIONS", path)
    assert (answer.status, answer["Allow"], answer.body) == (200, allow, b"")
    assert answer["Docker-Distribution-Api-Version"] == "registry/2.0"


DIGEST = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("path", "location"),
    [
        ("/v2", "/v2/"),
        ("/v2?x=y", "/v2/?x=y"),
        ("/v2//", "/v2/"),
        ("//v2/", "/v2/"),
        ("///v2///", "/v2/"),
        ("//evil.example/v2/", "/evil.example/v2/"),  # never to another host
        ("/v2/_catalog/", "/v2/_catalog"),
        ("/v2/_catalog/?n=3", "/v2/_catalog?n=3"),
        ("/v2//_catalog?n=3&last=a%2Fb", "/v2/_catalog?n=3&last=a%2Fb"),
        ("/v2/a//b/tags/list?n=3&x=%2F", "/v2/a/b/tags/list?n=3&x=%2F"),
        ("/v2/a/tags/list/", "/v2/a/tags/list"),
        ("/v2/a/manifests/latest/", "/v2/a/manifests/latest"),
        ("/v2/a/manifests//latest", "/v2/a/manifests/latest"),
        (f"/v2/a/blobs/{DIGEST}/", f"/v2/a/blobs/{DIGEST}"),
        ("/v2/a/blobs/uploads", "/v2/a/blobs/uploads/"),
        ("/v2/a/blobs/uploads?mount=x", "/v2/a/blobs/uploads/?mount=x"),
        ("/v2//a/blobs/uploads", "/v2/a/blobs/uploads"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT"])
async def test_a_path_with_a_slash_too_many_or_too_few_leads_to_the_right_one(
    registry: Client, method: str, path: str, location: str
) -> None:
    answer = await registry.ask(method, path)
    assert (answer.status, answer["Location"]) == (301, location)
    assert answer["Docker-Distribution-Api-Version"] == "registry/2.0"
    if method in {"GET", "HEAD"}:
        assert answer.body == b""
    else:  # few clients follow with another method than GET: they show what they get
        assert f" is at {location.partition('?')[0]}" in answer.json["errors"][0]["detail"]["reason"]


async def test_slashes_in_the_query_are_not_touched(registry: Client) -> None:
    answer = await registry.ask("GET", "/v2/_catalog?last=a//b")
    assert answer.status == 200


async def test_a_path_that_has_no_such_method_leads_nowhere_else(registry: Client) -> None:
    """Else /v2/a/blobs/uploads/ and /v2/a/blobs/uploads would lead to one another for ever."""
    assert (await registry.ask("GET", "/v2/a/blobs/uploads/")).told == (405, "UNSUPPORTED")


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_the_root_says_that_somebody_is_there(registry: Client, method: str) -> None:
    answer = await registry.ask(method, "/")
    assert (answer.status, answer.body, answer["Cache-Control"]) == (200, b"", "no-cache")


async def test_a_query_of_thousands_of_fields_is_refused(registry: Client) -> None:
    answer = await registry.ask("GET", "/v2/_catalog?" + "a=b&" * 5000)
    assert answer.told[0] == 400


@pytest.mark.parametrize(
    "text",
    [
        "nonsense\r\n\r\n",
        "GET\r\n\r\n",
        "GET /v2/ HTTP/9.9\r\n\r\n",
        "GET /v2/ HTTP/1.1\r\nHost x\r\n\r\n",
        "GET /v2/ HTTP/1.1\r\nHost: x\r\n folded: y\r\n\r\n",
        "POST /v2/ HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST /v2/a/blobs/uploads/ HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        "POST /v2/a/blobs/uploads/ HTTP/1.1\r\nHost: x\r\nContent-Length: 1, 2\r\n\r\n",
        "GET /v2/ HTTP/1.1\r\nHost: x\r\nX: " + "y" * 70_000 + "\r\n\r\n",
        "GET /" + "y" * 70_000 + " HTTP/1.1\r\nHost: x\r\n\r\n",
        "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ],
    ids=range(11),
)
async def test_what_is_broken_below_http_gets_a_plain_400(registry: Client, root: Path, text: str) -> None:
    before = read_tree(root)
    async with asyncio.timeout(10), registry.connection() as peer:
        await peer.send(text)
        head = await peer.read_head()
        assert head.status == 400
        assert (head.value("Content-Type") or "").startswith("text/plain")
        await peer.other_side_closed()
    assert read_tree(root) == before


async def test_long_headers_and_paths_within_the_limit_are_taken(registry: Client) -> None:
    answer = await registry.ask("GET", "/v2/", {"X-Long": "y" * 60_000})
    assert answer.status == 200


async def test_every_error_is_one_object_of_the_specifications_shape(registry: Client) -> None:
    answer = await registry.ask("GET", "/v2/never/manifests/latest")
    body: Any = json.loads(answer.body)
    assert list(body) == ["errors"]
    assert list(body["errors"][0]) == ["code", "message", "detail"]
    assert body["errors"][0]["message"] == "manifest unknown"
    assert body["errors"][0]["detail"]
    assert answer["Content-Length"] == str(len(answer.body))
    assert answer["X-Content-Type-Options"] == "nosniff"
