"""Whether anybody opens, reads or changes something below a folder: the kernel tells (inotify)."""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_EVERYTHING = 0xFFF
_EVENT = struct.Struct("=iIII")
_LIBC = ctypes.CDLL(None, use_errno=True)


class Watch:
    """What has happened below a folder since it was asked last."""

    def __init__(self, descriptor: int, folders: dict[int, Path]) -> None:
        self._descriptor = descriptor
        self._folders = folders

    def events(self) -> list[str]:
        """The paths that were touched, in the order of touching."""
        try:
            data = os.read(self._descriptor, 1 << 20)
        except BlockingIOError:
            return []
        found, at = [], 0
        while at < len(data):
            number, mask, _, length = _EVENT.unpack_from(data, at)
            name = data[at + _EVENT.size : at + _EVENT.size + length].rstrip(b"\0").decode()
            found.append(f"{self._folders[number] / name} ({mask:#x})")
            at += _EVENT.size + length
        return found


@contextmanager
def watching(folder: Path) -> Iterator[Watch]:
    """Watches a folder and those below it that are there now."""
    descriptor = _LIBC.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
    assert descriptor >= 0, os.strerror(ctypes.get_errno())
    try:
        folders = {}
        for path in (folder, *(each for each in folder.rglob("*") if each.is_dir())):
            number = _LIBC.inotify_add_watch(descriptor, os.fsencode(path), _EVERYTHING)
            assert number >= 0, os.strerror(ctypes.get_errno())
            folders[number] = path
        watch = Watch(descriptor, folders)
        watch.events()
        yield watch
    finally:
        os.close(descriptor)
