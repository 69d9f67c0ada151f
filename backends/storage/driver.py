"""The interface of a storage driver, and the errors that it raises.

Paths are absolute within the driver's root, `/`-separated, built only by `layout` and never from a client's text.

Invariants every driver keeps (one suite, `tests/contracts/test_storage_driver.py`, holds them all to it):
- what `write`, `move`, `link` and `delete` have done when they return survives a power cut, with all folders above it;
- what already existed may not survive one: the process that wrote it may have been killed before its fsync. Call
  `ensure_durable` before relying on it;
- a change in a folder that is deleted concurrently takes effect before or after the deletion, and does not fail;
- a file appears under its name complete or not at all, except the file behind a `Writer`, which grows;
- a path outside the root is never touched, whatever symbolic links the volume holds.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

Chunk = bytes | bytearray | memoryview

Tee = Callable[[Sequence[Chunk]], None]
"""Receives all that a `Writer` writes, once and in order, never two calls at once: in a thread or in the event loop.

It is called after a write has succeeded and before the next one, so a count or a hash that is kept here always agrees
with the file's length.
"""


@dataclass(frozen=True, slots=True)
class SlowTee:
    """A `Tee` that does more than to hash: it is called in the thread that wrote."""

    take: Tee

    def __call__(self, chunks: Sequence[Chunk]) -> None:
        self.take(chunks)


class StorageError(Exception):
    """An error of storage; the services above turn it into their own.

    Attributes:
        transient: whether retrying later may help.
    """

    transient: ClassVar[bool] = False


class PathNotFound(StorageError):  # noqa: N818 - a finding, not a fault; reads as a sentence where caught
    """There is nothing at this path, or something that is not a file."""


class InvalidPath(StorageError):  # noqa: N818
    """This storage cannot have such a path: nothing is there, and nothing can be written there. Retrying never helps.

    Attributes:
        why: the reason, as a clause that may be shown to a client.
    """

    def __init__(self, path: str, why: str) -> None:
        super().__init__(f"{path}: {why}")
        self.why = why


class StorageBusy(StorageError):  # noqa: N818
    """The machine is out of descriptors, memory or locks for now, or others keep changing the same folder."""

    transient = True


class StorageFull(StorageError):  # noqa: N818
    """There is no space, no inode, or no quota left; nothing became visible."""


class StorageReadOnly(StorageError):  # noqa: N818
    """Writing is refused, by permissions or a read-only mount."""


@dataclass(frozen=True, slots=True)
class FileInfo:
    """What `stat` returns: size in bytes, time of last modification in seconds since 1970, kind."""

    size: int
    modified: float
    is_directory: bool


class Reader(Protocol):
    """An open file: what it reads does not change, not even by deletion (but see `LinksFiles.repair`).

    Of one that a `Writer` still appends to, it reads what has been flushed since it was opened, too.
    """

    @property
    def size(self) -> int: ...

    def chunks(self, offset: int, length: int) -> AsyncGenerator[Chunk, None]:
        """Yields `length` bytes from `offset`, in pieces of at most a few hundred KiB.

        Raises:
            StorageError: the file is shorter than that.
        """
        ...

    def close(self) -> None: ...


class Writer(Protocol):
    """A file that grows. It does not exclude other writers: to do that, hold a lock (`locks`)."""

    @property
    def size(self) -> int:
        """Bytes in the file, including what was passed to `write`."""
        ...

    async def write(self, chunk: Chunk) -> None:
        """Appends a chunk, which must not be changed afterwards; waits when the disk is slower.

        Raises:
            StorageFull: what was written before is kept.
        """
        ...

    async def flush(self) -> None:
        """Writes everything so far, so that readers see it."""
        ...

    async def sync(self) -> None:
        """Flushes, and makes the content survive a power cut."""
        ...

    async def close(self) -> None:
        """Flushes and releases the file. May be called twice."""
        ...


class StorageDriver(Protocol):
    """Stores files under paths.

    Attributes:
        boot_id: identifies the current boot of the machine. What was written without a sync may be trusted only until
            the next reboot, that is while this stays the same.
    """

    boot_id: str

    async def read(self, path: str) -> bytes:
        """Returns the whole content of a small file.

        Raises:
            PathNotFound: there is no such file.
        """
        ...

    async def write(self, path: str, content: bytes, *, durable: bool = True) -> None:
        """Creates or replaces a small file, atomically, with the folders above it.

        Args:
            path: the file.
            content: all of it.
            durable: whether the file, and its own folder if that is new, must survive a power cut. False is for what
                can be had again.
        """
        ...

    async def open(self, path: str) -> Reader:
        """Opens a file of any size for reading.

        Raises:
            PathNotFound: there is no such file.
        """
        ...

    async def writer(self, path: str, *, append: bool = False, durable: bool = True, tee: Tee | None = None) -> Writer:
        """Opens a file for writing: a new one, with the folders above it, or at the end of an existing one.

        Args:
            path: the file.
            append: open an existing file at its end.
            durable: whether a new file's name must survive a power cut, as in `write`; its bytes do after `sync`.
            tee: receives what is written.

        Raises:
            PathNotFound: `append`, and there is no such file.
        """
        ...

    async def stat(self, path: str) -> FileInfo:
        """Raises PathNotFound when nothing is there."""
        ...

    async def list(self, path: str) -> Sequence[str]:
        """Returns the names in a folder, sorted bytewise, without temporary files.

        Raises:
            PathNotFound: there is no such folder.
        """
        ...

    async def move(self, source: str, target: str) -> None:
        """Renames a file, durably; replaces `target`.

        Raises:
            PathNotFound: there is no `source`.
        """
        ...

    async def delete(self, path: str, *, durable: bool = True) -> None:
        """Removes a file or a whole folder.

        Args:
            path: the file or folder.
            durable: whether it must stay removed after a power cut.

        Raises:
            PathNotFound: there is nothing at this path.
        """
        ...

    async def ensure_durable(self, *paths: str) -> None:
        """Makes what exists at these paths, or does not exist there, survive a power cut; of a folder, its names too.

        Call it before acknowledging a request that relies on something that this request did not write itself. It costs
        next to nothing unless another process is changing something there, or was killed while it did.
        """
        ...

    async def close(self) -> None:
        """Releases what the driver holds."""
        ...
