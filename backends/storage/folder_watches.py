"""Learning from the kernel which names in a folder come and go, whichever program changes them (inotify).

The kernel queues an event before the system call that changed a name returns. So who reads the queue after a change was
acknowledged finds its event there. That holds for all programs on this machine and for local file systems; on others a
change made elsewhere causes no event, and they are not watched.

It is called in threads, under the lock of who owns it, but for `remove`.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import logging
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass

CREATED = 0x00000100
DELETED = 0x00000200
MOVED_FROM = 0x00000040
MOVED_TO = 0x00000080
DELETED_SELF = 0x00000400
UNMOUNTED = 0x00002000
IGNORED = 0x00008000
IS_FOLDER = 0x40000000

APPEARED = CREATED | MOVED_TO
VANISHED = DELETED | MOVED_FROM
ENDED = DELETED_SELF | UNMOUNTED | IGNORED

_ONLY_FOLDERS = 0x01000000
_HEADER = struct.Struct("@iIII")  # struct inotify_event: watch, mask, cookie, length of the name
_READ_SIZE = 64 * 1024
_LOCAL = {
    0xEF53: "ext4",
    0x58465342: "xfs",
    0x9123683E: "btrfs",
    0x01021994: "tmpfs",
    0x794C7630: "overlayfs",
    0x2FC12FC1: "zfs",
    0xF2F52010: "f2fs",
    0xCA451A4E: "bcachefs",
}
"""Types of file systems (`statfs`) that only this machine's kernel changes."""

_log = logging.getLogger("portside.storage")


@dataclass(frozen=True, slots=True)
class Event:
    """Something happened to a name in a watched folder, or to the folder itself (then the name is empty)."""

    watch: int
    mask: int
    name: str


class FolderWatches:
    """All watches of one process below one root; made when the first folder is worth one."""

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._fd = -1
        try:
            self._fd = self._call("inotify_init1", os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            _log_refusal(error)

    def add(self, folder: int) -> int:
        """Watches an open folder; the same number for the same folder, -1 where it cannot be watched."""
        if self._fd < 0 or self._type(folder) not in _LOCAL:
            return -1
        mask = APPEARED | VANISHED | DELETED_SELF | _ONLY_FOLDERS
        try:
            return self._call("inotify_add_watch", self._fd, b"/proc/self/fd/%d" % folder, mask)
        except OSError as error:
            _log_refusal(error)
            return -1

    def remove(self, watch: int) -> None:
        """Stops watching; does nothing where the kernel has already."""
        if self._fd >= 0:
            with contextlib.suppress(OSError):
                self._call("inotify_rm_watch", self._fd, watch)

    def read(self) -> Iterator[Event]:
        """Yields what has happened since it was asked last."""
        while self._fd >= 0:
            try:
                content = os.read(self._fd, _READ_SIZE)
            except BlockingIOError:
                return
            at = 0
            while at < len(content):
                watch, mask, _, length = _HEADER.unpack_from(content, at)
                at += _HEADER.size
                yield Event(watch, mask, os.fsdecode(content[at : at + length].rstrip(b"\0")))
                at += length

    def close(self) -> None:
        """Stops watching everything."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            with contextlib.suppress(OSError):
                os.close(fd)

    def _type(self, folder: int) -> int:
        """Returns the type of a folder's file system; 0 where it cannot be found out."""
        found = ctypes.create_string_buffer(256)  # struct statfs begins with it
        try:
            self._call("fstatfs", folder, found)
        except OSError:
            return 0
        return ctypes.c_long.from_buffer(found).value & 0xFFFFFFFF

    def _call(self, name: str, *arguments: object) -> int:
        result: int = getattr(self._libc, name)(*arguments)
        if result < 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code), name)
        return result


def _log_refusal(error: OSError) -> None:
    limits = "; raise fs.inotify.max_user_instances or fs.inotify.max_user_watches"
    _log.warning(
        "a large folder cannot be watched (%s), so a page of its listing takes longer after each change%s",
        error,
        limits if error.errno in {errno.EMFILE, errno.ENOSPC} else "",
    )
