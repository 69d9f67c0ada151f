"""Names that a power cut could still take: each process records which folders it is changing, and all others read it.

A rename survives a power cut once the folder has been synced. If a process is killed in between, or the sync fails,
other processes see the new name and cannot know that it is not durable yet; nor can they while a process has simply not
synced yet. Acknowledging a request that relies on such a name (a blob that need not be uploaded again, a link, a
folder) would promise what a power cut can break.

So a folder is recorded before the rename and cleared after the sync. Each process has a file of slots for that in
`layout.UNSYNCED`, which it keeps locked. Before a process relies on something that exists already, it reads the files
of the others, which are almost always empty, and syncs the recorded folders above it. The records themselves are not
synced: they must survive the death of a process, and mean nothing after a reboot.

Other programs that write to the volume record nothing: how durable their writes are is up to them.

Everything here may wait for the disk, so it is called in threads.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
import threading
import time
from collections.abc import Callable, Iterator

from backends.storage import layout
from backends.storage.folders import make_folders, open_folders
from backends.storage.os_errors import NO_ROOM

SLOT = 1024
SLOTS = 32
"""One for each thread of the driver, and some for folders whose sync has failed."""

NO_SLOT = -1
YOUNG_SECONDS = 60
RACY_MTIME_SECONDS = 2
"""A folder's time of change tells every change from the one before only after so long."""


class UnsyncedNames:
    """The folders that this process and others are changing below one root.

    Args:
        root: an open descriptor of the root, which the caller closes.
        sync: syncs the folder at a path; does nothing if it does not exist.
    """

    def __init__(self, root: int, sync: Callable[[str], None]) -> None:
        self._root = root
        self._sync = sync
        self._lock = threading.Lock()
        self._folder = -1
        self._own = -1
        self._own_name = ""
        self._others: dict[str, int] = {}
        self._others_since = 0
        self._slots: list[_Slot | None] = [None] * SLOTS

    @contextlib.contextmanager
    def changing(self, folder: str, *, frees_room: bool = False) -> Iterator[_Slot]:
        """Records that names in a folder change, until the context is left.

        Set `changed` on the slot once a name has changed. If anything fails after that, such as the sync, the folder
        stays recorded until it has been synced.

        Args:
            folder: its path.
            frees_room: the change frees space, so it goes ahead if there is no space for this process's file of slots.

        Raises:
            OSError: the folder cannot be recorded; then nothing may be changed.
        """
        try:
            slot = self._take(folder)
        except OSError as error:
            if not frees_room or error.errno not in NO_ROOM:
                raise
            slot = _Slot(NO_SLOT, folder)
        try:
            yield slot
        except BaseException:
            if slot.changed:
                slot.abandoned = True
            else:
                self._free(slot)
            raise
        self._free(slot)

    def sync_above(self, *paths: str, but: str = "") -> None:
        """Syncs the folders at and above these paths in which a name may be unsynced.

        Args:
            paths: what the caller is going to rely on; they need not exist. Of a folder, that includes its names.
            but: a folder that the caller has just synced.

        Raises:
            OSError: a folder could not be synced; it stays recorded.
        """
        with self._lock:
            found = [slot.folder for slot in self._slots if slot is not None]
            if self._open_folder():
                self._read_others(found)
        for folder in dict.fromkeys(found):
            if folder != but and any(f"{path}/".startswith(f"{folder.rstrip('/')}/") for path in paths):
                self.sync(folder)

    def sync(self, folder: str) -> None:
        """Syncs a folder, and clears what failed changes of this process have left recorded of it."""
        with self._lock:
            left = [slot for slot in self._slots if slot is not None and slot.abandoned and slot.folder == folder]
        self._sync(folder)
        for slot in left:
            self._free(slot)

    def close(self) -> None:
        """Removes this process's file, unless a sync has failed: then the next process to start deals with it."""
        with self._lock:
            for slot in self._slots:
                if slot is not None:
                    slot.close()
            if self._own >= 0 and not any(self._slots):
                with contextlib.suppress(OSError):  # the volume is read-only by now, or the file is gone
                    os.unlink(self._own_name, dir_fd=self._folder)
            self._let_go()

    def _take(self, folder: str) -> _Slot:
        content = folder.encode()
        if len(content) >= SLOT:
            raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG), folder)
        with self._lock:
            self._open()
            try:
                number = self._slots.index(None)
            except ValueError:
                raise OSError(errno.EBUSY, "too many folders could not be synced", folder) from None
            slot = _Slot(number, folder)
            self._write(slot)
            self._slots[number] = slot
            return slot

    def _write(self, slot: _Slot) -> None:
        # Open for as long as the change takes: a file that is open for writing keeps a volume from being remounted
        # read-only.
        slot.close()
        slot.fd = _open_file(self._own_name, self._folder, os.O_WRONLY)
        os.pwrite(slot.fd, slot.folder.encode() + b"\0", slot.number * SLOT)

    def _free(self, slot: _Slot) -> None:
        with self._lock:
            if slot.number != NO_SLOT and self._slots[slot.number] is slot:
                self._slots[slot.number] = None
                os.pwrite(slot.fd, b"\0", slot.number * SLOT)
                slot.close()

    def _read_others(self, found: list[str]) -> None:
        changed = os.fstat(self._folder).st_mtime_ns
        if changed != self._others_since or time.time_ns() - changed < RACY_MTIME_SECONDS * 1_000_000_000:
            self._open_others()
            self._others_since = changed
        for fd in self._others.values():
            found.extend(_read_slots(fd))

    def _open_others(self) -> None:
        names = {name for name in os.listdir(self._folder) if not name.startswith(".")} - {self._own_name}
        for gone in self._others.keys() - names:
            os.close(self._others.pop(gone))
        for name in names - self._others.keys():
            with contextlib.suppress(FileNotFoundError):
                self._others[name] = _open_file(name, self._folder, os.O_RDONLY)

    def _open_folder(self) -> bool:
        """Opens the folder of files; False if it does not exist, so nothing is recorded."""
        if self._folder >= 0 and os.fstat(self._folder).st_nlink == 0:  # it was removed
            self._let_go()
        if self._folder < 0:
            with contextlib.suppress(FileNotFoundError):
                self._folder = open_folders(self._root, layout.UNSYNCED)
        return self._folder >= 0

    def _open(self) -> None:
        """Opens this process's file; creates it when it is first needed, and when it was removed."""
        if self._own >= 0 and os.fstat(self._own).st_nlink > 0:
            return
        self._let_go()
        self._folder = make_folders(self._root, layout.UNSYNCED)
        self._clean()
        self._own_name, self._own = _make_file(self._folder)
        for slot in self._slots:
            if slot is not None:
                self._write(slot)

    def _let_go(self) -> None:
        for fd in (self._folder, self._own, *self._others.values()):
            if fd >= 0:
                os.close(fd)
        self._folder = self._own = -1
        self._others = {}
        self._others_since = 0

    def _clean(self) -> None:
        """Syncs what processes that died were changing, and removes their files."""
        for name in os.listdir(self._folder):
            try:
                fd = _open_file(name, self._folder, os.O_RDONLY)
            except FileNotFoundError:
                continue
            try:
                if name.startswith(".") and time.time() - os.fstat(fd).st_ctime < YOUNG_SECONDS:
                    continue  # a process is just creating it
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                for folder in _read_slots(fd):
                    self._sync(folder)
                os.unlink(name, dir_fd=self._folder)
            except (BlockingIOError, FileNotFoundError):
                continue  # its process is alive, or another process has just removed it
            finally:
                os.close(fd)


class _Slot:
    """A recorded folder.

    Attributes:
        changed: a name in it has changed.
        abandoned: the change has failed after that, so the folder was not synced.
    """

    __slots__ = ("abandoned", "changed", "fd", "folder", "number")

    def __init__(self, number: int, folder: str) -> None:
        self.number = number
        self.folder = folder
        self.fd = -1
        self.changed = False
        self.abandoned = False

    def close(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


def _make_file(folder: int) -> tuple[str, int]:
    """Creates a file of empty slots, locked before it gets its name, so no process takes this one for dead.

    Returns:
        its name, and a descriptor that keeps it locked.
    """
    name = secrets.token_hex(8)
    temporary = f".{name}.tmp"
    writing = _open_file(temporary, folder, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    locked = -1
    try:
        os.pwrite(writing, bytes(SLOT * SLOTS), 0)  # so that a full disk does not matter later
        locked = _open_file(temporary, folder, os.O_RDONLY)
        fcntl.flock(locked, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        if locked >= 0:
            os.close(locked)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary, dir_fd=folder)
        raise
    finally:
        os.close(writing)
    return name, locked


def _open_file(name: str, folder: int, flags: int) -> int:
    return os.open(name, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644, dir_fd=folder)


def _read_slots(fd: int) -> list[str]:
    content = os.pread(fd, SLOT * SLOTS, 0)
    if not any(content[::SLOT]):
        return []
    slots = (content[start : start + SLOT] for start in range(0, len(content), SLOT))
    return [slot.partition(b"\0")[0].decode() for slot in slots if slot[0]]
