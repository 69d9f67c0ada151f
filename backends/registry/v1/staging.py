"""v1 images that are being pushed, by image id: the requests of a push name no session, nor a repository in a path.

Where access is controlled they name one by their token, and are staged by both: no repository can tell what is being
pushed to another.

Any number of clients may push one id at once, to different processes, with the same JSON or another. So no two of them
share a file: each announcement of a JSON and each received layer is a file with a name of its own, and for each pair of
them a *candidate* is recorded under its payload checksum, by which `PUT checksum` says which pair it means.

What is staged need not survive a power cut: it ends every push, and clients begin a push again with its JSON. The bytes
of a layer are synced all the same, since they become the blob.

When one of them has become the image, the other announcements and candidates of the same content stay until their
clients ask for them: their pushes succeed too. Everything else is removed.
"""

from __future__ import annotations

import json
import re
import secrets
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING

from backends.model.digest import Digest, parse_digest
from backends.model.errors import RegistryError
from backends.model.image_places import ImagePlace
from backends.registry.hashing import RunningHash
from backends.registry.no_room import exists
from backends.registry.noted_layer import note_of, noted_facts
from backends.storage import layout
from backends.storage.capabilities import clear
from backends.storage.completion import run_to_completion
from backends.storage.driver import Chunk, PathNotFound, SlowTee, StorageDriver, StorageFull, Writer
from backends.storage.locks import LockHeld
from backends.storage.pouring import write_from
from backends.storage.storage import Storage

if TYPE_CHECKING:
    from backends.model.layers import LayerFacts
    from backends.registry.layers.upload_meter import UploadMeter

BeginMeter = Callable[[RunningHash], "UploadMeter"]
"""Takes the sha256 of what is received, which is always ahead of the meter."""

TEXTS = 4
"""So many different JSON texts of one id are hashed along with a layer: the newest."""

ANNOUNCEMENTS = 64
"""So many announcements of one id are kept: the newest."""

FORGOTTEN_SECONDS = 24 * 3600
"""A client that has been silent for so long is not waited for when an image is complete."""

_ENTRY = re.compile(r"(?:(?P<kind>json|payload)-(?P<key>[0-9a-f]{64})|layer)-(?P<name>(?P<time>\d{20})-[0-9a-f]{8})")


@dataclass(frozen=True, slots=True)
class Candidate:
    """A layer and the JSON it was received for; both together have a payload checksum.

    Attributes:
        staged: where it is staged.
        name: of the layer within the staging of its image.
        content: the JSON.
        digest: of the layer, without the JSON.
        size: of the layer in bytes.
        facts: what was found out about the layer while it was received; None for nothing.
        beside: all that was staged with it when it was found.
    """

    staged: ImagePlace
    name: str
    content: bytes
    digest: Digest
    size: int
    facts: LayerFacts | None = None
    beside: tuple[Entry, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class Entry:
    """A staged file: an announced JSON, a candidate, or a layer.

    Attributes:
        kind: `json`, `payload`, `layer`.
        key: of a JSON its sha256, of a candidate its payload checksum.
        name: of the announcement, or of the layer.
        since: nanoseconds since the epoch.
        file: its name in the folder.
    """

    kind: str
    key: str
    name: str
    since: int
    file: str


class Staging:
    """The staging of all images over one storage.

    Args:
        storage: where.
        begin_meter: makes what finds out about a layer while it is received; None for nobody.
    """

    def __init__(self, storage: Storage, begin_meter: BeginMeter | None = None) -> None:
        self._driver = storage.driver
        self._locks = storage.locks
        self._begin_meter = begin_meter

    async def announce(self, place: ImagePlace, content: bytes) -> None:
        """Records a JSON whose layer is to come; called while the image's lock is held."""
        if await self._is_begun(place):
            entries = await self._entries(place, "json")
            for old in entries[ANNOUNCEMENTS - 1 :]:
                await self._forget(place, old.file)
        key = sha256(content).hexdigest()
        await self._driver.write(layout.v1_staged(place, f"json-{key}-{_new_name()}"), content, durable=False)

    async def is_announced(self, place: ImagePlace) -> bool:
        """Whether somebody is pushing this image, or has begun to."""
        return await self._is_begun(place) and bool(await self._entries(place, "json"))

    async def _is_begun(self, place: ImagePlace) -> bool:
        """Whether anything is staged: a look is cheaper than an empty listing."""
        return await exists(self._driver, layout.v1_staging(place))

    async def texts(self, place: ImagePlace) -> tuple[Sequence[bytes], bool]:
        """Returns the JSON texts that were announced, the newest first, and whether a client may still come back."""
        texts: dict[str, bytes] = {}
        newest = 0
        for entry in await self._entries(place, "json"):
            newest = max(newest, entry.since)
            if entry.key not in texts and len(texts) < TEXTS:
                with suppress(PathNotFound):
                    texts[entry.key] = await self._driver.read(layout.v1_staged(place, entry.file))
        return list(texts.values()), newest >= _forgotten()

    @asynccontextmanager
    async def begin_layer(self, place: ImagePlace, texts: Sequence[bytes]) -> AsyncIterator[StagedLayer]:
        """Begins a layer, which is in progress, and not purged, for as long as the context is entered.

        When anything fails, nothing of it is left.
        """
        name = _new_name()
        async with self._locks.hold(layout.v1_layer_lock(place, name)):
            try:
                async with StagedLayer.begin(self._driver, place, name, texts, self._begin_meter) as layer:
                    yield layer
            except BaseException as error:
                await run_to_completion(self._drop(place, name, texts, ended=isinstance(error, StorageFull)))
                raise

    async def _drop(self, place: ImagePlace, name: str, texts: Sequence[bytes], *, ended: bool) -> None:
        """Removes a layer with its candidates.

        Args:
            place: of the image.
            name: of the layer.
            texts: what it was received for.
            ended: the push ends here, so its announcement is removed too, if it is certain which one it is.
        """
        for entry in await self._entries(place):
            if entry.kind != "json" and entry.name == name:
                await self._forget(place, entry.file)
        if ended and len(texts) == 1:
            await self._forget_announcement(place, texts[0])

    async def give_up(self, place: ImagePlace, candidate: Candidate) -> None:
        """Removes a candidate that cannot become the image, and its announcement; the image's lock is held."""
        await self._drop(place, candidate.name, [candidate.content], ended=True)
        await self.tidy(place)

    async def discard(self, place: ImagePlace, candidate: Candidate) -> None:
        """Removes a candidate that nobody has announced."""
        await self._drop(place, candidate.name, [candidate.content], ended=False)
        await self.tidy_if_free(place)

    async def _forget_announcement(self, place: ImagePlace, text: bytes) -> None:
        """Removes one announcement of a text: each client has made one, and they are interchangeable."""
        key = sha256(text).hexdigest()
        announced = [entry for entry in await self._entries(place, "json") if entry.key == key]
        if announced:
            await self._forget(place, announced[-1].file)

    async def candidate(self, place: ImagePlace, payload: str) -> Candidate | None:
        """Returns the newest candidate with this payload checksum (hex)."""
        entries = await self._entries(place)
        for entry in entries:
            if entry.kind != "payload" or entry.key != payload:
                continue
            try:
                note = json.loads(await self._driver.read(layout.v1_staged(place, entry.file)))
                facts = noted_facts(note)
                digest, content = parse_digest(note["digest"]), note["json"].encode()
                return Candidate(place, entry.name, content, digest, int(note["size"]), facts, tuple(entries))
            except (PathNotFound, ValueError, KeyError, TypeError, RegistryError):
                continue  # taken meanwhile, or not ours
        return None

    def layer(self, place: ImagePlace, name: str | None = None) -> str:
        """Returns the path of a layer: of a received one, or of one that is to be made."""
        return layout.v1_staged(place, f"layer-{name or _new_name()}")

    async def drop_layer(self, place: ImagePlace, name: str) -> None:
        """Removes a layer that came too late to be needed; its candidate stays."""
        await self._forget(place, f"layer-{name}")

    async def finish(self, candidate: Candidate, payload: str) -> None:
        """Removes what a push has used, and all that no client will ask for, now that the image is there.

        What came since the candidate was found is somebody's who will ask for it, or is purged with its age.
        """
        key = sha256(candidate.content).hexdigest()
        announced = [entry.file for entry in candidate.beside if entry.kind == "json" and entry.key == key]
        # Each client has made one, and they are interchangeable; the oldest goes.
        used = {f"payload-{payload}-{candidate.name}", *announced[-1:]}
        before = _forgotten()
        for entry in candidate.beside:
            other_content = entry.kind == "payload" and entry.key != payload
            if entry.kind == "layer" or other_content or entry.since < before:
                used.add(entry.file)
        await clear(self._driver, layout.v1_staging(candidate.staged), sorted(used))

    async def tidy(self, place: ImagePlace) -> None:
        """Removes the folder when it is empty; the image's lock is held, so nothing is added meanwhile."""
        with suppress(PathNotFound):
            if not await self._driver.list(layout.v1_staging(place)):
                await self._driver.delete(layout.v1_staging(place))

    async def tidy_if_free(self, place: ImagePlace) -> None:
        """Does the same for a caller without the image's lock; if another request holds it, that one will tidy up."""
        with suppress(LockHeld):
            async with self._locks.hold(layout.v1_image_lock(place)):
                await self.tidy(place)

    async def _entries(self, place: ImagePlace, kind: str | None = None) -> Sequence[Entry]:
        """Returns what is staged, the newest first."""
        try:
            files = await self._driver.list(layout.v1_staging(place))
        except PathNotFound:
            return ()
        matches = [match for file in files if (match := _ENTRY.fullmatch(file)) is not None]
        entries = [
            Entry(match["kind"] or "layer", match["key"] or "", match["name"], int(match["time"]), match[0])
            for match in matches
        ]
        wanted = [entry for entry in entries if kind is None or entry.kind == kind]
        return sorted(wanted, key=lambda entry: entry.name, reverse=True)

    async def _forget(self, place: ImagePlace, file: str) -> None:
        with suppress(PathNotFound):
            await self._driver.delete(layout.v1_staged(place, file))


class StagedLayer:
    """A layer that is being received, in one pass: written, and hashed as a blob and with each text of its image."""

    def __init__(
        self,
        driver: StorageDriver,
        writer: Writer,
        blob: RunningHash,
        payloads: Mapping[bytes, RunningHash],
        meter: UploadMeter | None,
        *,
        place: ImagePlace,
        name: str,
    ) -> None:
        self._driver = driver
        self._writer = writer
        self._blob = blob
        self._payloads = payloads
        self._meter = meter
        self._place = place
        self.name = name

    async def flush(self) -> None:
        """Has readers see what has been received so far."""
        await self._writer.flush()

    def payload(self, text: bytes) -> str:
        """Returns the payload checksum of a text and all that was received, in hex."""
        return self._payloads[text].value.hexdigest()

    @classmethod
    @asynccontextmanager
    async def begin(
        cls,
        driver: StorageDriver,
        place: ImagePlace,
        name: str,
        texts: Sequence[bytes],
        begin_meter: BeginMeter | None = None,
    ) -> AsyncIterator[StagedLayer]:
        """Makes its file."""
        blob = RunningHash()
        # A payload checksum is over the JSON as it was put, a newline, and the layer as it was put (V1API section 10).
        payloads = {text: RunningHash(prefix=text + b"\n") for text in texts}
        meter = begin_meter(blob) if begin_meter is not None else None

        def tee(chunks: Sequence[Chunk]) -> None:
            for running in (blob, *payloads.values()):
                running.take(chunks)
            if meter is not None:
                meter.take(chunks)

        writer = await driver.writer(layout.v1_staged(place, f"layer-{name}"), durable=False, tee=SlowTee(tee))
        try:
            yield cls(driver, writer, blob, payloads, meter, place=place, name=name)
        finally:
            await run_to_completion(writer.close())

    async def receive(self, chunks: AsyncIterator[Chunk]) -> None:
        """Receives all of it, and records a candidate for each text."""
        await write_from(chunks, self._writer)
        await self._writer.sync()
        digest = f"sha256:{self._blob.value.hexdigest()}"
        facts = self._meter.finish() if self._meter is not None else None
        for text, payload in self._payloads.items():
            note = {"digest": digest, "size": self._writer.size, "json": text.decode(), **note_of(facts)}
            entry = f"payload-{payload.value.hexdigest()}-{self.name}"
            await self._driver.write(layout.v1_staged(self._place, entry), json.dumps(note).encode(), durable=False)


def layer_of(file: str) -> str | None:
    """Returns the name of the layer that a staged file is; None when it is another file."""
    match = _ENTRY.fullmatch(file)
    return match["name"] if match is not None and match["kind"] is None else None


def _forgotten() -> int:
    """Returns the time before which a client was last heard of that is not waited for, as names have it."""
    return time.time_ns() - FORGOTTEN_SECONDS * 1_000_000_000


def _new_name() -> str:
    """Returns a unique name; names sort by time."""
    return f"{time.time_ns():020d}-{secrets.token_hex(4)}"
