"""A small file that is replaced as a whole: whoever reads it finds what it was or what it is now."""

from __future__ import annotations

import contextlib
import os

from backends.storage.files import write_all


def replace_file(folder: int, name: str, content: bytes, *, durable: bool) -> None:
    """Writes a file anew, or for the first time. Who has the old one open goes on reading that.

    A process that is killed meanwhile may leave `.<name>.tmp`; the next one writes over it.

    Args:
        folder: an open descriptor of its folder.
        name: of the file.
        content: all of it.
        durable: whether it must survive a power cut when this returns.
    """
    temporary = f".{name}.tmp"
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        fd = os.open(temporary, flags, 0o644, dir_fd=folder)
        try:
            write_all(fd, [content])
            if durable:
                os.fsync(fd)
        finally:
            os.close(fd)
        os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
        if durable:
            os.fsync(folder)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary, dir_fd=folder)
        raise
