"""A tag is one also where v1 and v2 are processes of their own, and where each has a root of its own."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.support.commands import running_command
from tests.support.serving_here import Client
from tests.support.v1server import RunningRegistry, make_pushed

FIRST, SECOND = make_pushed("a"), make_pushed("b")


@contextmanager
def registries(folder: Path, *, two: bool) -> Iterator[tuple[RunningRegistry, Client]]:
    """v1 and v2 as two processes over one volume, or over two that both know."""
    environment = {
        "REGISTRY_STORAGE_DELETE_ENABLED": "true",
        "REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY": str(folder / "data"),
        "REGISTRY_GATEWAY_V1_ADDR": "127.0.0.1:0",
        "REGISTRY_GATEWAY_V2_ADDR": "127.0.0.1:0",
        "REGISTRY_GATEWAY_METRICS_ADDR": "127.0.0.1:0",
        **({"REGISTRY_GATEWAY_V1_STORAGEPATH": str(folder / "old")} if two else {}),
    }
    with ExitStack() as stack:
        running = []
        for role in ("v1", "v2"):
            (folder / role).mkdir()
            running.append(stack.enter_context(running_command(role, folder=folder / role, environment=environment)))
        yield RunningRegistry(running[0].port("v1")), Client("127.0.0.1", running[1].port("v2"))


async def tag_again(old: RunningRegistry, name: str, tag: str) -> None:
    """Tags an image that is there by v1."""
    body = json.dumps(FIRST.id).encode()
    assert (await old.ask("PUT", f"/v1/repositories/{name}/tags/{tag}", body=body)).status == 200


def files_of_app(folder: Path) -> list[str]:
    """All files in folders of this name."""
    return [str(path) for path in folder.rglob("*") if path.is_file() and "/app/" in str(path)]


@pytest.mark.parametrize("two", [False, True], ids=["one root", "two roots"])
async def test_what_one_process_pushes_or_deletes_the_other_sees_at_once(tmp_path: Path, two: bool) -> None:  # noqa: FBT001 - a case
    with registries(tmp_path, two=two) as (old, client):
        content = await client.push_image("team/app", "latest", "other")
        for image in (FIRST, SECOND):
            await old.push("team/app", "latest", [image])
            answer = await client.ask("GET", "/v2/team/app/manifests/latest")
            assert answer.body != content  # made of the image, or not yet
            assert (await old.ask("GET", "/v1/repositories/team/app/tags/latest")).json == image.id
            assert (await client.put_manifest("team/app", "latest", content)).status == 201
            assert (await client.ask("GET", "/v2/team/app/manifests/latest")).body == content
            assert (await old.ask("GET", "/v1/repositories/team/app/tags/latest")).body != f'"{image.id}"'.encode()
        await tag_again(old, "team/app", "v1")
        assert (await client.ask("GET", "/v2/team/app/tags/list")).json["tags"] == ["latest", "other", "v1"]
        assert (await client.ask("GET", "/v2/_catalog")).json["repositories"] == ["team/app"]
        assert (await old.ask("DELETE", "/v1/repositories/team/app/tags/latest")).status == 200
        assert (await client.ask("GET", "/v2/team/app/manifests/latest")).status == 404
        assert (await client.ask("DELETE", "/v2/team/app/manifests/v1")).status == 202
        assert (await old.ask("GET", "/v1/repositories/team/app/tags/v1")).status == 404
        assert (await client.ask("GET", "/v2/team/app/tags/list")).json["tags"] == ["other"]


@pytest.mark.parametrize("by_v1", [False, True], ids=["v2", "v1"])
@pytest.mark.parametrize("two", [False, True], ids=["one root", "two roots"])
async def test_a_repository_goes_whole_whichever_process_is_asked(tmp_path: Path, two: bool, by_v1: bool) -> None:  # noqa: FBT001 - cases
    with registries(tmp_path, two=two) as (old, client):
        await client.push_image("app", "a", "both")
        await old.push("app", "b", [FIRST])
        await tag_again(old, "app", "both")
        await client.push_image("app/below", "1")
        if by_v1:
            assert (await old.ask("DELETE", "/v1/repositories/library/app/")).status == 200
            assert (await old.ask("DELETE", "/v1/repositories/library/app/")).status == 404
        else:
            assert (await client.ask("DELETE", "/v2/app/_portside/repository")).status == 202
            assert (await client.ask("DELETE", "/v2/library/app/_portside/repository")).status == 404
        assert (await client.ask("GET", "/v2/app/tags/list")).told == (404, "NAME_UNKNOWN")
        assert (await old.ask("GET", "/v1/repositories/app/tags")).status == 404
        assert (await client.ask("GET", "/v2/_catalog")).json["repositories"] == ["app/below"]
        left = await asyncio.to_thread(files_of_app, tmp_path)
        assert left
        assert [path for path in left if "/below/" not in path] == []
