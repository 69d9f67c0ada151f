"""Layers that arrive from the source, for all who ask for them: each comes once, whoever and however many ask.

Who asks reads the staged file while it grows, so a slow client holds up nobody, and each takes no more memory than a
piece of it. The last byte is kept back until the layer is verified: nobody gets a whole layer that is not what its
image's JSON was announced with. Then the image is made, after its ancestors, whether or not anybody still waits.

Among processes one has the image arrive, and others read the same file.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import TYPE_CHECKING

from backends.model.errors import ErrorCode, RegistryError
from backends.model.names import ImageId
from backends.registry.v1.mirrored_images import Arriving, MirroredImages, NotTheSame
from backends.storage.driver import Chunk, PathNotFound, Reader, StorageError
from backends.storage.locks import LockHeld
from backends.v1.mirror.answers import Announced, parse_size
from backends.v1.mirror.source import Source
from backends.v1.mirror.upstream import Behalf, Unavailable

if TYPE_CHECKING:
    import aiohttp

    from backends.registry.v1.staging import StagedLayer

AT_ONCE = 8
"""So many layers arrive at once in a process; others wait."""

FLUSH_SECONDS = 0.1
FLUSH_BYTES = 1024 * 1024
"""What has arrived can be read after so long, or when it is so much."""

LOOK_SECONDS = 0.1
"""So often another process's layer is looked at."""

END_SECONDS = 3.0
"""So long the end of the process waits for images whose layers have arrived."""

STUCK_SECONDS = 600.0
"""So long another process is waited for that makes no progress: the source may have sent both in a circle."""

_log = logging.getLogger("portside.v1.mirror")


class NotThere(Exception):  # noqa: N818 - a finding, not a fault
    """The source does not have an image, or not so that it can be believed."""


class NotBelieved(NotThere):
    """What the source sends of a layer is not what it said; operators are told, once a minute."""


class Flight:
    """An image that arrives.

    Attributes:
        begun: done when clients may read its file; its result is False where the image is whole already.
        ended: done when the image is made, or is not.
        arriving: the file.
        received: how many bytes of it can be read.
        reader: of it.
        following: how many clients read it.
        waits_for: its parent, while that arrives.
        lineage: its own, as its child's says it; None where no child of it waited when it began.
    """

    def __init__(self, lineage: Sequence[ImageId] | None = None) -> None:
        loop = asyncio.get_running_loop()
        self.begun: asyncio.Future[bool] = loop.create_future()
        self.ended: asyncio.Future[None] = loop.create_future()
        self.arriving: Arriving | None = None
        self.received = 0
        self.reader: Reader | None = None
        self.following = 0
        self.waits_for: Flight | None = None
        self.lineage = lineage
        self._changed = asyncio.Event()

    def begin(self) -> None:
        """Lets clients read its file; an empty one, which has no last byte to keep back, only once it is an image's."""
        if self.arriving is not None and self.arriving.size:
            _settle(self.begun, True)

    def end_whole(self) -> None:
        """Has those who follow take the rest: what arrived is what its image's JSON was announced with."""
        if self.arriving is not None:
            self.arriving = replace(self.arriving, is_verified=True)
            self.received = self.arriving.size
            self.change()

    def change(self) -> None:
        """Wakes those who wait for more."""
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def wait(self) -> None:
        """Waits for more."""
        await self._changed.wait()

    @property
    def is_verified(self) -> bool:
        """Whether all of it is here, and is what its image's JSON was announced with."""
        return self.arriving is not None and self.arriving.is_verified

    @property
    def readable(self) -> int:
        """How many bytes clients may have."""
        assert self.arriving is not None
        return self.received if self.arriving.is_verified else min(self.received, self.arriving.size - 1)

    def leave(self) -> None:
        """Says that a client does not read it any more."""
        self.following -= 1
        self.close_if_left()

    def close_if_left(self) -> None:
        """Lets go of the file when nobody needs it any more."""
        if self.ended.done() and not self.following and self.reader is not None:
            self.reader.close()
            self.reader = None


class ArrivingLayer:
    """A layer that arrives, as it goes out (`backends.http.sending.Content`)."""

    def __init__(self, flight: Flight) -> None:
        assert flight.arriving is not None
        self._flight = flight
        self._is_open = True
        self.size = flight.arriving.size
        flight.following += 1

    async def chunks(self, offset: int, length: int) -> AsyncGenerator[Chunk, None]:
        """Yields `length` bytes from `offset`, as they arrive.

        Raises:
            RegistryError: UNAVAILABLE: the rest does not come, or is not what it must be.
        """
        flight, end = self._flight, offset + length
        while offset < end:
            until = min(end, flight.readable)
            if until <= offset:
                if flight.ended.done():
                    raise RegistryError(
                        ErrorCode.UNAVAILABLE,
                        "the registry that this one mirrors has not sent all of this layer, or not it; pull again",
                    )
                await flight.wait()
                continue
            assert flight.reader is not None
            async with aclosing(flight.reader.chunks(offset, until - offset)) as chunks:
                async for chunk in chunks:
                    yield chunk
            offset = until

    def close(self) -> None:
        """Says that it is not read any more."""
        if self._is_open:
            self._is_open = False
            self._flight.leave()


class Downloads:
    """All flights of a process.

    Args:
        source: what is mirrored.
        images: where its images are kept.
    """

    def __init__(self, source: Source, images: MirroredImages) -> None:
        self._source = source
        self._images = images
        self._flights: dict[ImageId, Flight] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._turns = asyncio.Semaphore(AT_ONCE)

    async def open(self, image_id: ImageId, behalf: Behalf) -> ArrivingLayer | None:
        """Opens a layer; None where its image is here, whole.

        Raises:
            NotThere: the source does not have it.
            RegistryError, StorageError: it cannot be kept.
        """
        flight = self._join(image_id, behalf)
        flight.following += 1
        try:
            has_begun = await asyncio.shield(flight.begun)
            return ArrivingLayer(flight) if has_begun else None
        finally:
            flight.leave()

    async def fetch(self, image_id: ImageId, behalf: Behalf) -> None:
        """Waits until an image is here with all its ancestors; raises as `open`."""
        await asyncio.shield(self._join(image_id, behalf).ended)

    async def close(self) -> None:
        """Ends what arrives; nothing of it is left. What has arrived, and is verified, is made an image first."""
        arrived = [flight.ended for flight in self._flights.values() if flight.is_verified]
        if arrived:
            await asyncio.wait(arrived, timeout=END_SECONDS)
        tasks = [*self._tasks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _join(self, image_id: ImageId, behalf: Behalf, lineage: Sequence[ImageId] | None = None) -> Flight:
        flight = self._flights.get(image_id)
        if flight is None:
            flight = self._flights[image_id] = Flight(lineage)
            task = asyncio.create_task(self._fly(image_id, flight, behalf), name=f"mirroring {image_id}")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return flight

    async def _fly(self, image_id: ImageId, flight: Flight, behalf: Behalf) -> None:
        error: BaseException | None = None
        try:
            await self._arrive(image_id, flight, behalf)
        except Unavailable as why:
            error = NotThere(str(why))
        except (ValueError, NotTheSame, NotBelieved) as why:
            error = NotThere(str(self._source.disbelieve_layer(image_id, str(why))))
        except asyncio.CancelledError:
            error = NotThere("this process ends")
            raise
        except Exception as why:  # noqa: BLE001 - whoever waits has it
            error = why
            if not isinstance(why, NotThere | RegistryError | StorageError):
                _log.exception("image %s was not mirrored", image_id)
        finally:
            del self._flights[image_id]
            _settle(flight.begun, False, error)
            _settle(flight.ended, None, error)
            flight.change()
            flight.close_if_left()

    async def _arrive(self, image_id: ImageId, flight: Flight, behalf: Behalf) -> None:
        """Has the image arrive here, or reads what arrives in another process."""
        loop = asyncio.get_running_loop()
        seen: object = None
        since = loop.time()
        while True:
            if seen != (flight.arriving, flight.received):
                seen, since = (flight.arriving, flight.received), loop.time()
            elif loop.time() - since > STUCK_SECONDS:
                raise NotThere("another process has it arrive, and nothing comes there")
            try:
                async with self._images.alone(image_id, patience=0.0 if flight.arriving is None else LOOK_SECONDS):
                    if await self._images.is_whole(image_id):
                        flight.end_whole()
                    elif flight.arriving is not None:
                        raise NotThere("another process has not received all of it")
                    else:
                        await self._receive(image_id, flight, behalf)
                    return
            except LockHeld:
                await self._look(image_id, flight)

    async def _look(self, image_id: ImageId, flight: Flight) -> None:
        """Looks how far another process is."""
        arriving = await self._images.arriving(image_id)
        if arriving is None or (flight.arriving is not None and arriving.layer != flight.arriving.layer):
            await asyncio.sleep(LOOK_SECONDS)
            return
        try:
            received = await self._images.received(image_id, arriving.layer)
            if flight.reader is None:
                flight.reader = await self._images.open(image_id, arriving.layer)
        except PathNotFound:  # it has just become the image's
            await asyncio.sleep(LOOK_SECONDS)
            return
        flight.arriving, flight.received = arriving, received
        flight.begin()
        flight.change()

    async def _receive(self, image_id: ImageId, flight: Flight, behalf: Behalf) -> None:
        async with self._turns:
            found = await self._source.announced(image_id, behalf)
            if found is None:
                raise NotThere("the source does not have it")
            lineage = await self._source.ancestry(found.image, behalf)
            if flight.lineage is not None and lineage != flight.lineage:  # else there might be no end of ancestors
                raise NotThere("its ancestry is not what that of its child says")
            async with self._source.layer(image_id, behalf) as answer:
                if answer is None:
                    raise NotThere("the source does not have its layer")
                size = _size(found, answer.headers.get("Content-Length"))
                async with self._images.receive(found.image, size) as layer:
                    await self._begin(image_id, flight, Arriving(layer.name, size))
                    async with aclosing(_flushing(answer, layer, flight, size)) as pieces:
                        await layer.receive(pieces)
                    payload = layer.payload(found.image.content)
                    if found.checksums and payload not in found.checksums:
                        raise NotBelieved("its layer is not the one that its JSON was announced with")
        try:
            await self._verified(image_id, flight)
            if len(lineage) > 1 and not await self._images.is_whole(lineage[1]):
                await self._fetch_parent(lineage[1:], flight, behalf)
            await self._images.make(found.image, payload, lineage)
        except BaseException:
            await asyncio.shield(self._images.drop(found.image, payload))
            raise
        await self._images.forget(image_id)

    async def _fetch_parent(self, lineage: Sequence[ImageId], flight: Flight, behalf: Behalf) -> None:
        waited_for = self._join(lineage[0], behalf, lineage)
        flight.waits_for = waited_for
        above: Flight | None = waited_for
        while above is not None:
            if above is flight:
                raise NotBelieved("it is its own ancestor")
            above = above.waits_for
        try:
            await asyncio.shield(waited_for.ended)
        finally:
            flight.waits_for = None

    async def _begin(self, image_id: ImageId, flight: Flight, arriving: Arriving) -> None:
        flight.reader = await self._images.open(image_id, arriving.layer)
        flight.arriving = arriving
        flight.begin()

    async def _verified(self, image_id: ImageId, flight: Flight) -> None:
        assert flight.arriving is not None
        flight.end_whole()
        await self._images.note(image_id, flight.arriving)


async def _flushing(
    answer: aiohttp.ClientResponse, layer: StagedLayer, flight: Flight, size: int
) -> AsyncGenerator[Chunk, None]:
    """Yields what arrives, and has those who follow see it."""
    total, shown = 0, 0
    reading: asyncio.Future[bytes] | None = None
    try:
        while total < size or reading is None:
            reading = asyncio.ensure_future(answer.content.readany())
            if total > shown:
                await asyncio.wait([reading], timeout=0.0 if total - shown >= FLUSH_BYTES else FLUSH_SECONDS)
                if not reading.done() or total - shown >= FLUSH_BYTES:
                    await layer.flush()
                    flight.received = shown = total
                    flight.change()
            chunk = await reading
            if not chunk:
                break
            total += len(chunk)
            if total > size:
                break
            yield chunk
    finally:
        if reading is not None:
            reading.cancel()
    if total != size or await answer.content.readany():
        raise NotBelieved(f"its layer is not of {size} bytes, as was announced")


def _size(found: Announced, length: str | None) -> int:
    sizes = {*([] if length is None else [parse_size(length)]), *([] if found.size is None else [found.size])}
    if len(sizes) != 1:
        raise NotBelieved("the source does not say how large its layer is" if not sizes else "it names two sizes")
    return sizes.pop()


def _settle(future: asyncio.Future, value: object, error: BaseException | None = None) -> None:  # type: ignore[type-arg]
    if future.done():
        return
    if error is None:
        future.set_result(value)
        return
    future.set_exception(error)
    future.exception()  # whoever waits has it
