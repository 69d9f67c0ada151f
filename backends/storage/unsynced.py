"""Names that a power cut could still take: each process says which folders it is changing, where all others read it.

A name that was made by a rename survives a power cut once its folder was synced. A process that is killed in between
leaves a name that every other process sees and that nobody knows to be in danger; so does a failed sync; and so does,
for a moment, a process that is merely not yet there. Whoever finds such a name and answers a client that relies on it
(its folder, a blob that need not be sent again, a link) would promise what a power cut can break.

So the folder is written down before the rename and struck out after the sync. Each process has one file of slots for
that in `layout.UNSYNCED`, which it keeps locked. Whoever relies on something that it found reads the others' files,
which are almost always empty, and syncs the folders above its find that stand there. Nothing here is synced itself: it
must survive the death of a process, and means nothing after one of the machine.

What other programs write into a volume is not written down; whether that is synced is their promise, not ours.

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

SLOT = 1024
SLOTS = 32
"""One for each thread of the driver, and some for folders whose sync has failed."""

NOWHERE = -1
YOUNG_SECONDS = 60


class UnsyncedNames:
    """What this process and others are changing below one root.

    Args:
        root: an open descriptor of it; whoever opened it closes it.
        sync: syncs a folder, given its path; one that is not there (any more) is fine.
    """

    def __init__(self, root: int, sync: Callable[[str], None]) -> None:
        self._root = root
        self._sync = sync
        self._lock = threading.Lock()
        self._folder = -1
        self._own = -1
        self._own_name = ""
        self._others: dict[str, int] = {}
        self._slots: list[_Slot | None] = [None] * SLOTS

    @contextlib.contextmanager
    def changing(self, folder: str, *, frees_room: bool = False) -> Iterator[_Slot]:
        """Writes down that names in `folder` change; strikes it out at the end.

        Within, say `made` once a name has changed: when something fails after that, such as the sync, it stays written
        down until somebody has synced the folder.

        Args:
            folder: its path.
            frees_room: go on without a note where there is no room for the first one of this process.

        Raises:
            OSError: it cannot be written down; then nothing may be changed.
        """
        try:
            slot = self._take(folder)
        except OSError as error:
            if not frees_room or error.errno not in {errno.ENOSPC, errno.EDQUOT}:
                raise
            slot = _Slot(NOWHERE, folder)
        try:
            yield slot
        except BaseException:
            if slot.made:
                slot.left = True
            else:
                self._free(slot)
            raise
        self._free(slot)

    def sync_above(self, *paths: str, but: str = "") -> None:
        """Syncs those folders above these paths in which a name may be unsynced, but for one that has just been synced.

        Raises:
            OSError: a folder could not be synced; it stays written down.
        """
        with self._lock:
            found = [slot.folder for slot in self._slots if slot is not None]
            if self._open_folder():
                self._read_others(found)
        for folder in dict.fromkeys(found):
            if folder != but and any(path.startswith(f"{folder.rstrip('/')}/") for path in paths):
                self.sync(folder)

    def sync(self, folder: str) -> None:
        """Syncs a folder, and strikes out what was left of it by this process."""
        with self._lock:
            left = [slot for slot in self._slots if slot is not None and slot.left and slot.folder == folder]
        self._sync(folder)
        for slot in left:
            self._free(slot)

    def close(self) -> None:
        """Takes this process's file away, unless a sync has failed; what stays is the next process's to look at."""
        with self._lock:
            if self._own >= 0 and not any(self._slots):
                with contextlib.suppress(OSError):  # read-only by now, or gone
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
                raise OSError(errno.EBUSY, "the folders of too many changes could not be synced", folder) from None
            self._write(content + b"\0", number)
            slot = self._slots[number] = _Slot(number, folder)
            return slot

    def _free(self, slot: _Slot) -> None:
        with self._lock:
            if slot.number != NOWHERE and self._slots[slot.number] is slot:
                self._slots[slot.number] = None
                if self._own >= 0:
                    with contextlib.suppress(FileNotFoundError):  # somebody has removed all of it
                        self._write(b"\0", slot.number)

    def _write(self, content: bytes, number: int) -> None:
        # Opened anew each time: while it is open for writing nobody can remount the volume read-only.
        fd = _open_file(self._own_name, self._folder, os.O_WRONLY)
        try:
            os.pwrite(fd, content, number * SLOT)
        finally:
            os.close(fd)

    def _read_others(self, found: list[str]) -> None:
        names = {name for name in os.listdir(self._folder) if not name.startswith(".")} - {self._own_name}
        for gone in self._others.keys() - names:
            os.close(self._others.pop(gone))
        for name in names:
            fd = self._others.get(name, -1)
            if fd < 0:
                try:
                    fd = self._others[name] = _open_file(name, self._folder, os.O_RDONLY)
                except FileNotFoundError:
                    continue
            found.extend(_read_slots(fd))

    def _open_folder(self) -> bool:
        """Opens the folder if it is there: else nobody has written down anything."""
        if self._folder >= 0 and os.fstat(self._folder).st_nlink == 0:  # somebody has removed it
            self._let_go()
        if self._folder < 0:
            with contextlib.suppress(FileNotFoundError):
                self._folder = open_folders(self._root, layout.UNSYNCED)
        return self._folder >= 0

    def _open(self) -> None:
        """Opens this process's own file, and makes it when it is first needed and when somebody has removed it."""
        if self._own >= 0 and os.fstat(self._own).st_nlink > 0:
            return
        self._let_go()
        self._folder = make_folders(self._root, layout.UNSYNCED)
        self._clean()
        self._own_name, self._own = _make_file(self._folder)
        for slot in self._slots:
            if slot is not None:
                self._write(slot.folder.encode() + b"\0", slot.number)

    def _let_go(self) -> None:
        for fd in (self._folder, self._own, *self._others.values()):
            if fd >= 0:
                os.close(fd)
        self._folder = self._own = -1
        self._others = {}

    def _clean(self) -> None:
        """Syncs what processes that died were changing, and takes their files away."""
        for name in os.listdir(self._folder):
            try:
                fd = _open_file(name, self._folder, os.O_RDONLY)
            except FileNotFoundError:
                continue
            try:
                if name.startswith(".") and time.time() - os.fstat(fd).st_ctime < YOUNG_SECONDS:
                    continue  # a process is just making it
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                for folder in _read_slots(fd):
                    self._sync(folder)
                os.unlink(name, dir_fd=self._folder)
            except (BlockingIOError, FileNotFoundError):
                continue  # its process lives, or another one was quicker
            finally:
                os.close(fd)


class _Slot:
    """A folder that is written down.

    Attributes:
        made: a name in it has changed.
        left: and whoever changed it has gone without a sync.
    """

    __slots__ = ("folder", "left", "made", "number")

    def __init__(self, number: int, folder: str) -> None:
        self.number = number
        self.folder = folder
        self.made = False
        self.left = False


def _make_file(folder: int) -> tuple[str, int]:
    """Makes a file of empty slots; it is locked before it has its name, so nobody takes its process for dead.

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
