"""Lists of layers' files and changes: made once, whoever asks, kept, and looked through before they are served.

They are kept where docker-registry keeps them, `_files` and `_diff` beside the image, so that either program serves
what the other has made. Where that cannot be written, or the image is one that docker-registry does not know, they are
in `portside/index`. Where nothing may be written, small ones are made for those who ask.
"""

from __future__ import annotations

import hashlib
import logging
import secrets
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import TypeVar

from backends.model.cache import Cache
from backends.model.image_places import ImagePlace
from backends.model.v1files import Row
from backends.registry.layer_lists.changes import Changes, frames
from backends.registry.layer_lists.making import ListMaker
from backends.registry.layer_lists.sinks import KeptInMemory, Sink, require_room_in_memory
from backends.registry.layer_lists.stored import DamagedList, ListReader, changes, rows
from backends.registry.layers.errors import UnreadableLayer
from backends.registry.layers.flights import Progress, alone
from backends.registry.layers.layers import Layers
from backends.registry.layers.reading import LayerSource, batches
from backends.storage import layout
from backends.storage.completion import run_to_completion
from backends.storage.driver import InvalidPath, PathNotFound, Reader, StorageError, StorageReadOnly
from backends.storage.inmemory import MemoryReader
from backends.storage.storage import Storage

T = TypeVar("T")

LOOKED_AT = 10_000
"""So many lists a process remembers to have looked through."""

COMPARED_BYTES = 2 * 1024 * 1024 * 1024
"""So much is read of all lists of a chain, in all passes, to find what an image changes: minutes."""

_log = logging.getLogger("portside.v1")


@dataclass(frozen=True, slots=True)
class ListedLayer:
    """A layer whose files are wanted.

    Attributes:
        key: names its content.
        what: names it in a sentence.
        source: opens it.
        storage: where what is made of it is kept.
        place: the image that docker-registry knows; None where it knows none.
    """

    key: str
    what: str
    source: LayerSource
    storage: Storage
    place: ImagePlace | None = None


@dataclass(frozen=True, slots=True)
class KeptList:
    """A list that is kept, or one in memory."""

    storage: Storage
    path: str
    content: bytearray | None = None

    async def size(self) -> int:
        """Returns its size in bytes; raises as `open`."""
        return len(self.content) if self.content is not None else (await self.storage.driver.stat(self.path)).size

    async def open(self) -> Reader:
        """Opens it.

        Raises:
            PathNotFound: it is gone.
        """
        if self.content is not None:
            return MemoryReader(self.content, "a list of files")
        return await self.storage.driver.open(self.path)


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A list: where it may be kept, the best place first, and what it is called."""

    storage: Storage
    paths: tuple[str, ...]
    what: str
    is_diff: bool

    @property
    def key(self) -> tuple[str, str]:
        return "list", self.paths[-1]


class LayerLists:
    """All lists of a store.

    Args:
        layers: reads layers, and says what that may cost.
    """

    def __init__(self, layers: Layers) -> None:
        self._layers = layers
        self._turns = layers.turns
        self._looked_at: Cache[tuple[str, int, float], bool] = Cache(bound=LOOKED_AT)

    async def files(self, layer: ListedLayer, *, patience: float | None) -> KeptList:
        """Returns the list of a layer's files.

        Args:
            layer: the layer.
            patience: seconds to wait; None for as long as it takes.

        Raises:
            StillWorking: it takes longer; it goes on.
            UnreadableLayer: it is no tar archive, or passes a bound.
            PathNotFound: the layer is not here.
            StorageError, RegistryError: it cannot be made now.
        """
        native = () if layer.place is None else (layout.v1_image_files(layer.place),)
        own = layout.layer_list(_hashed("files", layer.key))
        wanted = _Wanted(layer.storage, (*native, own), f"the list of the files of {layer.what}", is_diff=False)

        async def make(sink: Sink, progress: Progress) -> None:
            await self._list(layer, sink, progress)

        return await self._join(wanted, make, patience)

    async def diff(self, chain: Sequence[ListedLayer], *, patience: float | None) -> KeptList:
        """Returns what a layer changes of those below it; raises as `files`.

        Args:
            chain: the layer, and those below it, the nearest first.
            patience: as there.
        """
        top = chain[0]
        native = () if top.place is None else (layout.v1_image_diff(top.place),)
        own = layout.layer_list(_hashed("diff", *(layer.key for layer in chain)))
        wanted = _Wanted(top.storage, (*native, own), f"the list of what {top.what} changes", is_diff=True)

        async def make(sink: Sink, progress: Progress) -> None:
            lists: list[KeptList] = []
            size = in_memory = 0
            for layer in chain:
                kept = await self.files(layer, patience=None)
                lists.append(kept)
                size += await kept.size()
                in_memory += len(kept.content or b"")
                _require_comparable(size)
                require_room_in_memory(in_memory)
            await self._compare(lists, size, sink, progress)

        return await self._join(wanted, make, patience)

    async def _join(
        self, wanted: _Wanted, make: Callable[[Sink, Progress], Awaitable[None]], patience: float | None
    ) -> KeptList:
        for path in wanted.paths:
            if await self._is_known(wanted.storage, path):
                return KeptList(wanted.storage, path)

        async def work(progress: Progress) -> KeptList:
            async with alone(wanted.storage, layout.layer_list_lock(wanted.paths[-1]), progress):
                return await self._find(wanted, progress) or await self._make(wanted, make, progress)

        return await self._turns.flights.join(wanted.key, wanted.what, work, patience=patience)

    # looking through what is kept

    async def _is_known(self, storage: Storage, path: str) -> bool:
        try:
            file = await storage.driver.stat(path)
        except (PathNotFound, InvalidPath):
            return False
        return (path, file.size, file.modified) in self._looked_at

    async def _find(self, wanted: _Wanted, progress: Progress) -> KeptList | None:
        """Returns the list if it is kept whole."""
        for path in wanted.paths:
            found = KeptList(wanted.storage, path)
            try:
                before = await wanted.storage.driver.stat(path)
                await self._read(found, ListReader(changes if wanted.is_diff else rows(_ignore)), progress)
            except (PathNotFound, InvalidPath):
                continue
            except DamagedList as error:
                _log.warning("%s is damaged on disk (%s); it is made again", path, error)
                continue
            self._looked_at.put((path, before.size, before.modified), value=True)
            return found
        return None

    async def _read(self, kept: KeptList, reader: ListReader, progress: Progress) -> None:
        """Reads a list in a thread, piece by piece."""
        async with aclosing(batches(kept.open, progress)) as reading:
            async for batch in reading:
                await self._turns.demand.run(lambda batch=batch: reader.feed(batch), progress)  # type: ignore[misc]
        reader.end()

    # making

    async def _make(
        self, wanted: _Wanted, make: Callable[[Sink, Progress], Awaitable[None]], progress: Progress
    ) -> KeptList:
        driver = wanted.storage.driver
        if not self._layers.writes or wanted.storage.room.is_low:
            memory = KeptInMemory()
            await make(memory, progress)
            return KeptList(wanted.storage, "", memory.content)
        temporary = f"{layout.TEMPORARY}/{secrets.token_hex(12)}"
        try:
            writer = await driver.writer(temporary)
            try:
                await make(writer, progress)
                await writer.sync()
            finally:
                await run_to_completion(writer.close())
            return await run_to_completion(self._keep(wanted, temporary))
        except BaseException:
            with suppress(StorageError):  # it was moved already; the first error is reported
                await run_to_completion(driver.delete(temporary))
            raise

    async def _keep(self, wanted: _Wanted, temporary: str) -> KeptList:
        driver = wanted.storage.driver
        for path in wanted.paths:
            try:
                await driver.move(temporary, path)
            except (StorageReadOnly, PathNotFound, InvalidPath):  # a folder or a link that nobody follows is there
                if path == wanted.paths[-1]:
                    raise
                _log.debug("%s cannot be written; it is kept in Portside's own folder", path)
                continue
            file = await driver.stat(path)
            self._looked_at.put((path, file.size, file.modified), value=True)
            return KeptList(wanted.storage, path)
        raise AssertionError("a list has a place")

    async def _list(self, layer: ListedLayer, sink: Sink, progress: Progress) -> None:
        maker = ListMaker(self._layers.settings, self._turns.threads.is_ending)
        async with self._turns.slots, aclosing(batches(layer.source, progress)) as reading:
            async for batch in reading:
                pieces = maker.take(batch)
                while piece := await self._step(lambda pieces=pieces: next(pieces, b""), progress):  # type: ignore[misc]
                    await sink.write(piece)
            pieces = maker.end()
            while piece := await self._step(lambda: next(pieces, b""), progress):
                await sink.write(piece)

    async def _compare(self, lists: Sequence[KeptList], size: int, sink: Sink, progress: Progress) -> None:
        top, *below = lists
        found = Changes(has_parent=bool(below))
        async with self._turns.slots:
            await self._each(top, found.count, progress)
            found.counted()
            _require_comparable(size * found.parts)
            for part in range(found.parts):
                found.begin(part)
                await self._each(top, found.want, progress)
                for kept in below:
                    if not await self._step(found.wanted, progress):
                        break
                    await self._each(kept, found.look, progress)
                    found.passed()
            for group, before, after in frames():
                await sink.write(before)
                await self._tell(top, found, group, sink, progress)
                await sink.write(after)

    async def _tell(self, top: KeptList, found: Changes, group: str, sink: Sink, progress: Progress) -> None:
        made = bytearray()
        reader = ListReader(rows(found.teller(group, made.extend)))
        async with aclosing(batches(top.open, progress)) as reading:
            async for batch in reading:
                await self._turns.demand.run(lambda batch=batch: reader.feed(batch), progress)  # type: ignore[misc]
                await sink.write(bytes(made))
                made.clear()
        reader.end()

    async def _each(self, kept: KeptList, take: Callable[[Row], None], progress: Progress) -> None:
        await self._read(kept, ListReader(rows(take)), progress)

    async def _step(self, work: Callable[[], T], progress: Progress) -> T:
        """Returns what a thread makes of one step."""
        made: list[T] = []
        await self._turns.demand.run(lambda: made.append(work()), progress)
        return made[0]


def _require_comparable(size: int) -> None:
    if size > COMPARED_BYTES:
        raise UnreadableLayer(
            f"lists of more than {COMPARED_BYTES} bytes would be gone through to find what it changes; pull the image"
            " and compare there",
            damaged=False,
        )


def _ignore(_: Row) -> None:
    """A list is only looked through."""


def _hashed(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
