"""Our events are distribution's, field by field, but where the tables say otherwise.

Debian's docker-registry (2.8) and distribution 3.1.2 walk through the same steps as ours, and post what they tell.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from backends.model.events import Form
from backends.registry.store import Store
from backends.storage.factory import open_folder
from backends.v2.registry import Registry
from backends.v2.settings import V2Settings
from backends.web.gates import make_gates
from backends.web.settings import GateSettings
from tests.support.event_steps import STEPS, by_step, listening, walk
from tests.support.kept_events import KeptEvents
from tests.support.ports import free_port
from tests.support.programs import find_program, running
from tests.support.serving_here import Client, serving_here

pytestmark = pytest.mark.real
Told = Mapping[str, list[Any]]

SETTINGS = """
version: 0.1
log: {{level: error}}
storage: {{filesystem: {{rootdirectory: {folder}/data}}, delete: {{enabled: true}}}}
http: {{addr: "127.0.0.1:{port}"}}
validation: {{disabled: true}}
compatibility: {{schema1: {{enabled: true}}}}
notifications:
  events: {{includereferences: true}}
  endpoints: [{{name: test, url: "{url}", timeout: 10s, threshold: 10, backoff: 1s}}]
"""

DIFFERENT = {
    "push by a proxy": "of a proxy that nobody configured we believe what it says of the client for Location alone",
    "mount from anywhere": "distribution mounts nothing without a source",
    "delete a manifest with two tags": "ours removes the tags first, so that none of them ever names nothing",
}
"""Steps that are told otherwise, and why; `OURS` has what we tell."""

ONLY_IN_2 = {"delete a tag": "2.8 has no deletion of tags: 400"}


ONLY_IN_3 = dict.fromkeys(("push schema 1", "pull schema 1"), "3.x takes no schema 1: 400")


@contextlib.asynccontextmanager
async def of_program(program: str, folder: Path) -> AsyncIterator[Told]:
    """What a distribution tells of all steps."""
    port = free_port()
    async with listening() as (url, events, is_over):
        config = folder / "registry.yml"
        config.write_text(SETTINGS.format(folder=folder, port=port, url=url))
        with running([program, "serve", str(config)], folder / "registry.log", port=port):
            client = Client("127.0.0.1", port)
            await walk(client)
            async with asyncio.timeout(20):
                await is_over.wait()
        yield by_step(events, client)


async def ours(folder: Path, form: Form) -> Told:
    events = KeptEvents(includes_references=True)
    storage = open_folder(folder)
    store = Store(storage, events=events)
    gates = make_gates(GateSettings(delete_enabled=True))
    async with serving_here(Registry(store, V2Settings(), gates=gates).handle) as client:
        await walk(client)
    await storage.close()
    return by_step([json.loads(event.to_json(form)) for event in events.events], client)


def require_same(mine: Told, theirs: Told, different: Mapping[str, str]) -> None:
    for step, _ in STEPS:
        if step in different:
            assert mine[step] != theirs[step], f"{step} is told alike, so it is not different: {different[step]}"
        else:
            assert mine[step] == theirs[step], step


def require_explained(mine: Told, theirs: Told) -> None:
    """What is told otherwise, in so many words."""
    (here,), (there,) = mine["push by a proxy"], theirs["push by a proxy"]
    assert there["request"].pop("addr") == "203.0.113.9"
    assert here["request"].pop("addr") == "127.0.0.1:PORT"
    assert there["target"].pop("url").startswith("https://front.example/v2/app/manifests/")
    assert here["target"].pop("url").startswith("http://r.example/v2/app/manifests/")
    assert here == there
    (mounted,) = mine["mount from anywhere"]
    assert (mounted["action"], mounted["target"]["fromRepository"]) == ("mount", "team/b")
    assert theirs["mount from anywhere"] == []
    *tags, manifest = mine["delete a manifest with two tags"]
    assert [event["target"]["tag"] for event in tags] == ["1", "2"]
    first, *rest = theirs["delete a manifest with two tags"]
    assert first == manifest
    assert sorted(rest, key=lambda event: str(event["target"]["tag"])) == tags


async def test_events_are_those_of_distribution_2(tmp_path: Path) -> None:
    (tmp_path / "ours").mkdir()
    mine = await ours(tmp_path / "ours", Form.V1)
    async with of_program(find_program("docker-registry"), tmp_path) as theirs:
        require_same(mine, theirs, DIFFERENT | ONLY_IN_2)
        require_explained(mine, theirs)
        (deleted,) = mine["delete a tag"]
        assert (deleted["action"], deleted["target"]) == ("delete", {"repository": "app", "tag": "2"})
        assert theirs["delete a tag"] == []


async def test_events_are_those_of_distribution_3(tmp_path: Path) -> None:
    (tmp_path / "ours").mkdir()
    mine = await ours(tmp_path / "ours", Form.V2)
    async with of_program(find_program("registry"), tmp_path) as theirs:
        require_same(mine, theirs, DIFFERENT | ONLY_IN_3)
        require_explained(mine, theirs)
        for step in ONLY_IN_3:
            assert theirs[step] == []
            assert len(mine[step]) == 1
