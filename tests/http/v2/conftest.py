"""A v2 registry over a folder, on a real socket."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from backends.registry.store import Store
from backends.storage.factory import open_folder
from backends.v2.registry import Registry
from backends.v2.settings import V2Settings
from backends.web.gates import make_gates
from backends.web.settings import GateSettings
from proxy.routing import Backend
from tests.support.loopback import serve
from tests.support.proxies import running_proxy
from tests.support.serving_here import Client, serving_here


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The folder; a test may put something there first."""
    return tmp_path / "root"


@pytest.fixture
def settings() -> V2Settings:
    """A module that needs others has its own."""
    return V2Settings()


@pytest.fixture
def gates() -> GateSettings:
    """A module that needs others has its own."""
    return GateSettings(delete_enabled=True)


@pytest.fixture
async def registry(root: Path, settings: V2Settings, gates: GateSettings) -> AsyncIterator[Client]:
    storage = open_folder(root)
    async with serving_here(Registry(Store(storage), settings, gates=make_gates(gates)).handle) as client:
        yield client
    await storage.close()


@pytest.fixture
async def other_worker(root: Path, settings: V2Settings, gates: GateSettings) -> AsyncIterator[Client]:
    """Another process's registry over the same folder."""
    storage = open_folder(root)
    async with serving_here(Registry(Store(storage), settings, gates=make_gates(gates)).handle) as client:
        yield client
    await storage.close()


@pytest.fixture(params=["the registry", "one process", "through a socket"])
async def client(request: pytest.FixtureRequest, registry: Client, root: Path) -> AsyncIterator[Client]:
    """The registry itself, the proxy in its process, and the proxy in front of another."""
    if request.param == "the registry":
        yield registry
        return
    async with proxied(root, here=request.param == "one process") as through:
        yield through


@asynccontextmanager
async def proxied(root: Path, *, here: bool) -> AsyncIterator[Client]:
    storage = open_folder(root)
    handle = Registry(Store(storage), V2Settings(), gates=()).handle
    async with serve(handle) as port:
        upstream = handle if here else f"http://127.0.0.1:{port}"
        async with running_proxy({Backend.V2: upstream}) as proxy:
            yield Client("127.0.0.1", proxy.port)
    await storage.close()
