"""How long storage takes is counted by action, what fails too; only where the file asks for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from backends.storage.driver import PathNotFound
from backends.storage.factory import open_folder
from portside.observe.metrics import Metrics
from portside.observe.storage_metrics import MeteredDriver
from portside.settings.loading import Role
from tests.support.settings_files import Load


def counted(metrics: Metrics) -> dict[str, float]:
    """How often each action was carried out, so far."""
    metrics.flush()
    return {
        sample.labels["action"]: sample.value
        for metric in metrics.collect()
        for sample in metric.samples
        if sample.name == "registry_storage_action_seconds_count" and sample.labels["driver"] == "filesystem"
    }


async def test_each_action_is_counted_and_what_fails_too(tmp_path: Path) -> None:
    metrics = Metrics()
    storage = open_folder(tmp_path)
    driver = MeteredDriver(storage.driver, "filesystem", metrics)
    await driver.write("/a/b", b"x")
    for _ in range(3):
        assert await driver.read("/a/b") == b"x"
    with pytest.raises(PathNotFound):
        await driver.read("/never")
    await (await driver.writer("/a/c")).close()
    (await driver.open("/a/c")).close()
    await driver.stat("/a/b")
    assert list(await driver.list("/a")) == ["b", "c"]
    await driver.move("/a/c", "/a/d")
    expected = {"PutContent": 1, "GetContent": 4, "Stat": 1, "List": 1, "Move": 1}
    assert counted(metrics) == expected
    await driver.delete("/a")
    assert counted(metrics) == {**expected, "Delete": 1}
    await storage.close()


@pytest.mark.parametrize(
    ("text", "times"),
    [
        ("", False),
        ("http: {debug: {addr: 'localhost:1'}}", False),
        ("http: {debug: {addr: 'localhost:1', prometheus: {path: /m}}}", False),
        ("http: {debug: {addr: 'localhost:1', prometheus: {enabled: true}}}", True),
        ("http: {debug: {addr: 'localhost:1', prometheus: {enabled: false}}}", False),
        ("http: {debug: {prometheus: {enabled: true}}}", False),
    ],
)
def test_only_who_asks_for_prometheus_pays_for_it(load: Load, text: str, *, times: bool) -> None:
    assert load(Role.V2, text).times_storage is times
