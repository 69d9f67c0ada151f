"""Uploads: content that is to become a blob, resumable by any process, whatever became of others.

What one request does with an upload is `upload_session`. A lock lets one request at a time have an upload, across
processes. What can happen to it meanwhile is a table (`upload_states`): it is kept for the next request, or it ends,
and then nothing of it is left. So an upload that the disk had no room for goes too, with all its bytes: else they would
keep the disk full.

Whoever has begun an upload with a name is its owner: to everybody else it is not there. Its name alone proves nothing,
for names stand in logs, and in what clients show.
"""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

from backends.model.actor import Actor
from backends.model.cache import Cache
from backends.model.descriptors import Descriptor
from backends.model.digest import Digest
from backends.model.errors import ErrorCode, RegistryError
from backends.model.names import RepositoryName, UploadId
from backends.registry.blobs import Blobs
from backends.registry.events import Events
from backends.registry.hashing import RunningHash
from backends.registry.low_room import require_room
from backends.registry.upload_session import Measuring, UploadSession
from backends.registry.upload_states import State
from backends.storage import layout
from backends.storage.capabilities import write_several
from backends.storage.completion import run_to_completion
from backends.storage.driver import Chunk, PathNotFound, SlowTee, StorageError, StorageFull
from backends.storage.locks import LockHeld
from backends.storage.storage import Storage

if TYPE_CHECKING:
    from backends.registry.layers.layers import Layers
    from backends.registry.layers.upload_meter import UploadMeter

RUNNING_HASHES_KEPT = 1024
OWNERS_KEPT = 1024
METERS_KEPT = 64
"""Each has some 100 KiB of what it is inflating."""


_Key = tuple[RepositoryName, UploadId]


class Uploads:
    """All uploads of a registry, as this process sees them.

    Args:
        storage: where.
        blobs: what they become.
        events: where it is told what happens.
        layers: keeps what is found out about layers while they are pushed; None for nobody.
    """

    def __init__(
        self, storage: Storage, blobs: Blobs, events: Events, layers: Callable[[], Layers] | None = None
    ) -> None:
        self._driver = storage.driver
        self._locks = storage.locks
        self._room = storage.room
        self._blobs = blobs
        self._events = events
        self._layers = layers
        self._running: Cache[_Key, RunningHash] = Cache(bound=RUNNING_HASHES_KEPT)
        self._meters: Cache[_Key, UploadMeter] = Cache(bound=METERS_KEPT)
        self._owners: Cache[_Key, str] = Cache(bound=OWNERS_KEPT)

    async def start(self, name: RepositoryName, *, user: str | None = None) -> UploadId:
        """Begins an upload; it is there for every process when this returns, and not at all when it fails.

        Args:
            name: of the repository.
            user: who begins it; "" for a caller without a name, None where there is no access control.

        Raises:
            RegistryError: INSUFFICIENT_STORAGE: there is little room left.
        """
        require_room(self._room)
        upload_id = UploadId(str(uuid.uuid4()))
        try:
            await run_to_completion(self._begin(name, upload_id, user or ""))
        except BaseException:
            await self._forget(name, upload_id)
            raise
        self._keep((name, upload_id), RunningHash())
        return upload_id

    async def _begin(self, name: RepositoryName, upload_id: UploadId, owner: str) -> None:
        files = [(layout.upload_data(name, upload_id), b"")]
        if owner:
            files.append((layout.upload_owner(name, upload_id), owner.encode(errors="surrogatepass")))
        started = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        files.append((layout.upload_started_at(name, upload_id), started.encode()))
        # A power cut may take an upload, since it takes what was not synced of its bytes anyway.
        await write_several(self._driver, files, durable=False)
        if owner:
            self._owners.put((name, upload_id), owner)

    async def _require_owner(self, name: RepositoryName, upload_id: UploadId, user: str | None) -> None:
        """Requires that an upload may be had by a user; one that nobody with a name has begun, by all.

        Raises:
            RegistryError: BLOB_UPLOAD_UNKNOWN, as where there is no such upload.
        """
        if user is None:
            return
        key = (name, upload_id)
        try:
            owner = self._owners[key]
        except KeyError:
            try:
                content = await self._driver.read(layout.upload_owner(name, upload_id))
            except PathNotFound:
                return
            owner = content.decode(errors="surrogatepass")
            self._owners.put(key, owner)
        if owner != user:
            raise _unknown(name, upload_id)

    async def receive(
        self, name: RepositoryName, chunks: AsyncIterator[Chunk], expected: Digest, *, actor: Actor
    ) -> Descriptor:
        """Takes a whole blob at once; whatever breaks it off removes it, for nobody knows the upload's name.

        Raises:
            RegistryError: DIGEST_INVALID; INSUFFICIENT_STORAGE; UNAVAILABLE: the repository was deleted meanwhile.
        """
        upload_id = await self.start(name)
        try:
            async with self.open(name, upload_id) as session:
                await session.append(chunks)
                return await session.commit(expected, actor=actor)
        except BaseException as error:
            await self._forget(name, upload_id)
            if isinstance(error, RegistryError) and error.code is ErrorCode.BLOB_UPLOAD_UNKNOWN:
                raise RegistryError(
                    ErrorCode.UNAVAILABLE, f"{name} was deleted while this blob was received; send it again"
                ) from None
            raise

    async def _forget(self, name: RepositoryName, upload_id: UploadId) -> None:
        self._running.forget((name, upload_id))
        with suppress(StorageError):  # gone already, or the disk refuses even that: the first error is reported
            await run_to_completion(self._driver.delete(layout.upload(name, upload_id), durable=False))

    async def size(self, name: RepositoryName, upload_id: UploadId, *, user: str | None = None) -> int:
        """Returns how many bytes an upload has.

        Raises:
            RegistryError: BLOB_UPLOAD_UNKNOWN: not begun, finished, or another repository's, or another user's.
        """
        await self._require_owner(name, upload_id, user)
        try:
            return (await self._driver.stat(layout.upload_data(name, upload_id))).size
        except PathNotFound:
            raise _unknown(name, upload_id) from None

    @asynccontextmanager
    async def open(
        self, name: RepositoryName, upload_id: UploadId, *, user: str | None = None, measured: bool = False
    ) -> AsyncIterator[UploadSession]:
        """Has an upload for one request, exclusively.

        Args:
            name: of the repository.
            upload_id: of the upload.
            user: who asks for it, as in `start`.
            measured: whether it is found out what layer it is, if the request begins it or goes on with it here.

        Raises:
            RegistryError: BLOB_UPLOAD_UNKNOWN, also of one that is deleted meanwhile, or another user's; RANGE_INVALID
                while another request has it.
        """
        await self._require_owner(name, upload_id, user)
        key = (name, upload_id)
        async with AsyncExitStack() as stack:
            try:
                await stack.enter_async_context(self._locks.hold(layout.upload_lock(name, upload_id)))
            except LockHeld:
                raise _busy(upload_id) from None
            running = self._running.forget(key) or RunningHash()
            meter = self._meters.forget(key)
            if meter is None and measured and self._layers is not None and not running.offset:
                meter = self._layers().begin_meter(running)
            tee = running.take if meter is None else SlowTee(partial(_take_both, running, meter))
            try:
                writer = await self._driver.writer(layout.upload_data(name, upload_id), append=True, tee=tee)
            except PathNotFound:
                raise _unknown(name, upload_id) from None
            except StorageFull:
                await self._forget(name, upload_id)
                raise
            except BaseException:
                self._keep(key, running)
                raise
            session = UploadSession(
                self._driver,
                self._locks,
                self._blobs,
                self._events,
                writer,
                running,
                measuring=Measuring(self._layers, meter) if measured and self._layers is not None else None,
                name=name,
                upload_id=upload_id,
            )
            try:
                yield session
            except PathNotFound:  # somebody has deleted it with its repository
                raise _unknown(name, upload_id) from None
            finally:
                await run_to_completion(session.close())
                if session.state is State.GROWING:
                    self._keep(key, running)
                    if meter is not None:
                        self._meters.put(key, meter)
                else:
                    self._owners.forget(key)

    async def cancel(self, name: RepositoryName, upload_id: UploadId, *, user: str | None = None) -> None:
        """Forgets an upload and its bytes.

        Raises:
            RegistryError: BLOB_UPLOAD_UNKNOWN; RANGE_INVALID while another request has it.
        """
        async with self.open(name, upload_id, user=user) as session:
            await session.discard()

    def _keep(self, key: _Key, running: RunningHash) -> None:
        self._running.put(key, running)


def _take_both(running: RunningHash, meter: UploadMeter, chunks: Sequence[Chunk]) -> None:
    running.take(chunks)
    meter.take(chunks)


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
