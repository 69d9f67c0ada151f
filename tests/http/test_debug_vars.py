"""`/debug/vars`: distribution's figures, of all workers, and no secret."""

from __future__ import annotations

import asyncio
import json
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.ports import free_port
from tests.support.programs import find_program, running
from tests.support.serving_here import Client

SECRET = "hunter2"


def document(folder: Path, port: int, debug: int, **more: Any) -> dict[str, Any]:
    endpoint = {
        "name": "dead",
        "url": f"http://user:{SECRET}@127.0.0.1:{free_port()}/callback?token={SECRET}",
        "headers": {"Authorization": [f"Bearer {SECRET}"], "X-Two": [SECRET, SECRET]},
        "timeout": "2s",
        "threshold": 3,
        "backoff": "500ms",
        "ignoredmediatypes": ["application/octet-stream"],
    }
    return {
        "version": 0.1,
        "storage": {"filesystem": {"rootdirectory": str(folder / "data")}, "cache": {"blobdescriptor": "inmemory"}},
        "http": {"addr": f"127.0.0.1:{port}", "secret": SECRET, "debug": {"addr": f"127.0.0.1:{debug}"}},
        "redis": {"addr": "127.0.0.1:1", "password": SECRET},
        "notifications": {"endpoints": [endpoint]},
        **more,
    }


@contextmanager
def serving(folder: Path, program: list[str], **more: Any) -> Iterator[tuple[Client, int]]:
    folder.mkdir()
    port, debug, config = free_port(), free_port(), folder / "config.yml"
    config.write_text(yaml.safe_dump(document(folder, port, debug, **more)))
    with running([*program, str(config)], folder / "log", port=port):
        yield Client("127.0.0.1", port), debug


def read(debug: int, path: str = "/debug/vars") -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{debug}{path}", timeout=10) as answer:
        assert answer.headers["Content-Type"] == "application/json; charset=utf-8"
        return str(answer.read().decode())


OURS = [sys.executable, "-m", "portside.cli", "v2"]


async def test_figures_are_of_all_workers_and_hold_no_secret(tmp_path: Path) -> None:
    with serving(tmp_path / "ours", OURS, gateway={"workers": 2}) as (client, debug):
        await client.push_image("a/b", "latest")
        deadline = time.monotonic() + 45
        while True:
            page = read(debug)
            found = json.loads(page)
            (endpoint,) = found["registry"]["notifications"]["endpoints"]
            if endpoint["Metrics"]["Errors"] and endpoint["Metrics"]["Pending"]:
                break
            assert time.monotonic() < deadline, page
            await asyncio.sleep(0.05)
        assert SECRET not in page
        for word in (SECRET, "Bearer"):
            assert word not in "".join(read(debug) for _ in range(5))
    assert endpoint["name"] == "dead"
    assert endpoint["url"].endswith("/callback?***")
    assert endpoint["Headers"] == {"Authorization": ["***"], "X-Two": ["***", "***"]}
    assert (endpoint["Timeout"], endpoint["Threshold"], endpoint["Backoff"]) == (2_000_000_000, 3, 500_000_000)
    assert endpoint["IgnoredMediaTypes"] == ["application/octet-stream"]
    assert endpoint["Metrics"]["Successes"] == 0
    assert found["cmdline"][-1].endswith("config.yml")
    assert found["memstats"]["Sys"] > 1_000_000


async def test_without_metrics_the_page_is_there_and_figures_are_nothing(tmp_path: Path) -> None:
    debug = free_port()
    http = {
        "addr": f"127.0.0.1:{free_port()}",
        "debug": {"addr": f"127.0.0.1:{debug}", "prometheus": {"enabled": False}},
    }
    config = tmp_path / "config.yml"
    config.write_text(yaml.safe_dump({"version": 0.1, "storage": "inmemory", "http": http}))
    with running([*OURS, str(config)], tmp_path / "log", port=debug):
        found = json.loads(read(debug))
        assert found["registry"] == {"cache": {"storage": {"blobdescriptor": {}}}, "notifications": {"endpoints": None}}
        with pytest.raises(urllib.error.HTTPError) as caught:
            read(debug, "/metrics")
        assert caught.value.read() == b"here are /debug/health and /debug/vars\n"


@pytest.mark.real
@pytest.mark.parametrize("program", ["docker-registry", "registry"])
async def test_what_distribution_shows_is_there_by_the_same_names(tmp_path: Path, program: str) -> None:
    """But for what is Go's alone, and for pull-through caching."""

    def shape(value: Any) -> Any:
        return {key: shape(part) for key, part in value.items()} if isinstance(value, dict) else type(value).__name__

    found = {}
    for name, command in {"theirs": [find_program(program), "serve"], "ours": OURS}.items():
        with serving(tmp_path / name, command) as (_, debug):
            found[name] = json.loads(read(debug))
    theirs, ours = (found[name]["registry"]["notifications"]["endpoints"][0] for name in ("theirs", "ours"))
    theirs["Ignore"] = ours["Ignore"] = {}
    for each in (theirs, ours):
        each["Metrics"]["Statuses"] = {}
    assert shape(ours) == shape(theirs)
    assert set(found["ours"]["memstats"]) <= set(found["theirs"]["memstats"])
    assert SECRET in json.dumps(found["theirs"]), "distribution masks secrets now: say so on the page"
    assert SECRET not in json.dumps(found["ours"])
