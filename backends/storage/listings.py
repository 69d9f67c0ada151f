"""Listing folders: sorted, whole or in pages, without symbolic links that cannot be used.

A listing is kept, and what is kept is right at every request: of a small folder as long as the folder does not change,
of a large one by what the kernel says has changed in it (`folder_watches`). So a page of a large folder costs what the
page costs, also while tags are pushed, and whoever pushes them; only the first one reads all names.

A foreign volume may contain symbolic links. One that leads to another place below the root is listed. Left out are
those that are broken or lead out of the root, those that lead to a folder above themselves, and all that are reached
through another link. So a recursive walk always ends, and finds nothing that exists only by going in circles.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import threading
import time
from bisect import bisect_left, insort
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, TypeVar
from weakref import WeakValueDictionary

from backends.model.cache import Cache
from backends.storage.cached_reads import Opener
from backends.storage.temporary_files import is_temporary

if TYPE_CHECKING:
    from backends.storage.folder_watches import Event, FolderWatches

T = TypeVar("T")

NAMES_KEPT = 500_000
"""Of all folders together: some 60 MB of digests at most, however many folders are listed."""

WATCHED_FROM = 1000
"""A folder with so many names is watched: a smaller one is read as fast as it is asked for."""

RACY_MTIME_SECONDS = 2
SCANS_AT_ONCE = 16
FIRST_STEP = 4096

_NOTHING_THERE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EXDEV, errno.ENAMETOOLONG, errno.EACCES})


class Listings:
    """Lists folders; called in threads.

    Args:
        opener: opens what is below the root.
    """

    def __init__(self, opener: Opener) -> None:
        self._opener = opener
        self._kept: Cache[str, _Unchanged | _Watched] = Cache(bound=NAMES_KEPT, weigh=_weigh)
        self._keeping = threading.Lock()
        self._watches: FolderWatches | None = None
        self._watched: WeakValueDictionary[int, _Watched] = WeakValueDictionary()
        self._scans = [threading.Lock() for _ in range(SCANS_AT_ONCE)]

    def list(self, path: str) -> Sequence[str]:
        """Returns the names in a folder, sorted bytewise, without temporary files.

        Raises:
            OSError: it cannot be opened.
        """
        return self._use(path, tuple)

    def page(self, path: str, start: str, limit: int) -> Sequence[str]:
        """Returns the first `limit` names from a text on ("" for the beginning), as `list` does."""

        def cut(names: Sequence[str]) -> Sequence[str]:
            first = bisect_left(names, start)
            return names[first : first + limit]

        return self._use(path, cut)

    def close(self) -> None:
        """Stops watching."""
        with self._keeping:
            if self._watches is not None:
                self._watches.close()

    def _use(self, path: str, use: Callable[[Sequence[str]], T]) -> T:
        """Returns what `use` makes of a folder's names, which may change as soon as it has returned."""
        fd = self._opener.open(path[1:].encode() or b".", os.O_RDONLY | os.O_DIRECTORY)
        try:
            with self._keeping:
                names = self._known(path, fd)
                if names is not None:
                    return use(names)
            with self._scans[hash(path) % SCANS_AT_ONCE]:
                with self._keeping:
                    names = self._known(path, fd)  # another thread may have read it meanwhile
                    if names is not None:
                        return use(names)
                return use(self._scan(path, fd))
        finally:
            os.close(fd)

    # what is known

    def _known(self, path: str, fd: int) -> Sequence[str] | None:
        """Returns what is kept of a folder if it is still right."""
        try:
            kept = self._kept[path]
        except KeyError:
            return None
        if isinstance(kept, _Unchanged):
            return kept.names if kept.version == _version(fd)[0] else None
        for _ in range(2):  # the folder may change between the two lines
            self._follow()
            version = _version(fd)[0]
            if kept.is_current(version):
                break
        else:
            self._kept.forget(path)
            return None
        if kept.links_in(fd) or len(kept.names) > 2 * kept.weight:
            self._kept.forget(path)
            return None
        return kept.names

    def _follow(self) -> None:
        """Takes over what the kernel says has changed."""
        if self._watches is None:
            return
        for event in self._watches.read():
            if event.watch < 0:  # more has happened than the kernel remembers
                for each in list(self._watched.values()):
                    each.end()
                continue
            found = self._watched.get(event.watch)
            if found is not None:
                found.take(event)

    # reading

    def _scan(self, path: str, fd: int) -> Sequence[str]:
        version, changed = _version(fd)
        watched = None
        with os.scandir(fd) as entries:
            found = list(islice(entries, WATCHED_FROM))
        if len(found) == WATCHED_FROM:
            watched = self._watch(path, fd)
            with os.scandir(fd) as entries:
                found = list(entries)
        links = [entry.name for entry in found if entry.is_symlink() and not is_temporary(entry.name)]
        names = [entry.name for entry in found if not is_temporary(entry.name)]
        del found
        if links:  # not kept: what they lead to may change while this folder does not
            return tuple(sorted([*set(names).difference(links), *self._usable(path, links)]))
        names = _sort(names)
        with self._keeping:
            if watched is not None:
                self._follow()
                if watched.begin(names, _version(fd)[0]):
                    self._kept.put(path, watched)
                    return tuple(watched.names)
            if time.time_ns() - changed > RACY_MTIME_SECONDS * 1_000_000_000:  # later changes get another time
                self._kept.put(path, _Unchanged(version, names))
        return names

    def _watch(self, path: str, fd: int) -> _Watched | None:
        from backends.storage.folder_watches import FolderWatches  # noqa: PLC0415 - few volumes have so large folders

        with self._keeping:
            self._kept.forget(path)
            if self._watches is None:
                self._watches = FolderWatches()
            watch = self._watches.add(fd)
            if watch < 0 or watch in self._watched:  # it is being read under another path, by a symbolic link
                return None
            watched = self._watched[watch] = _Watched(watch, self._watches)
            return watched

    def _usable(self, path: str, links: Sequence[str]) -> Iterator[str]:
        if not self._opener.is_plain(path[1:].encode() or b"."):
            return
        above = [self._identify(each) for each in _and_those_above(path)]
        for name in links:
            try:
                found = self._identify(f"{path.rstrip('/')}/{name}")
            except OSError as error:
                if error.errno in _NOTHING_THERE:
                    continue
                raise
            if not stat.S_ISLNK(found.st_mode) and not any(os.path.samestat(found, each) for each in above):
                yield name

    def _identify(self, path: str) -> os.stat_result:
        fd = self._opener.open(path[1:].encode() or b".", os.O_PATH)
        try:
            return os.fstat(fd)
        finally:
            os.close(fd)


_Version = tuple[int, int, int, int]


def _version(fd: int) -> tuple[_Version, int]:
    """Returns what changes whenever a folder does, and when it changed last, in nanoseconds since 1970.

    The time of modification can be set back (by a restored backup), the time of change cannot.
    """
    info = os.fstat(fd)
    return (info.st_dev, info.st_ino, info.st_mtime_ns, info.st_ctime_ns), max(info.st_mtime_ns, info.st_ctime_ns)


class _Unchanged:
    """The names of a folder as long as its version is the same."""

    __slots__ = ("names", "version", "weight")

    def __init__(self, version: _Version, names: Sequence[str]) -> None:
        self.version = version
        self.names = names
        self.weight = 1 + len(names)


class _Watched:
    """The names of a folder that the kernel watches; it stops when nobody refers to this any more.

    Attributes:
        names: sorted; events change it. Empty until `begin`.
        weight: what it counted for when it was kept.
    """

    __slots__ = (
        "__weakref__",
        "_early",
        "_has_begun",
        "_has_changed",
        "_has_ended",
        "_unseen",
        "_version",
        "_watches",
        "names",
        "watch",
        "weight",
    )

    def __init__(self, watch: int, watches: FolderWatches) -> None:
        self.watch = watch
        self.names: list[str] = []
        self.weight = 0
        self._watches = watches
        self._version: _Version = (0, 0, 0, 0)
        self._early: list[Event] = []
        self._unseen: set[str] = set()
        self._has_begun = self._has_ended = self._has_changed = False

    def __del__(self) -> None:
        self._watches.remove(self.watch)

    def begin(self, names: list[str], version: _Version) -> bool:
        """Takes over names that were read since it is watched; False if the kernel does not watch it any more."""
        if self._has_ended:
            return False
        self.names = names
        self.weight = 1 + len(names)
        self._has_begun = True
        for event in self._early:
            self.take(event)
        self._early = []
        self._version = version
        self._has_changed = False
        return True

    def end(self) -> None:
        """Says that events may have been lost, or that there will be no more."""
        self._has_ended = True

    def take(self, event: Event) -> None:
        """Takes over a change."""
        from backends.storage import folder_watches as kernel  # noqa: PLC0415 - it is imported already

        if event.mask & kernel.ENDED:
            self.end()
        elif not self._has_begun:
            self._early.append(event)
        elif event.name and not is_temporary(event.name):
            self._has_changed = True
            place = bisect_left(self.names, event.name)
            is_known = place < len(self.names) and self.names[place] == event.name
            if event.mask & kernel.VANISHED:
                self._unseen.discard(event.name)
                if is_known:
                    del self.names[place]
                return
            if not event.mask & kernel.IS_FOLDER:
                self._unseen.add(event.name)
            if not is_known:
                insort(self.names, event.name)
        else:
            self._has_changed = True

    def is_current(self, version: _Version) -> bool:
        """Whether nothing can have happened to the folder but what the kernel has said."""
        if self._has_ended or version[:2] != self._version[:2]:
            return False
        if version != self._version and not self._has_changed:
            return False  # a file system without events for this change
        self._version = version
        self._has_changed = False
        return True

    def links_in(self, fd: int) -> bool:
        """Whether a symbolic link is among what has appeared in the folder."""
        while self._unseen:
            with contextlib.suppress(FileNotFoundError):
                info = os.stat(self._unseen.pop(), dir_fd=fd, follow_symlinks=False)
                if stat.S_ISLNK(info.st_mode):
                    return True
        return False


def _sort(names: list[str]) -> list[str]:
    """Sorts in steps that each take a few milliseconds at most: the event loop cannot go on during one."""
    size = FIRST_STEP
    while True:
        for start in range(0, len(names), size):
            names[start : start + size] = sorted(names[start : start + size])
        if size >= len(names):
            return names
        size *= 2


def _weigh(path: str, kept: _Unchanged | _Watched) -> int:  # noqa: ARG001 - as the cache calls it
    return kept.weight


def _and_those_above(path: str) -> Iterator[str]:
    while path not in {"", "/"}:
        yield path
        path = path.rpartition("/")[0]
    yield "/"
