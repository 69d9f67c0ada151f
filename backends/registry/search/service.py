"""A search: reads the index, looks up what is shown of it, and has the index kept up.

Invariants:
- what is shown is there, and its caller may pull it, when the answer is made;
- what any process of the installation has pushed before a search is found by it;
- no request waits for the index but the first, when there is none.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from backends.model.errors import RegistryError
from backends.registry.changed_repositories import ChangedRepositories
from backends.registry.exclusive_lock import exclusive_lock
from backends.registry.manifests import parse_off_loop
from backends.registry.search.described import Described
from backends.registry.search.matching import match
from backends.registry.search.repositories import all_repositories, which_exist
from backends.registry.search.snapshot import (
    Changes,
    Snapshot,
    decode_changes,
    decode_snapshot,
    encode_snapshot,
    new_changes,
)
from backends.registry.search.texts import Texts
from backends.registry.visible import Visible
from backends.storage import layout
from backends.storage.driver import InvalidPath, PathNotFound, StorageError, StorageFull, StorageReadOnly
from backends.storage.locks import LockHeld
from backends.storage.storage import Storage

EVERY_SECONDS = 60.0
"""Who searches has the storage gone through again so often, for what other programs have done to it ..."""

TIMES_AS_LONG = 100
"""... but not more often than after so many times as long as that takes."""

DESCRIBED_EVERY_SECONDS = 3600.0
"""So often descriptions are looked up again of what nobody has changed."""

REST = 3.0
"""What is done in the background rests so many times as long as it works ..."""

REST_BETWEEN, LONGEST_REST_SECONDS = 10.0, 30.0
"""... and, once it is up to date, so many times as long as that took, but not longer."""

AT_ONCE = 200
"""At least so many repositories are looked up before the index is written again."""

SEARCHES_AT_ONCE = 4
"""So many hold all names in memory. Others wait, and lose nothing by it: most of a search is work of one core."""

MATCHED_AT_ONCE = 1000
"""More names are compared, or prepared, in a thread."""

KEPT_BYTES = 512 * 1024
"""An index on disk up to this size, that of some ten thousand repositories, stays in memory between searches."""

WRITES = 20
"""So many times it is written, at most, while all its descriptions are looked up."""

NOTED_AS_GONE = 64
"""So many that another program has removed a search notes for all processes; of more, the storage is gone through."""

CHECKED_CHANGES = 256
"""So many changed repositories are looked up by every search; of more, only those that it shows."""

_log = logging.getLogger("portside.search")


@dataclass(frozen=True, slots=True)
class Found:
    """A page of what a search finds.

    Attributes:
        total: how many repositories are found in all. It may count one that another program has deleted.
        results: names, as v2 calls them where it can, and descriptions.
    """

    total: int
    results: Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class _State:
    """What is known of all repositories.

    Attributes:
        snapshot: as they were.
        changes: what was changed since; None where nobody writes that down.
    """

    snapshot: Snapshot
    changes: Changes | None

    def changed(self) -> dict[str, None]:
        return {} if self.changes is None else self.changes.names(self.snapshot.offset)


@dataclass(frozen=True, slots=True)
class _Kept:
    """What one process keeps of the index on disk between searches.

    Attributes:
        looks: how the file looked, size and time; another process replaces it.
        texts: what a term is looked for in for who may pull everything.
        is_described: whether no description is to be looked up.
    """

    looks: tuple[int, float]
    snapshot: Snapshot
    texts: Texts
    is_described: bool


class Search:
    """Finds repositories of one store.

    Args:
        storage: v2's root, where the index is.
        v1_storage: v1's, which may be the same.
        described: looks up descriptions.
        changes: where changed repositories are written down.
        writes: whether anything may be written; otherwise the index is in memory.
    """

    def __init__(
        self,
        storage: Storage,
        v1_storage: Storage,
        *,
        described: Described,
        changes: ChangedRepositories,
        writes: bool = True,
    ) -> None:
        self._driver = storage.driver
        self._v1_driver = v1_storage.driver
        self._locks = storage.locks
        self._described = described
        self._changes = changes
        self._writes = writes
        self._turns = asyncio.Semaphore(SEARCHES_AT_ONCE)
        self._unwritten: Snapshot | None = None
        self._kept: _Kept | None = None
        self._first: asyncio.Task[_State] | None = None
        self._upkeep: asyncio.Task[None] | None = None
        self._rests_until = 0.0
        self._misses_many = False

    async def find(self, term: str, *, start: int, limit: int, visible: Visible | None = None) -> Found:
        """Returns a page of the repositories whose names or descriptions have a term in them, as `match` orders them.

        Args:
            term: what is looked for.
            start: how many are passed over.
            limit: how many are returned at most.
            visible: which there are for whoever asks; None for all.

        Raises:
            StorageError: the storage cannot be read.
            RegistryError: UNAVAILABLE: another process has been making the index for very long.
        """
        async with self._turns:
            return await self._find(term, start=start, limit=limit, visible=visible)

    async def _find(self, term: str, *, start: int, limit: int, visible: Visible | None) -> Found:
        state = await self._read() or await self._made_first()
        snapshot = await self._with_changes(state)
        places = await self._matching(snapshot, term, visible)
        results: list[tuple[str, str]] = []
        gone: list[str] = []
        while start < len(places) and len(results) < limit:
            some = places[start : start + limit - len(results)]
            start += len(some)
            there = await which_exist(self._driver, self._v1_driver, [snapshot.names[place] for place in some])
            for place, is_there in zip(some, there, strict=True):
                if is_there:
                    results.append((snapshot.names[place], snapshot.descriptions[place][1:]))
                else:
                    gone.append(snapshot.names[place])
        await self._note(gone, state)
        self._keep_up(state)
        return Found(len(places) - len(gone), results)

    async def _note(self, gone: Sequence[str], state: _State) -> None:
        """Has every process know what another program has removed, so that all pages of a search agree."""
        if state.changes is None or len(gone) > NOTED_AS_GONE:
            self._misses_many = self._misses_many or bool(gone)
        else:
            for name in gone:
                await self._changes.note(name)

    async def close(self) -> None:
        """Ends what goes on in the background."""
        for task in (self._first, self._upkeep):
            if task is not None:
                task.cancel()
                with suppress(asyncio.CancelledError, StorageError, RegistryError):
                    await task

    # what is known

    async def _read(self) -> _State | None:
        """Returns what is on disk, or what could not be written there; None where that is nothing, or damaged."""
        if self._unwritten is not None:
            return _State(self._unwritten, None)
        if not self._writes:
            return None
        snapshot = await self._names()
        changes = await self._content(layout.SEARCH_CHANGES)  # later: so it is never older than the names
        if snapshot is None or changes is None:
            return None
        found = decode_changes(changes)
        if snapshot.changes != found.identity or snapshot.offset > found.size:
            self._kept = None
            return None
        return _State(snapshot, found)

    async def _names(self) -> Snapshot | None:
        """Returns what is on disk. It is read again when the file looks otherwise: an older one misses no change."""
        try:
            info = await self._driver.stat(layout.SEARCH_NAMES)
        except (PathNotFound, InvalidPath):
            return None
        looks = info.size, info.modified
        if self._kept is not None and self._kept.looks == looks:
            return self._kept.snapshot
        self._kept = None
        content = await self._content(layout.SEARCH_NAMES)
        snapshot = None if content is None else await parse_off_loop(content, decode_snapshot)
        if snapshot is not None and info.size <= KEPT_BYTES:
            prepare = partial(Texts, snapshot.names, snapshot.descriptions)
            texts = prepare() if len(snapshot.names) <= MATCHED_AT_ONCE else await asyncio.to_thread(prepare)
            self._kept = _Kept(looks, snapshot, texts, next(snapshot.undescribed(), None) is None)
        return snapshot

    async def _content(self, path: str) -> bytes | None:
        try:
            reader = await self._driver.open(path)
        except (PathNotFound, InvalidPath):
            return None
        try:
            return b"".join([bytes(chunk) async for chunk in reader.chunks(0, reader.size)])
        finally:
            reader.close()

    async def _with_changes(self, state: _State) -> Snapshot:
        """Returns all repositories with those that have been changed, each as it is now, unless these are many."""
        changed = list(state.changed())
        if not changed:
            return state.snapshot
        if len(changed) > CHECKED_CHANGES:
            return state.snapshot.changed(there=dict.fromkeys(changed))
        there = await which_exist(self._driver, self._v1_driver, changed)
        snapshot, known = state.snapshot, dict(zip(changed, there, strict=True))
        if all(is_there is snapshot.has(name) for name, is_there in known.items()):
            return snapshot  # they were pushed to: what a search finds and shows is the same
        return snapshot.changed(
            gone=[name for name in changed if not known[name]],
            there={name: None for name in changed if known[name]},
        )

    async def _matching(self, snapshot: Snapshot, term: str, visible: Visible | None) -> Sequence[int]:
        if visible is None and self._kept is not None and self._kept.snapshot is snapshot:
            found = self._kept.texts.match(term, most=MATCHED_AT_ONCE)
            if found is not None:
                return found
        everything = partial(match, snapshot.names, snapshot.descriptions, term, visible=visible)
        return everything() if len(snapshot.names) <= MATCHED_AT_ONCE else await asyncio.to_thread(everything)

    # made, and kept up

    async def _made_first(self) -> _State:
        """Makes the index for all who wait for it; it goes on when they have left."""
        if self._first is None or self._first.done():
            self._first = asyncio.create_task(self._make_first())
        return await asyncio.shield(self._first)

    async def _make_first(self) -> _State:
        if not self._writes:
            return _State(await self._go_through(None, rest=0.0), None)
        async with exclusive_lock(self._locks, layout.SEARCH_LOCK):
            return await self._read() or _State(await self._go_through(await self._names(), rest=0.0), None)

    def _keep_up(self, state: _State) -> None:
        """Has the index brought up to date in the background, where it is not."""
        if self._upkeep is not None and not self._upkeep.done():
            return
        if time.monotonic() < self._rests_until or not (self._is_due(state.snapshot) or self._is_behind(state)):
            return
        self._upkeep = asyncio.create_task(self._bring_up_to_date())

    def _is_due(self, snapshot: Snapshot) -> bool:
        age = time.time() - snapshot.began
        return self._misses_many or not 0 <= age < max(EVERY_SECONDS, TIMES_AS_LONG * snapshot.took)

    def _is_behind(self, state: _State) -> bool:
        if self._kept is not None and self._kept.snapshot is state.snapshot:
            return bool(state.changed()) or not self._kept.is_described
        return bool(state.changed()) or next(state.snapshot.undescribed(), None) is not None

    async def _bring_up_to_date(self) -> None:
        began = time.monotonic()
        try:
            if self._unwritten is not None or not self._writes:
                await self._update()
            else:
                async with self._locks.hold(layout.SEARCH_LOCK):
                    await self._update()
        except LockHeld:
            pass  # another process is at it
        except (StorageError, RegistryError) as error:
            _log.warning("the index of a search is not up to date, and is made anew later: %s", error)
            self._rests_until = time.monotonic() + EVERY_SECONDS
        else:
            now = time.monotonic()
            self._rests_until = now + min(REST_BETWEEN * (now - began), LONGEST_REST_SECONDS)

    async def _update(self) -> None:
        state = await self._read()
        if state is None or self._is_due(state.snapshot):
            await self._go_through(state.snapshot if state is not None else None, rest=REST)
            state = await self._read()
        while state is not None and self._is_behind(state):
            await self._write(await self._looked_up(state))
            state = await self._read()

    async def _go_through(self, before: Snapshot | None, *, rest: float) -> Snapshot:
        """Goes through the storage, and writes the index anew; the lock of the index is held."""
        identity, offset = await self._begin_changes()
        began, started = time.time(), time.monotonic()
        known = {} if before is None else dict(zip(before.names, before.descriptions, strict=True))
        described = before.described if before is not None else began
        if not 0 <= began - described < DESCRIBED_EVERY_SECONDS:
            known, described = {name: "?" + text[1:] for name, text in known.items()}, began
        found: set[str] = set()
        worked = time.monotonic()
        async for some in all_repositories(self._driver, self._v1_driver):
            found.update(some)
            await asyncio.sleep(rest * (time.monotonic() - worked))
            worked = time.monotonic()
        names = sorted(found)
        snapshot = Snapshot(
            names,
            [known.get(name, "?") for name in names],
            identity,
            offset,
            began,
            (time.monotonic() - started) / (1 + rest),
            described,
        )
        self._misses_many = False
        await self._write(snapshot)
        return snapshot

    async def _begin_changes(self) -> tuple[str, int]:
        """Has changes written down from now on; the file's own name, "" where it cannot be, and its size."""
        content = await self._content(layout.SEARCH_CHANGES) if self._writes else None
        if content is not None and (found := decode_changes(content)).identity:
            return found.identity, found.size
        identity = secrets.token_hex(8)
        is_written = await self._write_file(layout.SEARCH_CHANGES, new_changes(identity))
        return identity if is_written else "", len(new_changes(identity))

    async def _looked_up(self, state: _State) -> Snapshot:
        """Returns the index with some of what is changed or not described looked up."""
        snapshot, at_once = state.snapshot, max(AT_ONCE, len(state.snapshot.names) // WRITES)
        offset = snapshot.offset
        if state.changes is not None and state.changed():
            offset = state.changes.end_of(offset, 2 * at_once)
            names = list(state.changes.names(snapshot.offset, offset))
        else:
            names = [name for name, _ in zip(snapshot.undescribed(), range(at_once), strict=False)]
        there = await which_exist(self._driver, self._v1_driver, names)
        gone = [name for name, is_there in zip(names, there, strict=True) if not is_there]
        described: dict[str, str | None] = {}
        worked = time.monotonic()
        for name in set(names).difference(gone):
            described[name] = await self._described.of(name)
            await asyncio.sleep(REST * (time.monotonic() - worked))
            worked = time.monotonic()
        return snapshot.changed(gone=gone, there=described, offset=offset)

    # files

    async def _write(self, snapshot: Snapshot) -> None:
        content = b"" if not snapshot.changes else await asyncio.to_thread(encode_snapshot, snapshot)
        is_written = bool(content) and await self._write_file(layout.SEARCH_NAMES, content)
        self._unwritten = None if is_written else snapshot

    async def _write_file(self, path: str, content: bytes) -> bool:
        """Writes a file of the index; False where nothing can be written, so that it is kept in memory."""
        if not self._writes:
            return False
        try:
            await self._driver.write(path, content, durable=False)
        except (StorageReadOnly, StorageFull, InvalidPath) as error:
            _log.warning("the index of a search is kept in memory: %s", error)
            return False
        return True
