"""What is found out about layers: once, whoever asks, in one process of the installation.

Facts are true of a digest for ever. So they are kept: in memory (`facts.py`) and on the volume (`notes.py`). Where
nobody knows them, the layer is read to its end: by one process, which holds its lock; in threads of its own; and on
behalf of all who ask, even when they ask no longer. A process that is killed loses the layer that it was at, not those
before it.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import AsyncExitStack, aclosing, suppress

from backends.model.digest import Digest
from backends.model.image_places import ImagePlace
from backends.model.layers import Compression, LayerFacts, StoredLayer
from backends.model.v1images import parse_stored_checksums
from backends.registry.facts import Facts
from backends.registry.hashing import RunningHash
from backends.registry.layers.errors import UnreadableLayer
from backends.registry.layers.flights import Progress, alone
from backends.registry.layers.looking import look_at
from backends.registry.layers.metering import Meter
from backends.registry.layers.notes import KeptGzips, LayerNotes
from backends.registry.layers.observer import LayerObserver, NoObserver
from backends.registry.layers.reading import LayerSource, Pace, StoredBytes, batches
from backends.registry.layers.settings import LayerSettings
from backends.registry.layers.threads import Threads
from backends.registry.layers.transcoding import Transcoder
from backends.registry.layers.turns import Turns
from backends.registry.layers.upload_meter import UploadMeter
from backends.registry.low_room import require_room
from backends.storage import layout
from backends.storage.completion import run_to_completion
from backends.storage.driver import Chunk, FileInfo, PathNotFound, SlowTee, StorageError, Writer
from backends.storage.storage import Storage

DEFAULTS = LayerSettings()

BACKGROUND_BELOW = 19
REST = 1.0
"""The pass over an old volume rests as long as it works."""


class Layers:
    """What is known of all layers, and what makes it known.

    Args:
        storage: the root of v2's blobs.
        v1_storage: the root of v1's images; the same one, perhaps.
        facts: what is kept in memory.
        settings: what reading a layer may cost.
        writes: whether anything may be written.
        observer: is told what was done.

    Attributes:
        settings: as above.
        turns: where layers are read, for whoever else reads them.
        writes: as above.
    """

    def __init__(
        self,
        storage: Storage,
        v1_storage: Storage,
        facts: Facts,
        settings: LayerSettings = DEFAULTS,
        *,
        writes: bool = True,
        observer: LayerObserver | None = None,
    ) -> None:
        self.settings = settings
        self._storage = storage
        self._v1_storage = v1_storage
        self._facts = facts
        self.writes = writes
        self._observer = observer or NoObserver()
        self._notes = LayerNotes(storage.driver, writes=writes)
        shared = v1_storage is storage
        self._v1_notes = self._notes if shared else LayerNotes(v1_storage.driver, writes=writes)
        self._gzips = KeptGzips(storage)
        self.turns = Turns(settings)
        self._flights, self._slots = self.turns.flights, self.turns.slots
        self._threads, self._demand = self.turns.threads, self.turns.demand
        self._background_threads = Threads(1, below=BACKGROUND_BELOW)
        self._background = Pace(self._threads, self._background_threads, rest=REST)

    # facts

    async def known(self, digest: Digest) -> LayerFacts | None:
        """Returns what is known about a layer, without reading the layer."""
        facts = self._facts.recall(digest, LayerFacts)
        if facts is not None:
            return facts
        facts = await self._facts.find(digest, LayerFacts)
        if facts is None:
            facts = await self._notes.facts(digest)
            if facts is None and self._v1_notes is not self._notes:
                facts = await self._v1_notes.facts(digest)
            if facts is not None:
                await self._facts.put(digest, facts)
        return facts

    async def facts(self, digest: Digest, source: LayerSource, *, patience: float | None = None) -> LayerFacts:
        """Returns what is true of a layer, which is read to its end where nobody knows it.

        Args:
            digest: of its stored bytes.
            source: opens them.
            patience: seconds to wait; None for as long as it takes.

        Raises:
            StillWorking: it takes longer; it goes on.
            UnreadableLayer: it is damaged, or passes a bound.
            PathNotFound: it is not here.
            StorageError: it cannot be read now.
        """
        return await self._find(digest, source, self._demand, patience=patience)

    async def facts_in_background(self, digest: Digest, source: LayerSource) -> LayerFacts:
        """As `facts`, without haste."""
        return await self._find(digest, source, self._background, patience=None)

    async def _find(self, digest: Digest, source: LayerSource, pace: Pace, *, patience: float | None) -> LayerFacts:
        known = await self.known(digest)
        if known is not None:
            return known

        async def work(progress: Progress) -> LayerFacts:
            async with alone(self._storage, layout.layer_lock(digest), progress):
                return await self.known(digest) or await self._measure(digest, source, progress, pace)

        return await self._flights.join(
            ("facts", digest), f"layer {digest}", work, patience=patience, hurried=pace is self._demand
        )

    def begin_meter(self, stored: RunningHash) -> UploadMeter:
        """Returns what finds out about a layer while it is received.

        Args:
            stored: the sha256 of what is received, which takes each chunk before the meter does.
        """
        return UploadMeter(stored, self.settings)

    async def learn(self, digest: Digest, size: int, facts: LayerFacts, *, is_v1: bool = False) -> None:
        """Takes note of what was found out about a layer while it was pushed.

        Args:
            digest: of the layer.
            size: of the layer.
            facts: about it.
            is_v1: whether it lies on the root of v1's images.
        """
        await (self._v1_notes if is_v1 else self._notes).note_facts(digest, facts)
        await self._facts.put(digest, facts)
        self._observer.measured("push", size, facts.raw_size)

    async def _measure(self, digest: Digest, source: LayerSource, progress: Progress, pace: Pace) -> LayerFacts:
        stored, facts = await self._read(digest, source, progress, pace)
        await self._notes.note_facts(digest, facts)
        await self._facts.put(digest, facts)
        self._observer.measured(self._reason(pace), stored.size, facts.raw_size)
        return facts

    async def _read(
        self, digest: Digest | None, source: LayerSource, progress: Progress, pace: Pace
    ) -> tuple[StoredLayer, LayerFacts]:
        stored = StoredBytes(digest)
        meter = self._meter(stored.sha256)

        def take(batch: list[Chunk]) -> None:
            stored.take(batch)
            meter.take(batch)

        async with AsyncExitStack() as stack:
            if pace is self._demand:
                await stack.enter_async_context(self._slots)
            reading = await stack.enter_async_context(aclosing(batches(source, progress)))
            try:
                async for batch in reading:
                    await pace.run(lambda batch=batch: take(batch), progress)  # type: ignore[misc]
                facts = meter.finish()
                return StoredLayer(stored.finish(), stored.size, facts), facts
            except UnreadableLayer:
                self._observer.failed()
                raise

    def _reason(self, pace: Pace) -> str:
        return "demand" if pace is self._demand else "background"

    def _meter(self, stored: RunningHash) -> Meter:
        return Meter(stored, self.settings, is_stopped=self._threads.is_ending)

    # v1

    async def known_v1(self, place: ImagePlace) -> StoredLayer | None:
        """Returns which layer a v1 image has, and what it is, if both are known.

        Raises:
            PathNotFound: it has lost its layer.
        """
        file = await self._v1_storage.driver.stat(layout.v1_image_layer(place))
        return await self._known_v1(place, await self._checksums(place), file)

    async def measure_v1(self, place: ImagePlace, *, patience: float | None = None) -> StoredLayer:
        """Returns which layer a v1 image has, and what it is; it is read to its end where nobody knows.

        Args:
            place: where the image is.
            patience: as in `facts`.

        Raises:
            StillWorking, UnreadableLayer, StorageError: as in `facts`.
            PathNotFound: it has lost its layer.
        """
        return await self._measure_v1(place, self._demand, patience=patience)

    async def measure_v1_in_background(self, place: ImagePlace) -> StoredLayer:
        """As `measure_v1`, without haste."""
        return await self._measure_v1(place, self._background, patience=None)

    async def _measure_v1(self, place: ImagePlace, pace: Pace, *, patience: float | None) -> StoredLayer:
        driver = self._v1_storage.driver
        path = layout.v1_image_layer(place)
        known = await self._known_v1(place, await self._checksums(place), await driver.stat(path))
        if known is not None:
            return known

        async def work(progress: Progress) -> StoredLayer:
            async with alone(self._v1_storage, layout.v1_layer_file_lock(place), progress):
                file, checksums = await driver.stat(path), await self._checksums(place)
                known = await self._known_v1(place, checksums, file)
                if known is not None:
                    return known
                layer, facts = await self._read(None, lambda: driver.open(path), progress, pace)
                await self._v1_notes.note_facts(layer.digest, facts)  # first: without it the next note says too little
                # Otherwise it was pushed again meanwhile, and nobody knows which of both was read.
                if (await driver.stat(path), await self._checksums(place)) == (file, checksums):
                    await self._v1_notes.note_v1_layer(place, checksums, file, layer.digest)
                await self._facts.put(layer.digest, facts)
                self._observer.measured(self._reason(pace), layer.size, facts.raw_size)
                return layer

        return await self._flights.join(
            ("v1", place),
            f"the layer of image {place}",
            work,
            patience=patience,
            hurried=pace is self._demand,
        )

    async def _known_v1(self, place: ImagePlace, checksums: list[str], file: FileInfo) -> StoredLayer | None:
        blob = await self._v1_notes.v1_layer(place, checksums, file)
        if blob is None:
            return None
        facts = await self.known(blob.digest)
        return None if facts is None else StoredLayer(blob.digest, blob.size, facts)

    async def _checksums(self, place: ImagePlace) -> list[str]:
        try:
            return list(parse_stored_checksums(await self._v1_storage.driver.read(layout.v1_image_checksum(place))))
        except PathNotFound:
            return []

    # gzip

    async def gzip_of(
        self, digest: Digest, source: LayerSource, *, diff_id: Digest | None = None, patience: float | None = None
    ) -> StoredLayer:
        """Returns a gzip of what a layer holds: itself if it is one, else one that is made of it once, and kept.

        A gzip that was made lies at `layout.derived_blob`. A layer that is a gzip of something compressed once more
        (FOUND 17) is one of what that holds, where only this is what it must hold. One of a gzip with zeros after it
        (FOUND 19) has none.

        Args:
            digest: of its stored bytes.
            source: opens them.
            diff_id: what it must hold; None where nobody says.
            patience: as in `facts`.

        Raises:
            StillWorking, UnreadableLayer, PathNotFound, StorageError: as in `facts`; UnreadableLayer also where it
                holds something else.
            RegistryError: INSUFFICIENT_STORAGE: there is little room left.
        """
        made = await self._gzips.find(digest)
        if made is None:
            look = await look_at(source)
            is_twice = look.compression is Compression.GZIP
            if is_twice:
                facts = await self.facts(digest, source, patience=patience)
                if diff_id in {None, facts.diff_id}:
                    if not facts.is_padded:
                        return StoredLayer(digest, look.size, facts)
                    is_twice = False

            async def work(progress: Progress) -> StoredLayer:
                async with alone(self._storage, layout.gzip_lock(digest), progress):
                    made = await self._gzips.find(digest)
                    return made or await self._make_gzip(digest, source, diff_id, progress, is_twice=is_twice)

            made = await self._flights.join(("gzip", digest, diff_id), f"layer {digest}", work, patience=patience)
        if diff_id not in {None, made.facts.diff_id}:
            raise _other_content(made.facts.diff_id, diff_id)
        return made

    async def known_gzip(self, digest: Digest) -> StoredLayer | None:
        """Returns the gzip that was made of a layer; None where none was."""
        return await self._gzips.find(digest)

    async def _make_gzip(
        self, digest: Digest, source: LayerSource, diff_id: Digest | None, progress: Progress, *, is_twice: bool
    ) -> StoredLayer:
        if not self.writes:
            raise UnreadableLayer("it would have to be stored in gzip, and nothing is written here", damaged=False)
        require_room(
            self._storage.room,
            refusal="it makes no gzip of this layer, as this client needs it, for now; pull it again",
        )
        driver = self._storage.driver
        temporary = f"{layout.TEMPORARY}/{secrets.token_hex(12)}"
        stored, hashed = StoredBytes(digest), RunningHash()
        outer = self._meter(stored.sha256)
        between = RunningHash()
        transcoder = Transcoder(outer, self._meter(between) if is_twice else None, between)
        async with self._slots:
            try:
                writer = await driver.writer(temporary, tee=SlowTee(hashed.take))
                try:
                    await self._transcode(source, stored, transcoder, writer, progress)
                    await writer.sync()
                finally:
                    await run_to_completion(writer.close())
                stored.finish()
                facts = transcoder.facts()
                if diff_id not in {None, facts.diff_id}:
                    raise _other_content(facts.diff_id, diff_id)
                made = StoredLayer(Digest("sha256", hashed.value.hexdigest()), hashed.offset, facts)
                await run_to_completion(self._gzips.keep(digest, temporary, made))
            except BaseException as error:
                if isinstance(error, UnreadableLayer):
                    self._observer.failed()
                with suppress(StorageError):  # gone already; the first error is reported
                    await run_to_completion(driver.delete(temporary))
                raise
        if not is_twice:
            await self._notes.note_facts(digest, outer.facts())
        await self._notes.note_facts(made.digest, facts)
        self._observer.transcoded(stored.size, made.size)
        return made

    async def _transcode(
        self, source: LayerSource, stored: StoredBytes, transcoder: Transcoder, writer: Writer, progress: Progress
    ) -> None:
        async with aclosing(batches(source, progress)) as reading:
            async for batch in reading:
                await self._threads.run(lambda batch=batch: stored.take(batch))  # type: ignore[misc]
                for chunk in batch:
                    await self._write(transcoder.take(chunk), writer)
        await self._write(transcoder.end(), writer)

    async def _write(self, pieces: Iterator[bytes], writer: Writer) -> None:
        """Writes what a thread makes piece by piece: a few bytes may inflate to many."""
        made: list[bytes] = []

        def step() -> None:
            made.extend([piece] if (piece := next(pieces, b"")) else [])

        while True:
            await self._demand.run(step, Progress(""))
            if not made:
                return
            await writer.write(made.pop())

    def leave(self) -> None:
        """Tells those who wait only for a while that it takes longer; the work goes on until `close`."""
        self._flights.leave()

    async def close(self) -> None:
        """Ends all work, within a piece of it; what was found out so far is kept."""
        self._threads.end()
        self._background_threads.end()
        await self._flights.close()
        await self._threads.close()
        await self._background_threads.close()


def _other_content(found: Digest, wanted: Digest | None) -> UnreadableLayer:
    return UnreadableLayer(f"it holds {found}, and its image's configuration says {wanted}")
