"""Both registries over one folder, reached in two ways (a test may ask for a third, `in the proxy`); a tree beside it.

After each test nobody has opened anything of that tree, and the log has no traceback: whatever a request holds, it is
answered, and it leads nowhere else.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from backends.registry.store import Store
from backends.registry.validation import Validation
from backends.storage.factory import open_folder
from backends.v1.registry import Registry as V1Registry
from backends.v1.settings import V1Settings
from backends.v2.registry import Registry as V2Registry
from backends.v2.settings import V2Settings
from backends.web.gates import make_gates
from backends.web.settings import GateSettings
from proxy.forwarding import Forwarder
from proxy.proxy import InProcess, Proxy
from proxy.routing import Backend
from proxy.settings import ProxySettings, UpstreamSettings
from tests.support.limits import Place
from tests.support.serving_here import serving_here
from tests.support.trees import write_tree
from tests.support.watching import watching

SENTINEL: dict[str, bytes | str] = {
    "secret": "never read",
    "manifests/latest": "never read",
    "docker/registry/v2/repositories/a/_manifests/tags/latest/current/link": f"sha256:{'a' * 64}",
    "tags/list": "never read",
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The folder; a test may put something there first."""
    return tmp_path / "root"


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A tree beside the folder; a module that needs more there has its own."""
    folder = tmp_path / "outside"
    write_tree(folder, SENTINEL)
    return folder


@pytest.fixture
def validation() -> Validation:
    """A class that needs another has its own."""
    return Validation()


@pytest.fixture(params=["alone", "behind the proxy"])
async def place(
    request: pytest.FixtureRequest, root: Path, outside: Path, validation: Validation
) -> AsyncIterator[Place]:
    storage = open_folder(root)
    store, gates = Store(storage, validation=validation), make_gates(GateSettings(delete_enabled=True))
    v1, v2 = V1Registry(store, V1Settings(), gates=gates), V2Registry(store, V2Settings(), gates=gates)
    async with contextlib.AsyncExitStack() as stack:
        if request.param == "in the proxy":
            proxy = Proxy(ProxySettings(), {Backend.V1: InProcess(v1.handle), Backend.V2: InProcess(v2.handle)})
            client = await stack.enter_async_context(serving_here(proxy.handle))
            yield Place(request.param, client, client, root, outside)
        else:
            first = await stack.enter_async_context(serving_here(v1.handle))
            second = await stack.enter_async_context(serving_here(v2.handle))
            if request.param == "alone":
                yield Place(request.param, first, second, root, outside)
            else:
                elsewhere = {
                    Backend.V1: Forwarder(Backend.V1, UpstreamSettings(f"http://{first.authority}")),
                    Backend.V2: Forwarder(Backend.V2, UpstreamSettings(f"http://{second.authority}")),
                }
                proxy = Proxy(ProxySettings(), elsewhere)
                stack.push_async_callback(proxy.close)
                client = await stack.enter_async_context(serving_here(proxy.handle))
                yield Place(request.param, client, client, root, outside)
    await storage.close()


@pytest.fixture(autouse=True)
def nothing_fails(outside: Path, caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """What holds after every test."""
    with watching(outside) as watch:
        (outside / "secret").read_bytes()
        assert watch.events()  # it sees
        yield
        assert not watch.events()
    failures = [record for record in caplog.get_records("call") if record.exc_info or record.levelno >= logging.ERROR]
    assert not failures, [record.getMessage() for record in failures]
