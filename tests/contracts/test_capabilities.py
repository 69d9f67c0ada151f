"""What a driver can do beyond the interface is found through any number of wrappers, and a wrapper may change it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import pytest
from typing_extensions import override

from backends.storage.capabilities import ChecksItself, LinksFiles, MeasuresRoom, capability
from backends.storage.driver import StorageDriver
from backends.storage.factory import open_folder, open_memory
from backends.storage.storage import Storage
from tests.support.drivers import ForwardingDriver, Unlinked, wrapped
from tests.support.v1pushes import images_over, push
from tests.support.v1server import make_pushed

KINDS: Sequence[type[object]] = [LinksFiles, MeasuresRoom, ChecksItself]


class Metering(ForwardingDriver):
    """Counts files that are read; knows nothing of capabilities."""

    reads = 0

    @override
    async def read(self, path: str) -> bytes:
        self.reads += 1
        return await super().read(path)


@pytest.fixture(params=["filesystem", "inmemory"])
async def storage(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Storage]:
    opened = open_memory() if request.param == "inmemory" else open_folder(tmp_path)
    yield opened
    await opened.close()


@pytest.mark.parametrize("wrap", [Metering, lambda driver: Metering(ForwardingDriver(driver))], ids=["once", "twice"])
def test_a_wrapper_hides_nothing_and_invents_nothing(
    storage: Storage, wrap: Callable[[StorageDriver], StorageDriver]
) -> None:
    driver = storage.driver
    for kind in KINDS:
        found = capability(wrap(driver), kind)
        assert found is (driver if isinstance(driver, kind) else None)
    assert isinstance(driver, LinksFiles)


def test_a_wrapper_that_changes_a_capability_is_found_first(storage: Storage) -> None:
    inner = Unlinked(storage.driver)
    found: object = capability(Metering(inner), LinksFiles)
    assert found is inner
    assert capability(Metering(inner), MeasuresRoom) is capability(storage.driver, MeasuresRoom)


async def test_a_v1_layer_is_stored_once_through_a_wrapper(storage: Storage, caplog: pytest.LogCaptureFixture) -> None:
    metered, driver = wrapped(storage, Metering)
    await push(images_over(metered), [make_pushed("a", layer=b"layer" * 1000)])
    assert driver.reads
    assert not caplog.records, "a layer that is stored twice is warned of"
