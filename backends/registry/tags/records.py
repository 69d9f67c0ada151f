"""The records of tags that both generations have files of (`backends/model/tag_records.py`)."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from backends.model.names import RepositoryName, TagName
from backends.model.tag_records import TagRecord, dump_record
from backends.registry.links import names_in
from backends.storage import layout
from backends.storage.driver import PathNotFound, StorageDriver


class TagRecords:
    """The records on one root. `service` holds the lock of a tag while its record is changed."""

    def __init__(self, driver: StorageDriver) -> None:
        self._driver = driver

    async def read(self, name: RepositoryName, tag: TagName) -> bytes | None:
        """Returns a record as it is stored; None when there is none, as for most tags."""
        try:
            return await self._driver.read(layout.tag_record(name, tag))
        except PathNotFound:
            return None

    async def write(self, name: RepositoryName, tag: TagName, record: TagRecord) -> None:
        """Writes a record; it is durable when this returns."""
        await self._driver.write(layout.tag_record(name, tag), dump_record(record))

    async def delete(self, name: RepositoryName, tag: TagName) -> None:
        """Removes a record, if there is one."""
        with suppress(PathNotFound):
            await self._driver.delete(layout.tag_record(name, tag))

    async def names(self, name: RepositoryName) -> Sequence[str]:
        """Returns the tags that have a record, sorted bytewise."""
        return await names_in(self._driver, layout.tag_records(name))
