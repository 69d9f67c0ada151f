"""Listing folders: sorted, cached while the folder does not change, without symbolic links that cannot be used.

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
from collections.abc import Iterator, Sequence

from backends.model.cache import Cache
from backends.storage.cached_reads import Opener
from backends.storage.temporary_files import is_temporary

NAMES_KEPT = 500_000
"""Of all folders together: some 60 MB of digests at most, however many folders are listed."""

RACY_MTIME_SECONDS = 2

_NOTHING_THERE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EXDEV, errno.ENAMETOOLONG, errno.EACCES})


class Listings:
    """Lists folders; called in threads.

    Args:
        opener: opens what is below the root.
    """

    def __init__(self, opener: Opener) -> None:
        self._opener = opener
        self._kept: Cache[str, tuple[_Version, tuple[str, ...]]] = Cache(bound=NAMES_KEPT, weigh=_count)
        self._keeping = threading.Lock()

    def list(self, path: str) -> Sequence[str]:
        """Returns the names in a folder, sorted bytewise, without temporary files.

        Raises:
            OSError: it cannot be opened.
        """
        fd = self._opener.open(path[1:].encode() or b".", os.O_RDONLY | os.O_DIRECTORY)
        try:
            version, changed = _version(fd)
            with self._keeping, contextlib.suppress(KeyError):
                known, names = self._kept[path]
                if known == version:
                    return names
            with os.scandir(fd) as entries:
                found = [(entry.name, entry.is_symlink()) for entry in entries if not is_temporary(entry.name)]
        finally:
            os.close(fd)
        links = [name for name, is_link in found if is_link]
        plain = (name for name, is_link in found if not is_link)
        if links:  # not cached: what they lead to may change while this folder does not
            return tuple(sorted([*plain, *self._usable(path, links)]))
        listing = tuple(sorted(plain))
        if time.time_ns() - changed > RACY_MTIME_SECONDS * 1_000_000_000:  # later changes get another time
            with self._keeping:
                self._kept.put(path, (version, listing))
        return listing

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


def _count(path: str, kept: tuple[_Version, tuple[str, ...]]) -> int:  # noqa: ARG001 - as the cache calls it
    return 1 + len(kept[1])


def _and_those_above(path: str) -> Iterator[str]:
    while path not in {"", "/"}:
        yield path
        path = path.rpartition("/")[0]
    yield "/"
