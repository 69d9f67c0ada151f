"""Opening and reading what the kernel has in memory, without waiting for the disk; and opening below one root only.

An event loop must not wait for a disk, and a hop to a thread costs several times the read of a small file. Linux can
distinguish the two cases: `openat2(RESOLVE_CACHED)` (5.12) looks a path up only in the dentry cache, and
`preadv2(RWF_NOWAIT)` reads only from the page cache. `RESOLVE_BENEATH` also keeps symbolic links of a foreign volume
inside the root. Where the kernel, a seccomp profile or the file system does not support this, a thread does it all.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat

_OPENAT2 = 437  # the same number on every architecture
_RESOLVE_NO_MAGICLINKS = 0x02
_RESOLVE_NO_SYMLINKS = 0x04
_RESOLVE_BENEATH = 0x08
_RESOLVE_CACHED = 0x20
_GROWING = os.O_RDWR | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC


class _OpenHow(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


class Opener:
    """Opens files below one root, never outside it.

    Attributes:
        cached: whether `open_cached` is supported here.
        confined: whether the kernel confines symbolic links to the root; otherwise all of them are refused.
    """

    def __init__(self, root_fd: int) -> None:
        self._root = root_fd
        size = ctypes.sizeof(_OpenHow)
        # PyDLL keeps the interpreter's lock: right for a call that cannot block, and twice as fast.
        self._quick = _syscall(ctypes.PyDLL(None, use_errno=True))
        self._patient = _syscall(ctypes.CDLL(None, use_errno=True))
        self._size = size
        beneath = _RESOLVE_BENEATH | _RESOLVE_NO_MAGICLINKS
        # O_NONBLOCK means nothing to files, but without it a named pipe in a foreign volume would block the loop.
        self._read_cached = _OpenHow(os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC, 0, beneath | _RESOLVE_CACHED)
        self._read_cached_address = ctypes.addressof(self._read_cached)
        self._grow_cached = _OpenHow(_GROWING, 0, beneath | _RESOLVE_CACHED)
        self._grow_cached_address = ctypes.addressof(self._grow_cached)
        self._beneath = beneath
        self.confined = self._works(0)
        self.cached = self._works(_RESOLVE_CACHED)

    def _works(self, resolve: int) -> bool:
        how = _OpenHow(os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECTORY, 0, self._beneath | resolve)
        fd = self._quick(_OPENAT2, self._root, b".", ctypes.addressof(how), self._size)
        if fd >= 0:
            os.close(fd)
            return True
        return ctypes.get_errno() == errno.EAGAIN

    def open_cached(self, path: bytes) -> int:
        """Opens a file for reading if the kernel can look up its path in memory.

        Returns:
            a descriptor, or -1 when that takes a thread.

        Raises:
            FileNotFoundError: the kernel knows that there is no such file.
        """
        fd: int = self._quick(_OPENAT2, self._root, path, self._read_cached_address, self._size)
        if fd < 0 and ctypes.get_errno() == errno.ENOENT:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        return fd

    def open_to_write_cached(self, path: bytes) -> int:
        """Opens a file that is there for reading and writing if the kernel can look up its path in memory.

        Nothing but a local file system (`mounts.tells_changes`) opens a file for writing without waiting for others.

        Returns:
            a descriptor, or -1 when that takes a thread, which also says what is wrong.
        """
        fd: int = self._quick(_OPENAT2, self._root, path, self._grow_cached_address, self._size)
        return fd

    def open(self, path: bytes, flags: int, mode: int = 0o644) -> int:
        """Opens anything below the root; may block, so call it in a thread.

        Raises:
            OSError: as `os.open`; EXDEV when a symbolic link leads outside the root.
        """
        if not self.confined:
            return self._walk(path, flags, mode)
        how = _OpenHow(flags | os.O_CLOEXEC, mode if flags & os.O_CREAT else 0, self._beneath)
        while True:
            fd: int = self._patient(_OPENAT2, self._root, path, ctypes.addressof(how), self._size)
            if fd >= 0:
                return fd
            error = ctypes.get_errno()
            if error not in (errno.EAGAIN, errno.EINTR):  # EAGAIN: a rename raced with "..", try again
                raise OSError(error, os.strerror(error), path)

    def is_plain(self, path: bytes) -> bool:
        """Whether a path contains no symbolic link; may block."""
        if not self.confined:
            return True  # it could not have been opened otherwise
        how = _OpenHow(os.O_PATH | os.O_CLOEXEC, 0, self._beneath | _RESOLVE_NO_SYMLINKS)
        fd: int = self._patient(_OPENAT2, self._root, path, ctypes.addressof(how), self._size)
        if fd >= 0:
            os.close(fd)
        return fd >= 0

    def _walk(self, path: bytes, flags: int, mode: int) -> int:
        """Opens a path without openat2, component by component; refuses every symbolic link."""
        *folders, name = path.split(b"/")
        fd = os.dup(self._root) if not folders else os.open(b".", os.O_PATH | os.O_DIRECTORY, dir_fd=self._root)
        try:
            for folder in folders:
                step = os.open(folder, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=fd)
                os.close(fd)
                fd = step
                if stat.S_ISLNK(os.fstat(fd).st_mode):
                    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
            try:
                return os.open(name, flags | os.O_CLOEXEC | os.O_NOFOLLOW, mode, dir_fd=fd)
            except NotADirectoryError:
                if stat.S_ISLNK(os.stat(name, dir_fd=fd, follow_symlinks=False).st_mode):
                    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path) from None
                raise
        finally:
            os.close(fd)


def _syscall(library: ctypes.CDLL) -> ctypes._NamedFuncPointer:
    function = library.syscall
    function.argtypes = [ctypes.c_long, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p, ctypes.c_size_t]
    function.restype = ctypes.c_long
    return function


def read_cached(fd: int, buffer: bytearray | memoryview, offset: int) -> int:
    """Reads from the page cache into `buffer`.

    Returns:
        the number of bytes read (0 at the end of the file), or -1 when it takes a thread to find out.
    """
    try:
        return os.preadv(fd, [buffer], offset, os.RWF_NOWAIT)
    except BlockingIOError:
        return -1
    except OSError as error:
        if error.errno in (errno.EOPNOTSUPP, errno.EINVAL, errno.ESPIPE):  # no page cache, or no file
            return -1
        raise
