"""A registry that is read-only changes nothing, by either protocol, and lets everybody look and log in."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import web

from backends.storage.inmemory import InMemoryDriver
from backends.v1.registry import Registry as V1Registry
from backends.v1.settings import V1Settings
from backends.v2.registry import Registry as V2Registry
from backends.v2.settings import V2Settings
from backends.web import Handler

ID = "a" * 64


@contextlib.asynccontextmanager
async def serving(handler: Handler) -> AsyncIterator[str]:
    runner = web.ServerRunner(web.Server(handler))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def registry(protocol: str) -> Handler:
    if protocol == "v1":
        return V1Registry(InMemoryDriver(), V1Settings(read_only=True)).handle
    return V2Registry(InMemoryDriver(), V2Settings(read_only=True, delete_enabled=True)).handle


@pytest.mark.parametrize(
    ("protocol", "method", "path"),
    [
        ("v1", "PUT", "/v1/repositories/team/img/"),
        ("v1", "PUT", f"/v1/images/{ID}/json"),
        ("v1", "DELETE", "/v1/repositories/team/img/tags/t"),
        ("v2", "POST", "/v2/team/img/blobs/uploads/"),
        ("v2", "PUT", "/v2/team/img/manifests/t"),
        ("v2", "DELETE", "/v2/team/img/manifests/t"),
    ],
)
async def test_what_would_change_something_is_refused(protocol: str, method: str, path: str) -> None:
    async with (
        serving(registry(protocol)) as base,
        aiohttp.ClientSession() as client,
        client.request(method, base + path, data=b"[]") as answer,
    ):
        assert answer.status == 405
        assert "read-only" in await answer.text()


@pytest.mark.parametrize(
    ("protocol", "method", "path", "status"),
    [
        ("v1", "GET", "/v1/_ping", 200),
        ("v1", "POST", "/v1/users/", 201),
        ("v1", "GET", f"/v1/images/{ID}/json", 404),
        ("v2", "GET", "/v2/", 200),
        ("v2", "GET", "/v2/_catalog", 200),
    ],
)
async def test_everything_else_goes_on(protocol: str, method: str, path: str, status: int) -> None:
    async with (
        serving(registry(protocol)) as base,
        aiohttp.ClientSession() as client,
        client.request(method, base + path, data=b"{}" if method == "POST" else None) as answer,
    ):
        assert answer.status == status
