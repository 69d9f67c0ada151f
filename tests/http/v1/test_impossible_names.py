"""Names that are legal and that the file system cannot hold: told at once, with what is wrong, and nothing is left."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.support.trees import read_tree
from tests.support.v1server import RunningRegistry, make_pushed

DEEP = "/".join(["a"] * 100)
"""199 characters that v2 nests; docker-registry escapes the slashes twice, to 595 bytes in one name."""

ESCAPED = quote("?" * 90)
"""What may be on an old volume, and is read: each question mark is `%253F` there."""

IMAGE = make_pushed("a")

LONG_NAMES = [DEEP, f"team/{DEEP}", f"{'n' * 256}/r", f"team/{'r' * 256}"]


async def push_others(registry: RunningRegistry) -> None:
    """Makes the folders above: where they are missing the system says of any name only that it is absent."""
    for letter, name in zip("abc", ("app", "team/app", "a/app"), strict=True):
        await registry.push(name, "latest", [make_pushed(letter)])


@pytest.mark.parametrize("name", [DEEP, f"team/{DEEP}"], ids=["short", "namespaced"])
@pytest.mark.parametrize(
    ("method", "rest", "body"),
    [
        ("PUT", "/", b"[]"),
        ("PUT", "", b'[{"id": "x"}]'),
        ("PUT", "/images", b"[]"),
        ("PUT", "/tags/latest", json.dumps(IMAGE.id).encode()),
        ("PUT", "/properties", b'{"access": "private"}'),
        ("PUT", "/properties", b'{"access": "public"}'),
    ],
)
async def test_a_name_that_cannot_be_stored_is_refused_at_once(
    registry: RunningRegistry, root: Path, name: str, method: str, rest: str, body: bytes
) -> None:
    await push_others(registry)
    before = read_tree(root)
    async with asyncio.timeout(5):
        answer = await registry.ask(method, f"/v1/repositories/{name}{rest}", body=body)
    status, error = answer.told
    assert status == 400
    assert "too long for the registry's file system" in error
    assert read_tree(root) == before


@pytest.mark.parametrize("name", [*LONG_NAMES, ESCAPED, f"team/{ESCAPED}"], ids=len)
@pytest.mark.parametrize(
    ("method", "rest"),
    [
        ("GET", "/images"),
        ("GET", "/tags"),
        ("GET", "/tags/latest"),
        ("GET", "/tags/latest/json"),
        ("GET", "/json"),
        ("GET", "/properties"),
        ("HEAD", "/tags/latest"),
        ("DELETE", "/tags/latest"),
        ("DELETE", "/tags"),
        ("DELETE", "/"),
    ],
)
async def test_reading_and_deleting_it_is_answered_too(
    registry: RunningRegistry, name: str, method: str, rest: str
) -> None:
    await push_others(registry)
    async with asyncio.timeout(5):
        answer = await registry.ask(method, f"/v1/repositories/{name}{rest}")
    # v2 nests what v1 has in one name, and v1 reads v2's tags.
    assert answer.status == (404 if name.endswith(DEEP) and rest == "/tags/latest" else 400)
    if method != "HEAD" and answer.status == 400:
        assert "too long for the registry's file system" in answer.told[1]


async def test_a_tag_that_cannot_be_stored_is_answered(registry: RunningRegistry) -> None:
    await registry.push("team/app", "latest", [IMAGE])
    assert (await registry.ask("GET", f"/v1/repositories/team/app/tags/{ESCAPED * 2}")).status == 400


@pytest.mark.parametrize("name", ["r" * 247, f"team/{'r' * 250}", f"{'n' * 240}/app"], ids=len)
async def test_the_longest_names_that_fit_work(registry: RunningRegistry, name: str) -> None:
    await registry.push(name, "t" * 128, [IMAGE])
    assert (await registry.ask("GET", f"/v1/repositories/{name}/tags/{'t' * 128}")).json == IMAGE.id
    assert (
        await registry.ask("PUT", f"/v1/repositories/{name}/properties", body=b'{"access": "private"}')
    ).status == 200
    assert (await registry.ask("GET", f"/v1/repositories/{name}/images")).json == [{"id": IMAGE.id}]
