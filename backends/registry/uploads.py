"""Uploads: content on its way to become a blob, resumable by any process, after any crash.

The truth is in storage: the length of the data file is the offset. A process keeps the running hash of uploads that it
has served lately; where another one wrote in between, it hashes only the gap, in a thread. At the end of each request
the length and the digest of the bytes so far are written down (`progress`), so a final PUT without a body needs no
second reading wherever it lands. That record counts only up to its length, and only within the machine's present
life: after a power cut it could vouch for pages that never reached the disk.

A lock lets one request at a time have an upload, across processes. What can happen to it meanwhile is a table
(`upload_states`): it is kept for the next request, or it ends, and then nothing of it is left. So an upload that the
disk had no room for goes too, with all its bytes: else they would keep the disk full.
"""

from __future__ import annotations

import json
import logging
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import UTC, datetime

from backends.model.actor import Actor
from backends.model.cache import Cache
from backends.model.descriptors import Descriptor
from backends.model.digest import Digest, parse_digest
from backends.model.errors import ErrorCode, RegistryError
from backends.model.media_types import OCTET_STREAM
from backends.model.names import RepositoryName, UploadId
from backends.registry.blobs import Blobs
from backends.registry.changes import Change, carry_out
from backends.registry.exclusive_lock import exclusive_lock
from backends.registry.hashing import RunningHash
from backends.registry.low_room import require_room
from backends.registry.no_room import undone_without_room
from backends.registry.upload_states import Event, State, next_state
from backends.storage import layout
from backends.storage.completion import run_to_completion
from backends.storage.driver import Chunk, PathNotFound, StorageDriver, StorageError, StorageFull, Writer
from backends.storage.locks import LockHeld, Locks
from backends.storage.storage import Storage

RUNNING_HASHES_KEPT = 1024

_log = logging.getLogger("portside.uploads")


class Uploads:
    """All uploads of a registry, as this process sees them."""

    def __init__(self, storage: Storage, blobs: Blobs) -> None:
        self._driver = storage.driver
        self._locks = storage.locks
        self._room = storage.room
        self._blobs = blobs
        self._running: Cache[UploadId, RunningHash] = Cache(bound=RUNNING_HASHES_KEPT)

    async def start(self, name: RepositoryName) -> UploadId:
        """Begins an upload; it is there for every process when this returns, and not at all when it fails.

        Raises:
            RegistryError: INSUFFICIENT_STORAGE: there is little room left.
        """
        require_room(self._room)
        upload_id = UploadId(str(uuid.uuid4()))
        try:
            await run_to_completion(self._begin(name, upload_id))
        except BaseException:
            await self._forget(name, upload_id)
            raise
        self._keep(upload_id, RunningHash())
        return upload_id

    async def _begin(self, name: RepositoryName, upload_id: UploadId) -> None:
        writer = await self._driver.writer(layout.upload_data(name, upload_id))
        await writer.close()
        started = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        await self._driver.write(layout.upload_started_at(name, upload_id), started.encode())

    async def receive(
        self, name: RepositoryName, chunks: AsyncIterator[Chunk], expected: Digest, *, actor: Actor
    ) -> Descriptor:
        """Takes a whole blob at once; whatever breaks it off removes it, for nobody knows the upload's name.

        Raises:
            RegistryError: DIGEST_INVALID; INSUFFICIENT_STORAGE.
        """
        upload_id = await self.start(name)
        try:
            async with self.open(name, upload_id) as session:
                await session.append(chunks)
                return await session.commit(expected, actor=actor)
        except BaseException:
            await self._forget(name, upload_id)
            raise

    async def _forget(self, name: RepositoryName, upload_id: UploadId) -> None:
        self._running.forget(upload_id)
        with suppress(StorageError):  # gone already, or the disk refuses even that: what broke it is told
            await run_to_completion(self._driver.delete(layout.upload(name, upload_id)))

    async def size(self, name: RepositoryName, upload_id: UploadId) -> int:
        """Returns how many bytes an upload has.

        Raises:
            RegistryError: BLOB_UPLOAD_UNKNOWN: not begun, finished, or another repository's.
        """
        try:
            return (await self._driver.stat(layout.upload_data(name, upload_id))).size
        except PathNotFound:
            raise _unknown(name, upload_id) from None

    @asynccontextmanager
    async def open(self, name: RepositoryName, upload_id: UploadId) -> AsyncIterator[UploadSession]:
        """Has an upload for one request, alone.

        Raises:
            RegistryError: BLOB_UPLOAD_UNKNOWN; RANGE_INVALID while another request has it.
        """
        async with AsyncExitStack() as stack:
            try:
                await stack.enter_async_context(self._locks.hold(layout.upload_lock(name, upload_id)))
            except LockHeld:
                raise _busy(upload_id) from None
            running = self._running.forget(upload_id) or RunningHash()
            try:
                writer = await self._driver.writer(layout.upload_data(name, upload_id), append=True, tee=running.take)
            except PathNotFound:
                raise _unknown(name, upload_id) from None
            except StorageFull:
                await self._forget(name, upload_id)
                raise
            except BaseException:
                self._keep(upload_id, running)
                raise
            session = UploadSession(
                self._driver, self._locks, self._blobs, writer, running, name=name, upload_id=upload_id
            )
            try:
                yield session
            finally:
                await run_to_completion(session.close())
                if session.state is State.GROWING:
                    self._keep(upload_id, running)

    async def cancel(self, name: RepositoryName, upload_id: UploadId) -> None:
        """Forgets an upload and its bytes.

        Raises:
            RegistryError: BLOB_UPLOAD_UNKNOWN; RANGE_INVALID while another request has it.
        """
        async with self.open(name, upload_id) as session:
            await session.discard()

    def _keep(self, upload_id: UploadId, running: RunningHash) -> None:
        self._running.put(upload_id, running)


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
        writer: Writer,
        running: RunningHash,
        *,
        name: RepositoryName,
        upload_id: UploadId,
    ) -> None:
        self._driver = driver
        self._locks = locks
        self._blobs = blobs
        self._writer = writer
        self._running = running
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
            async for chunk in chunks:
                await self._writer.write(chunk)
            await self._writer.flush()
        except StorageFull:
            self._enter(Event.NO_ROOM)
            raise
        self._enter(Event.APPENDED)

    async def commit(self, expected: Digest, *, actor: Actor) -> Descriptor:
        """Turns the upload into a blob of this repository: verify, sync, link, move, in this order.

        Raises:
            RegistryError: DIGEST_INVALID: the content is another one; the upload is discarded.
            StorageFull: the upload is discarded, and nothing is left of what was begun here.
        """
        async with exclusive_lock(self._locks, layout.blob_lock(expected)):
            work = self._commit(expected)
            return await carry_out(work, Change.PUSHED, f"blob {expected}", self._name, actor=actor)

    async def _commit(self, expected: Digest) -> Descriptor:
        size = self._writer.size
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
        try:
            await self._store(expected, size)
        except StorageError as error:
            self._enter(Event.NO_ROOM if isinstance(error, StorageFull) else Event.FAILED)
            raise
        self._enter(Event.STORED)
        return Descriptor(OCTET_STREAM, expected, size)

    async def _store(self, digest: Digest, size: int) -> None:
        """Links the blob, then puts it in place: a link can be taken back when there is no room, a blob cannot.

        Others may find a blob as soon as it is there, and rely on it. A link without a blob is nothing to anybody.
        """
        link = layout.layer_link(self._name, digest)
        async with undone_without_room(self._driver, link.rpartition("/")[0], link):
            await self._driver.write(link, str(digest).encode())
            await self._blobs.commit_file(self._path, digest, size)

    async def discard(self) -> None:
        """Removes the upload and what it has."""
        self._enter(Event.CANCELLED)
        await self._remove()

    def _enter(self, event: Event) -> None:
        self.state = next_state(self.state, event)

    async def _remove(self) -> None:
        with suppress(PathNotFound):
            await self._driver.delete(layout.upload(self._name, self._id))
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
                _log.warning("upload %s of %s is left to be purged: %s", self._id, self._name, error)

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
            if recorded is not None and recorded[0] == size:
                return recorded[1]
        await self._catch_up()
        return Digest("sha256", self._running.value.hexdigest())

    async def _record(self) -> None:
        record = {
            "offset": self._running.offset,
            "sha256": self._running.value.hexdigest(),
            "epoch": self._driver.boot_id,
        }
        try:
            await self._driver.write(
                layout.upload_progress(self._name, self._id), json.dumps(record).encode(), durable=False
            )
        except StorageError:
            return  # it only spares a second reading

    async def _read_record(self) -> tuple[int, Digest] | None:
        try:
            record = json.loads(await self._driver.read(layout.upload_progress(self._name, self._id)))
            if record["epoch"] == self._driver.boot_id:
                return int(record["offset"]), parse_digest(f"sha256:{record['sha256']}")
        except (PathNotFound, ValueError, KeyError, TypeError, RegistryError):
            return None  # absent, or half a thought of another program: read the bytes themselves
        return None


def _busy(upload_id: UploadId) -> RegistryError:
    return RegistryError(
        ErrorCode.RANGE_INVALID,
        f"another request is writing upload {upload_id}; wait for it, ask where the upload is with GET,"
        " and go on from there",
    )


def _unknown(name: RepositoryName, upload_id: UploadId) -> RegistryError:
    return RegistryError(
        ErrorCode.BLOB_UPLOAD_UNKNOWN,
        f"there is no upload {upload_id} in {name}: it was finished, cancelled or never begun;"
        f" begin one with POST /v2/{name}/blobs/uploads/",
    )
