"""A dashboard made for distribution works here: its series are there, by its names and labels, with the same counts."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.support.ports import free_port
from tests.support.programs import find_program, running
from tests.support.serving_here import OCI_MANIFEST, Client, digest_of

pytestmark = pytest.mark.real

Series = tuple[str, frozenset[tuple[str, str]]]
NAME = "team/app"
COUNTED = (
    "registry_http_requests_total",
    "registry_http_request_duration_seconds_count",
    "registry_http_request_size_bytes_count",
    "registry_http_response_size_bytes_count",
)
OURS = {"listener", "backend"}
"""Labels that distribution has not; a query that does not name them sums over them."""


@contextlib.contextmanager
def serving(program: list[str], folder: Path) -> Iterator[tuple[Client, int]]:
    folder.mkdir()
    port, debug, config = free_port(), free_port(), folder / "config.yml"
    document = {
        "version": 0.1,
        "storage": {"filesystem": {"rootdirectory": str(folder / "data")}},
        "http": {
            "addr": f"127.0.0.1:{port}",
            "debug": {"addr": f"127.0.0.1:{debug}", "prometheus": {"enabled": True, "path": "/figures"}},
        },
    }
    config.write_text(yaml.safe_dump(document))
    with running([*program, str(config)], folder / "log", port=port):
        yield Client("127.0.0.1", port), debug


async def use(client: Client) -> None:
    """Asks what all of them answer alike."""
    await client.push_image(NAME, "1", "2")
    layer = digest_of(b"image layer")
    for method, path in (
        ("GET", "/v2/"),
        ("GET", f"/v2/{NAME}/manifests/1"),
        ("HEAD", f"/v2/{NAME}/manifests/1"),
        ("GET", f"/v2/{NAME}/blobs/{layer}"),
        ("HEAD", f"/v2/{NAME}/blobs/{layer}"),
        ("GET", f"/v2/{NAME}/blobs/{digest_of(b'never')}"),
        ("GET", f"/v2/{NAME}/tags/list"),
        ("GET", "/v2/never/tags/list"),
        ("GET", "/v2/_catalog"),
    ):
        await client.ask(method, path, {"Accept": OCI_MANIFEST})


def read(debug: int) -> dict[Series, float]:
    """All series, without the labels that only we have."""
    with urllib.request.urlopen(f"http://127.0.0.1:{debug}/figures", timeout=10) as answer:
        page = answer.read().decode()
    found: dict[Series, float] = {}
    for family in text_string_to_metric_families(page):
        for sample in family.samples:
            labels = frozenset((name, _alike(name, value)) for name, value in sample.labels.items() if name not in OURS)
            found[sample.name, labels] = found.get((sample.name, labels), 0.0) + sample.value
    return found


def _alike(name: str, value: str) -> str:
    """A label's value; a bound of a bucket is a number, which Go and Python write in their own ways."""
    return str(float(value)) if name == "le" else value


def _counted(series: Mapping[Series, float]) -> dict[Series, float]:
    return {each: value for each, value in series.items() if each[0] in COUNTED and value}


@pytest.mark.parametrize("program", ["docker-registry", "registry"])
async def test_what_distribution_counts_is_counted_by_the_same_names(tmp_path: Path, program: str) -> None:
    with serving([find_program(program), "serve"], tmp_path / "theirs") as (client, debug):
        await use(client)
        theirs: dict[Series, float] = {}
        for _ in range(60):
            await asyncio.sleep(0.5)  # what is counted after an answer
            before, theirs = theirs, await asyncio.to_thread(read, debug)
            if _counted(before) == _counted(theirs):
                break
    wanted = _counted(theirs)
    with serving([sys.executable, "-m", "portside.cli", "v2"], tmp_path / "ours") as (client, debug):
        await use(client)
        ours = await asyncio.to_thread(read, debug)
        for _ in range(900):
            if all(ours.get(series, 0.0) >= value for series, value in wanted.items()):
                break
            await asyncio.sleep(0.05)  # a worker has yet to write down what it counted, or the rest of it
            ours = await asyncio.to_thread(read, debug)
    assert len(wanted) > 20
    assert {series: ours.get(series) for series in wanted} == wanted
    buckets = {series for series in theirs if series[0].startswith("registry_http_") and series[0].endswith("_bucket")}
    used = {labels - {pair for pair in labels if pair[0] == "le"} for _, labels in wanted}
    missing = {series for series in buckets if {pair for pair in series[1] if pair[0] != "le"} in used} - set(ours)
    assert not missing, sorted(missing, key=str)[:5]
    actions = {
        action: [found.get(("registry_storage_action_seconds_count", labels), 0.0) for found in (theirs, ours)]
        for action in ("GetContent", "PutContent", "Stat", "Move")
        for labels in [frozenset({("driver", "filesystem"), ("action", action)})]
    }
    assert all(ours for _, ours in actions.values()), actions
    assert all(theirs for theirs, _ in actions.values()), actions
    sent = ("registry_http_response_size_bytes_sum", frozenset({("handler", "catalog")}))  # 2.8 counts HEAD too
    assert ours[sent] == theirs[sent]
