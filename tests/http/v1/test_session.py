"""How an old client finds out whom it talks to, and logs in (V1API sections 1 and 2)."""

from __future__ import annotations

import json
import platform
import sys
from pathlib import Path

import aiohttp
import pytest

import portside
from backends.storage.factory import open_folder
from backends.v1.settings import V1Settings
from tests.support.trees import read_tree
from tests.support.v1server import RunningRegistry, running_v1

STD = {"Content-Type": "application/json", "Cache-Control": "no-cache", "Pragma": "no-cache", "Expires": "-1"}
LOGIN = b'{"username":"alice","password":"secret","auth":"","email":"a@b.c"}'


@pytest.mark.parametrize(
    ("method", "target", "body", "status", "answer"),
    [
        ("GET", "/_ping", None, 200, b"{}"),
        ("GET", "/v1/_ping", None, 200, b"{}"),
        ("HEAD", "/v1/_ping", None, 200, b""),
        ("GET", "/", None, 200, b'"\\"docker-registry server\\""'),
        ("GET", "/v1/users/", None, 200, b'"OK"'),
        ("GET", "/v1/users", None, 200, b'"OK"'),
        ("POST", "/v1/users/", LOGIN, 201, b'"User Created"'),
        ("POST", "/v1/users", LOGIN, 201, b'"User Created"'),
        ("POST", "/v1/users/", b"null", 201, b'"User Created"'),
        ("POST", "/v1/users/", b"5", 201, b'"User Created"'),
        ("PUT", "/v1/users/bob/", b"anything", 204, b""),
        ("PUT", "/v1/users/bob", b"", 204, b""),
    ],
)
async def test_every_answer_has_the_headers_that_old_clients_depend_on(
    registry: RunningRegistry, method: str, target: str, body: bytes | None, status: int, answer: bytes
) -> None:
    told = await registry.ask(method, target, body=body)
    assert (told.status, told.body) == (status, answer)
    expected = {name: value for name, value in STD.items() if status != 204 or name != "Content-Type"}
    assert {name: told.value(name) for name in expected} == expected
    assert told.value("Server") == "Portside"
    standalone = "True" if target.endswith("_ping") else None
    assert told.value("X-Docker-Registry-Standalone") == standalone


async def test_root_says_what_its_operator_wants(root: Path) -> None:
    async with running_v1(open_folder(root), V1Settings(issue='Grüße "x"')) as registry:
        told = await registry.ask("GET", "/")
        assert (told.status, told.body) == (200, b'"Gr\\u00fc\\u00dfe \\"x\\""')


async def test_ping_tells_of_the_machine_only_where_that_is_asked_for(root: Path, registry: RunningRegistry) -> None:
    told = await registry.ask("GET", "/v1/_ping")
    assert (told.body, told.value("X-Docker-Registry-Config")) == (b"{}", None)
    async with running_v1(open_folder(root), V1Settings(debug=True, flavor="dev")) as other:
        for target in ("/v1/_ping", "/_ping"):
            told = await other.ask("GET", target)
            assert told.value("X-Docker-Registry-Config") == "dev"
            assert told.value("X-Docker-Registry-Standalone") == "True"
            said = told.json
            assert sorted(said) == ["host", "launch", "versions"]
            assert said["host"] == list(platform.uname())
            assert said["launch"] == sys.argv
            assert said["versions"]["python"] == sys.version
            assert said["versions"]["portside"] == portside.__version__
            assert said["versions"]["aiohttp"] == aiohttp.__version__
            assert not [name for name in said["versions"] if name.startswith("_")]
        head = await other.ask("HEAD", "/v1/_ping")
        assert (head.body, int(head.value("Content-Length") or 0)) == (b"", len(told.body))


async def test_head_has_the_length_of_what_get_would_send(registry: RunningRegistry) -> None:
    assert (await registry.ask("HEAD", "/v1/_ping")).value("Content-Length") == "2"


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"user=alice"])
async def test_a_login_that_is_no_json_is_refused(registry: RunningRegistry, body: bytes) -> None:
    told = await registry.ask("POST", "/v1/users/", body=body)
    assert told.told == (400, "Error Decoding JSON")


@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "multipart/form-data", "", "text/plain"])
async def test_a_json_body_counts_whatever_it_is_called_and_however_it_comes(
    registry: RunningRegistry, kind: str
) -> None:
    """docker-registry took forms and chunked bodies for empty ones."""
    assert (await registry.ask("POST", "/v1/users/", f"Content-Type: {kind}", body=LOGIN)).status == 201
    assert (await registry.ask("POST", "/v1/users/", chunks=[LOGIN[:5], LOGIN[5:]])).status == 201


@pytest.mark.parametrize(
    ("method", "target", "allow"),
    [
        ("POST", "/v1/_ping", "GET, HEAD"),
        ("DELETE", "/", "GET, HEAD"),
        ("GET", "/v1/users/bob/", "PUT"),
        ("DELETE", f"/v1/images/{'a' * 64}/json", "GET, HEAD, PUT"),
        ("POST", f"/v1/images/{'a' * 64}/layer", "GET, HEAD, PUT"),
        ("GET", f"/v1/images/{'a' * 64}/checksum", "PUT"),
        ("PUT", f"/v1/images/{'a' * 64}/ancestry", "GET, HEAD"),
        ("GET", "/v1/repositories/ns/r/", "DELETE, PUT"),
        ("GET", "/v1/repositories/ns/r/auth", "PUT"),
        ("POST", "/v1/repositories/ns/r/tags/v1", "DELETE, GET, HEAD, PUT"),
        ("PUT", "/v1/repositories/ns/r/tags", "DELETE, GET, HEAD"),
        ("POST", "/v1/search?q=x", "GET, HEAD"),
    ],
)
async def test_a_method_that_a_path_has_not_is_refused_with_those_that_it_has(
    registry: RunningRegistry, method: str, target: str, allow: str
) -> None:
    told = await registry.ask(method, target)
    assert (told.status, told.value("Allow")) == (405, allow)
    assert allow in told.json["error"]
    options = await registry.ask("OPTIONS", target)
    assert (options.status, options.value("Allow"), options.body) == (200, allow, b"")


@pytest.mark.parametrize(
    "target",
    [
        "/v2/",
        "/v1/",
        "/v1",
        "/v1/nothing",
        "/v1/images",
        f"/v1/images/{'a' * 64}",
        "/v1/_ping/",
        "/v1/search/",
        "//",
        "/%00",
    ],
)
async def test_an_unknown_path_is_told_as_json(registry: RunningRegistry, target: str) -> None:
    told = await registry.ask("GET", target)
    assert told.status == 404
    assert "nothing at" in told.json["error"]
    assert {name: told.value(name) for name in STD} == STD
    assert told.value("Docker-Distribution-Api-Version") is None


async def test_nothing_of_a_session_is_stored(registry: RunningRegistry, root: Path) -> None:
    before = read_tree(root)
    for method, target in (("GET", "/v1/_ping"), ("GET", "/v1/users/"), ("PUT", "/v1/users/bob/")):
        await registry.ask(method, target)
    told = await registry.ask("POST", "/v1/users/", body=json.dumps({"x": "y"}).encode())
    assert told.value("Set-Cookie") is None
    assert read_tree(root) == before
