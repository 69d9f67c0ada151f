"""What is known not to be there: paths that are asked for again and again, and are absent on most volumes.

A look for something absent costs as much as a look for something present. But nothing can appear in a folder without
changing the folder's times. So as long as the deepest folder above an absent path does not change, the path is absent,
and an open descriptor tells that for a fraction of a look.

Whoever renames a folder further above changes nothing of that folder, so what is known is found out anew, in a thread,
every second or two.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any
from weakref import WeakValueDictionary, ref

from backends.dependencies import Question
from backends.model.cache import Cache
from backends.storage.cached_reads import Opener

Submit = Callable[..., asyncio.Future[Any]]
OpenFolder = Callable[[bytes], int]

KNOWN_SECONDS = 1.0
RACY_SECONDS = 2
"""A folder's time of change tells every change from the one before only after so long."""

BOUND = 256
"""So many sets of paths are known at once; each may keep as many folders open as it has paths."""


class Absences:
    """The absent paths below one root.

    Args:
        opener: opens what is below the root.
        submit: starts work in a thread.
    """

    def __init__(self, opener: Opener, submit: Submit) -> None:
        self._opener = opener
        self._submit = submit
        self._known: Cache[tuple[str, ...], _Known] = Cache(bound=BOUND)
        self._folders: WeakValueDictionary[str, _Folder] = WeakValueDictionary()
        self._keeping = threading.Lock()

    def are_absent(self, paths: tuple[str, ...]) -> bool:
        """Whether surely none of some paths exists; it never waits for a disk.

        Args:
            paths: what is asked for together, always in this order; it becomes known when it is asked for often.
        """
        now = time.monotonic()
        try:
            known = self._known[paths]
        except KeyError:
            known = _Known()
            self._known.put(paths, known)
        try:
            for folder in known.folders:
                if os.fstat(folder.fd).st_ctime_ns != folder.changed:
                    known.folders = ()
                    break
        except OSError:  # another machine has removed it from a volume that both have mounted
            known.folders = ()
        if now > known.until + KNOWN_SECONDS:  # what is asked for seldom is not worth more than a look
            known.until, known.folders = now, ()
        elif now > known.until:
            known.until = now + KNOWN_SECONDS
            found = self._find_at_once(paths)
            if found is None:
                self._submit(self._find, paths).add_done_callback(partial(_learn, known))
            else:
                known.folders = found
        return bool(known.folders)

    def still_absent(self, paths: tuple[str, ...]) -> Question:
        """Returns the question whether surely none of some paths exists, which is known now."""
        known = ref(self._known[paths])  # it must not keep folders open that are forgotten

        def ask() -> bool:
            found = known()
            if found is None or not found.folders or time.monotonic() > found.until:
                return self.are_absent(paths)
            for folder in found.folders:  # noqa: SIM110 - the quick way to the same
                if os.fstat(folder.fd).st_ctime_ns != folder.changed:
                    return False
            return True

        return ask

    def close(self) -> None:
        """Forgets all, and closes the folders."""
        self._known = Cache(bound=BOUND)

    def _find_at_once(self, paths: Sequence[str]) -> Sequence[_Folder] | None:
        """Finds what `_find` does in what the kernel has in memory; None where that takes a thread.

        In a busy process a thread takes some hundred milliseconds for it: it waits for its turn after each call.
        """
        if not self._opener.cached:
            return None
        try:
            return self._find(paths, self._open_cached)
        except BlockingIOError:
            return None

    def _open_cached(self, path: bytes) -> int:
        fd = self._opener.open_cached(path)
        if fd < 0:
            raise BlockingIOError
        return fd

    def _open(self, path: bytes) -> int:
        return self._opener.open(path, os.O_RDONLY | os.O_DIRECTORY)

    def _find(self, paths: Sequence[str], open_folder: OpenFolder | None = None) -> Sequence[_Folder]:
        """Returns the folders that prove that all paths are absent; none where one is there.

        Args:
            paths: as in `are_absent`.
            open_folder: opens a path; None where it may block, in a thread.

        Raises:
            BlockingIOError: it takes a thread.
        """
        found: dict[_Folder, None] = {}
        for path in paths:
            folder = self._deepest(path, open_folder or self._open)
            if folder is None:
                return ()
            found[folder] = None
        return tuple(found)

    def _deepest(self, path: str, open_folder: OpenFolder) -> _Folder | None:
        """Returns the deepest folder above an absent path; None where the path is there, or may be made unseen."""
        above, fd, changed = "", -1, 0
        try:
            for part in ("", *path[1:].split("/")):
                below = f"{above}/{part}" if above else part
                try:
                    found = open_folder(below.encode() or b".")
                except FileNotFoundError:
                    return self._keep(above, fd, changed)
                if fd >= 0:
                    os.close(fd)
                above, fd, changed = below, found, os.fstat(found).st_ctime_ns
        except BlockingIOError:
            raise
        except OSError:  # there is something, or it cannot be told
            return None
        finally:
            if fd >= 0:
                os.close(fd)
        return None

    def _keep(self, path: str, fd: int, changed: int) -> _Folder | None:
        """Returns a folder as it was; None if it has changed so lately that it may change again without being seen."""
        if time.time_ns() - changed < RACY_SECONDS * 1_000_000_000:
            return None
        with self._keeping:
            kept = self._folders.get(path)
            if kept is None or kept.changed != changed or not os.path.sameopenfile(kept.fd, fd):
                kept = self._folders[path] = _Folder(os.dup(fd), changed)
            return kept


def _learn(known: _Known, finding: asyncio.Future[Sequence[_Folder]]) -> None:
    if not finding.cancelled():
        known.folders = finding.result()


class _Folder:
    """An open folder.

    Attributes:
        fd: keeps it open.
        changed: when it was changed last; unlike the time of modification, nobody can set that back.
    """

    __slots__ = ("__weakref__", "changed", "fd")

    def __init__(self, fd: int, changed: int) -> None:
        self.fd = fd
        self.changed = changed

    def __del__(self) -> None:
        os.close(self.fd)


class _Known:
    """What is known of a set of paths.

    Attributes:
        until: when it is to be found out anew, by `time.monotonic`.
        folders: while none of these changes, none of the paths exists; no folders if that is not known.
    """

    __slots__ = ("__weakref__", "folders", "until")

    def __init__(self) -> None:
        self.until = 0.0
        self.folders: Sequence[_Folder] = ()
