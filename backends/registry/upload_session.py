"""One request's hold on one upload: append, then perhaps commit.

The truth is in storage: the length of the data file is the offset. A process keeps the running hash of uploads that it
has served lately; where another one wrote in between, it hashes only the gap, in a thread. At the end of each request
the length and the digest of the bytes so far are written down (`progress`), so a final PUT without a body needs no
second reading wherever it lands. That record counts only up to its length, and only within the machine's present
life: after a power cut it could vouch for pages that never reached the disk.
"""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from backends.model.actor import Actor
from backends.model.descriptors import Descriptor
from backends.model.digest import Digest, parse_digest
from backends.model.errors import ErrorCode, RegistryError
from backends.model.media_types import OCTET_STREAM
from backends.model.names import RepositoryName, UploadId
from backends.registry.blobs import Blobs
from backends.registry.changes import Change, carry_out
from backends.registry.events import Events, of_blob
from backends.registry.exclusive_lock import exclusive_lock
from backends.registry.hashing import RunningHash
from backends.registry.holders import note_holder
from backends.registry.no_room import undone_without_room
from backends.registry.noted_layer import note_of, noted_facts
from backends.registry.upload_states import Event, State, next_state
from backends.storage import layout
from backends.storage.completion import run_to_completion
from backends.storage.driver import Chunk, PathNotFound, StorageDriver, StorageError, StorageFull, Writer
from backends.storage.locks import Locks
from backends.storage.pouring import write_from

if TYPE_CHECKING:
    from backends.model.layers import LayerFacts
    from backends.registry.layers.layers import Layers
    from backends.registry.layers.upload_meter import UploadMeter

_log = logging.getLogger("portside.uploads")


@dataclass(frozen=True, slots=True)
class Measuring:
    """What finds out which layer an upload is.

    Attributes:
        layers: keeps it.
        meter: has taken what this process has received of it, from its beginning; None where another one has begun.
    """

    layers: Callable[[], Layers]
    meter: UploadMeter | None

    async def learn(self, digest: Digest, size: int, noted: LayerFacts | None) -> None:
        """Keeps what was found out, here or in another process."""
        facts = self.meter.finish() if self.meter is not None and self.meter.offset == size else noted
        if facts is not None:
            await self.layers().learn(digest, size, facts)


@dataclass(frozen=True, slots=True)
class _Record:
    """What was written down of an upload: its length and digest then, and what is true of it if it is a layer."""

    offset: int
    digest: Digest
    facts: LayerFacts | None


class UploadSession:
    """One request's hold on one upload: append, then perhaps commit.

    Attributes:
        state: of the upload; `upload_states` says what it means.
    """

    def __init__(
        self,
        driver: StorageDriver,
        locks: Locks,
        blobs: Blobs,
        events: Events,
        writer: Writer,
        running: RunningHash,
        *,
        measuring: Measuring | None = None,
        name: RepositoryName,
        upload_id: UploadId,
    ) -> None:
        self._driver = driver
        self._locks = locks
        self._blobs = blobs
        self._events = events
        self._writer = writer
        self._running = running
        self._measuring = measuring
        self._name = name
        self._id = upload_id
        self._path = layout.upload_data(name, upload_id)
        self._recorded = running.offset
        self.state = State.GROWING

    @property
    def size(self) -> int:
        """Bytes that the upload has."""
        return self._writer.size

    async def append(self, chunks: AsyncIterator[Chunk]) -> None:
        """Appends what a request carries.

        Raises:
            StorageFull: the upload ends here, with all that it had.
            StorageError: what was written before is kept; the upload can be continued.
        """
        await self._catch_up()
        try:
            await write_from(chunks, self._writer)
            await self._writer.flush()
        except StorageFull:
            self._enter(Event.NO_ROOM)
            raise
        self._enter(Event.APPENDED)

    async def commit(self, expected: Digest, *, actor: Actor) -> Descriptor:
        """Turns the upload into a blob of this repository: verify, sync, link, move, in this order.

        Raises:
            RegistryError: DIGEST_INVALID: the content is another one; the upload is discarded.
            StorageFull: the upload is discarded, and nothing is left of what was begun here; unless only the event of
                the push has found no room, then the blob stays.
        """
        size = self._writer.size
        noted = await self._facts_noted(size)
        try:
            await run_to_completion(self._verify(expected, size))
            async with exclusive_lock(self._locks, layout.blob_lock(expected)):
                work = self._store(expected, size)
                telling = of_blob(self._events, self._name, expected, size, actor=actor)
                await carry_out(work, Change.PUSHED, f"blob {expected}", self._name, actor=actor, telling=telling)
            await note_holder(self._driver, expected, self._name)
            if self._measuring is not None:
                await self._measuring.learn(expected, size, noted)
        finally:
            if self.state is State.VERIFIED:  # storage failed, or the client has gone before it came to that
                self._enter(Event.FAILED)
        return Descriptor(OCTET_STREAM, expected, size)

    async def _verify(self, expected: Digest, size: int) -> None:
        actual = await self._digest(expected.algorithm)
        if actual != expected:
            self._enter(Event.DIFFERED)
            raise RegistryError(
                ErrorCode.DIGEST_INVALID,
                f"the {size} bytes received have digest {actual}, not {expected}; nothing was stored, push again",
            )
        try:
            await self._writer.sync()
        except StorageError as error:
            self._enter(Event.NO_ROOM if isinstance(error, StorageFull) else Event.NOT_SYNCED)
            raise
        self._enter(Event.MATCHED)

    async def _store(self, digest: Digest, size: int) -> None:
        """Links the blob, then puts it in place: a link can be taken back when there is no room, a blob cannot.

        Others may find a blob as soon as it is there, and rely on it. A link without a blob is nothing to anybody; one
        whose blob is there, since an earlier push or since this one failed after it had appeared, is not taken back.
        """
        link = layout.layer_link(self._name, digest)

        async def is_there() -> bool:
            return await self._blobs.size(digest) is not None

        try:
            async with undone_without_room(self._driver, link.rpartition("/")[0], link, unless=is_there):
                await self._driver.write(link, str(digest).encode())
                await self._blobs.commit_file(self._path, digest, size)
        except StorageFull:
            self._enter(Event.NO_ROOM)
            raise
        self._enter(Event.STORED)

    async def discard(self) -> None:
        """Removes the upload and what it has."""
        self._enter(Event.CANCELLED)
        await self._remove()

    def _enter(self, event: Event) -> None:
        self.state = next_state(self.state, event)

    async def _remove(self) -> None:
        with suppress(PathNotFound):
            await self._driver.delete(layout.upload(self._name, self._id), durable=False)
        self._enter(Event.REMOVED)

    async def close(self) -> None:
        """Writes down how far an upload has come that others may go on with; takes away one that has ended."""
        try:
            await self._flush()
            if self.state is State.GROWING and self._recorded != self._running.offset == self._writer.size:
                await self._record()  # before another request can have the upload, or finish it
        finally:
            await self._writer.close()
        if self.state in {State.COMMITTED, State.REJECTED}:
            try:
                await self._remove()
            except StorageError as error:
                _log.warning(
                    "upload %s of %s could not be removed and will be purged later: %s", self._id, self._name, error
                )

    async def _flush(self) -> None:
        """Writes what a request that broke off had given so far."""
        try:
            await self._writer.flush()
        except StorageFull:
            if self.state is State.GROWING:
                self._enter(Event.NO_ROOM)
        except StorageError as error:
            _log.warning("upload %s of %s has lost its last bytes: %s", self._id, self._name, error)

    async def _catch_up(self) -> None:
        """Hashes what other processes appended since this one had the upload; the rest is hashed as it is written."""
        await self._running.advance(self._driver, self._path, self._writer.size)

    async def _digest(self, algorithm: str) -> Digest:
        await self._writer.flush()
        size = self._writer.size
        if algorithm != "sha256":
            other = RunningHash(algorithm)
            await other.advance(self._driver, self._path, size)
            return Digest(algorithm, other.value.hexdigest())
        if self._running.offset < size:
            recorded = await self._read_record()
            if recorded is not None and recorded.offset == size:
                return recorded.digest
        await self._catch_up()
        return Digest("sha256", self._running.value.hexdigest())

    async def _record(self) -> None:
        record = {
            "offset": self._running.offset,
            "sha256": self._running.value.hexdigest(),
            "epoch": self._driver.boot_id,
        }
        meter = self._measuring.meter if self._measuring is not None else None
        if meter is not None and meter.offset == self._running.offset:
            record |= note_of(meter.facts_so_far())
        try:
            await self._driver.stat(self._path)  # it may have gone with its repository: nothing is left beside it
            await self._driver.write(
                layout.upload_progress(self._name, self._id), json.dumps(record).encode(), durable=False
            )
        except StorageError:
            return  # it only spares a second reading

    async def _facts_noted(self, size: int) -> LayerFacts | None:
        """Returns what another process has found out about the layer that it received."""
        if self._measuring is None or (self._measuring.meter is not None and self._measuring.meter.offset):
            return None
        recorded = await self._read_record()
        return recorded.facts if recorded is not None and recorded.offset == size else None

    async def _read_record(self) -> _Record | None:
        try:
            record = json.loads(await self._driver.read(layout.upload_progress(self._name, self._id)))
            if record["epoch"] == self._driver.boot_id:
                facts = noted_facts(record)
                return _Record(int(record["offset"]), parse_digest(f"sha256:{record['sha256']}"), facts)
        except (PathNotFound, ValueError, KeyError, TypeError, RegistryError):
            return None  # absent, or half a thought of another program: read the bytes themselves
        return None
