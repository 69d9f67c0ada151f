"""Uploads against a model of them: any order of requests, at any worker, cut off and cancelled at any place."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Coroutine
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, rule
from typing_extensions import override

from backends.model.digest import Digest
from backends.model.errors import ErrorCode, RegistryError
from backends.model.names import RepositoryName, UploadId
from backends.registry.store import Store
from backends.storage.factory import open_folder, open_memory
from backends.storage.storage import Storage
from tests.support.actors import ACTOR

T = TypeVar("T")
NAMES = [RepositoryName("a"), RepositoryName("a/b")]
content = st.binary(max_size=40) | st.integers(0, 255).map(lambda byte: bytes([byte]) * 300_000)


class Uploading(RuleBasedStateMachine):
    """Two workers over one place; the model is a dictionary of bytes."""

    uploads = Bundle("uploads")

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.opened: list[Storage] = []
        self.workers: list[Store] = []
        self.sent: dict[UploadId, tuple[RepositoryName, bytes]] = {}
        self.blobs: dict[tuple[RepositoryName, Digest], bytes] = {}

    def open(self) -> Storage:
        raise NotImplementedError

    def run_(self, work: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(work)

    @initialize()
    def begin(self) -> None:
        self.workers = [self.restarted() for _ in range(2)]

    def restarted(self) -> Store:
        self.opened.append(self.open())
        return Store(self.opened[-1])

    @rule(target=uploads, worker=st.integers(0, 1), name=st.sampled_from(NAMES))
    def start(self, worker: int, name: RepositoryName) -> UploadId:
        upload = self.run_(self.workers[worker].uploads.start(name))
        self.sent[upload] = (name, b"")
        return upload

    @rule(upload=uploads, worker=st.integers(0, 1), pieces=st.lists(content, max_size=3), breaks=st.booleans())
    def append(self, upload: UploadId, worker: int, pieces: list[bytes], breaks: bool) -> None:  # noqa: FBT001 - drawn
        if upload not in self.sent:
            return
        name, before = self.sent[upload]

        async def chunks() -> AsyncIterator[bytes]:
            for piece in pieces:
                yield piece
            if breaks:
                raise ConnectionResetError

        async def work() -> None:
            async with self.workers[worker].uploads.open(name, upload) as session:
                await session.append(chunks())

        if breaks:
            with pytest.raises(ConnectionResetError):
                self.run_(work())
        else:
            self.run_(work())
        self.sent[upload] = (name, before + b"".join(pieces))

    @rule(upload=uploads, worker=st.integers(0, 1), pieces=st.lists(content, max_size=4), after=st.integers(0, 12))
    def hang_up(self, upload: UploadId, worker: int, pieces: list[bytes], after: int) -> None:
        """The request is cancelled after some turns of the loop; what has come by then stays."""
        if upload not in self.sent:
            return
        name, before = self.sent[upload]

        async def chunks() -> AsyncIterator[bytes]:
            for piece in pieces:
                yield piece
                await asyncio.sleep(0)

        async def work() -> int:
            async def request() -> None:
                async with self.workers[worker].uploads.open(name, upload) as session:
                    await session.append(chunks())

            task = asyncio.ensure_future(request())
            for _ in range(after):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
            while True:
                try:
                    async with self.workers[worker].uploads.open(name, upload) as session:
                        return session.size
                except RegistryError as error:
                    assert error.code is ErrorCode.RANGE_INVALID  # noqa: PT017 - busy: a thread is still opening it
                    await asyncio.sleep(0.001)

        size = self.run_(work())
        everything = before + b"".join(pieces)
        assert len(before) <= size <= len(everything)
        self.sent[upload] = (name, everything[:size])

    @rule(upload=uploads, worker=st.integers(0, 1))
    def refuse(self, upload: UploadId, worker: int) -> None:
        """A request that has the upload and does nothing with it, such as a chunk out of order."""
        if upload not in self.sent:
            return

        async def work() -> None:
            async with self.workers[worker].uploads.open(self.sent[upload][0], upload) as session:
                assert session.size == len(self.sent[upload][1])
                raise RegistryError(ErrorCode.RANGE_INVALID, "elsewhere")

        with pytest.raises(RegistryError):
            self.run_(work())

    @rule(
        upload=consumes(uploads),
        worker=st.integers(0, 1),
        algorithm=st.sampled_from(["sha256", "sha256", "sha512"]),
        last=st.none() | content,
        right=st.sampled_from([True, True, True, False]),
        lie=st.integers(0, 2),
    )
    def commit(self, upload: UploadId, worker: int, algorithm: str, last: bytes | None, right: bool, lie: int) -> None:  # noqa: FBT001 - drawn
        if upload not in self.sent:
            return
        name, text = self.sent.pop(upload)
        text += last or b""
        wrong = [b"", text[: len(text) // 2], text + b"x"][lie]
        digest = Digest.of(text if right else wrong, algorithm)

        async def chunks() -> AsyncIterator[bytes]:
            yield last or b""

        async def work() -> None:
            async with self.workers[worker].uploads.open(name, upload) as session:
                if last is not None:
                    await session.append(chunks())
                await session.commit(digest, actor=ACTOR)

        if right or wrong == text:
            self.run_(work())
            self.blobs[name, digest] = text
        else:
            with pytest.raises(RegistryError) as caught:
                self.run_(work())
            assert caught.value.code is ErrorCode.DIGEST_INVALID

    @rule(upload=consumes(uploads), worker=st.integers(0, 1))
    def cancel(self, upload: UploadId, worker: int) -> None:
        if upload in self.sent:
            name, _ = self.sent.pop(upload)
            self.run_(self.workers[worker].uploads.cancel(name, upload))
            with pytest.raises(RegistryError):
                self.run_(self.workers[1 - worker].uploads.size(name, upload))

    @rule(worker=st.integers(0, 1))
    def restart(self, worker: int) -> None:
        self.workers[worker] = self.restarted()

    @invariant()
    def every_upload_has_what_was_sent(self) -> None:
        for upload, (name, text) in self.sent.items():
            assert self.run_(self.workers[0].uploads.size(name, upload)) == len(text)

    @override
    def teardown(self) -> None:
        for (name, digest), text in self.blobs.items():
            assert self.run_(self._read(name, digest)) == text
        for storage in self.opened:
            self.run_(storage.close())
        self.run_(self.loop.shutdown_default_executor())
        self.loop.close()

    async def _read(self, name: RepositoryName, digest: Digest) -> bytes:
        blob = await self.restarted_once().open(name).open_blob(digest)
        try:
            return b"".join([bytes(chunk) async for chunk in blob.reader.chunks(0, blob.size)])
        finally:
            blob.reader.close()

    def restarted_once(self) -> Store:
        return Store(self.opened[-1])


class UploadingInMemory(Uploading):
    @override
    def open(self) -> Storage:
        if not self.opened:
            return open_memory()
        return self.opened[0]


class UploadingOnDisk(Uploading):
    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None)

    @override
    def open(self) -> Storage:
        return open_folder(Path(self.folder.name))

    @override
    def teardown(self) -> None:
        super().teardown()
        self.folder.cleanup()


UploadingInMemory.TestCase.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
UploadingOnDisk.TestCase.settings = settings(
    max_examples=25, stateful_step_count=25, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
TestUploadsInMemory = UploadingInMemory.TestCase
TestUploadsOnDisk = UploadingOnDisk.TestCase
