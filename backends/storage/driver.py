"""The interface that every place for bytes offers, and what it may raise.

Paths are absolute within the driver's root, `/`-separated, built by `layout` alone and never from a client's text.

Invariants every driver keeps (one suite, `tests/contracts/test_storage_driver.py`, holds them all to it):
- what `write`, `move`, `link` and `delete` did when they return survives a power cut, with all folders above it;
- what was there already may not survive one, since whoever made it may have been killed too early: `ensure_durable`;
- a change in a folder that others delete at that moment is done before the deletion or after it, and never fails by it;
- a file appears under its name whole or not at all, except the file behind a `Writer`, which grows;
- a path outside the root is never touched, whatever symbolic links the volume holds.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

Chunk = bytes | bytearray | memoryview

Tee = Callable[[Sequence[Chunk]], None]
"""Is given all that a `Writer` has written, once, in order, where it was written: in a thread of the disk, as a rule.

It is called after the write has succeeded and before anything else is written, so whoever counts or hashes here always
agrees with the file's length.
"""


class StorageError(Exception):
    """Something about storage that a service above turns into its own meaning.

    Attributes:
        transient: whether trying the same again, a little later, may help.
    """

    transient: ClassVar[bool] = False


class PathNotFound(StorageError):  # noqa: N818 - a finding, not a fault; reads as a sentence where caught
    """Nothing has this path (or something that is not a file stands there)."""


class InvalidPath(StorageError):  # noqa: N818
    """This place cannot have such a path, so nothing is there and nothing can be put there, however often one tries.

    Attributes:
        why: half a sentence that may be shown to a client.
    """

    def __init__(self, path: str, why: str) -> None:
        super().__init__(f"{path}: {why}")
        self.why = why


class StorageBusy(StorageError):  # noqa: N818
    """Something is short for the moment, such as descriptors or memory; or others keep changing the same folder."""

    transient = True


class StorageFull(StorageError):  # noqa: N818
    """No space, no inodes, or a quota is used up; nothing became visible."""


class StorageReadOnly(StorageError):  # noqa: N818
    """The place refuses writes: permissions or a read-only mount."""


@dataclass(frozen=True, slots=True)
class FileInfo:
    """What is known of a path: size in bytes, time of last change in seconds since 1970, kind."""

    size: int
    modified: float
    is_directory: bool


class Reader(Protocol):
    """An open file: its content cannot change under the reader, not even by deletion."""

    @property
    def size(self) -> int: ...

    def chunks(self, offset: int, length: int) -> AsyncGenerator[Chunk, None]:
        """Yields `length` bytes from `offset`, in pieces of at most a few hundred KiB.

        Raises:
            StorageError: the file ended early.
        """
        ...

    def close(self) -> None: ...


class Writer(Protocol):
    """A growing file.

    It excludes nobody: who must be alone with a file holds a lock (`locks`).
    """

    @property
    def size(self) -> int:
        """Bytes in the file, what was given to `write` included."""
        ...

    async def write(self, chunk: Chunk) -> None:
        """Takes a chunk (it must not be changed afterwards); waits when the disk is behind.

        Raises:
            StorageFull: the bytes before this chunk are kept, so an upload can be continued.
        """
        ...

    async def flush(self) -> None:
        """Writes everything given so far, so that other readers see it."""
        ...

    async def sync(self) -> None:
        """Like `flush`, and the content survives a power cut."""
        ...

    async def close(self) -> None:
        """Flushes and releases the file. May be called twice."""
        ...


class StorageDriver(Protocol):
    """A place for bytes.

    Attributes:
        boot_id: names the time since the machine was started. What was written without syncing may be trusted only
            until the next reboot, that is while this stays the same.
    """

    boot_id: str

    async def read(self, path: str) -> bytes:
        """Returns a small file whole.

        Raises:
            PathNotFound: nothing there.
        """
        ...

    async def write(self, path: str, content: bytes, *, durable: bool = True) -> None:
        """Creates or replaces a small file, atomically, with the folders above it.

        Args:
            path: the file.
            content: all of it.
            durable: whether it must survive a power cut, and the folder it is in if that is new. Only what can be had
                again may do without.
        """
        ...

    async def open(self, path: str) -> Reader:
        """Opens a file of any size for reading.

        Raises:
            PathNotFound: nothing there.
        """
        ...

    async def writer(self, path: str, *, append: bool = False, durable: bool = True, tee: Tee | None = None) -> Writer:
        """Opens a file for writing, at its end or anew, creating the folders above it.

        Args:
            path: the file.
            append: go on at its end; the file must exist then.
            durable: whether a new file's name must survive a power cut, as in `write`; its bytes do after `sync`.
            tee: sees what is written.

        Raises:
            PathNotFound: `append` and nothing there.
        """
        ...

    async def stat(self, path: str) -> FileInfo:
        """Raises PathNotFound when nothing is there."""
        ...

    async def list(self, path: str) -> Sequence[str]:
        """Returns the names directly below a folder, sorted bytewise; temporary files are left out.

        Raises:
            PathNotFound: no such folder.
        """
        ...

    async def move(self, source: str, target: str) -> None:
        """Gives a file its final name, replacing what has it, durably."""
        ...

    async def delete(self, path: str, *, durable: bool = True) -> None:
        """Removes a file or a whole folder.

        Args:
            path: what is removed.
            durable: whether it must stay away after a power cut.

        Raises:
            PathNotFound: nothing there.
        """
        ...

    async def ensure_durable(self, *paths: str) -> None:
        """Has what is found at these paths, or found missing, survive a power cut.

        To be called before a client is answered who relies on something that was there already. It costs next to
        nothing unless a process was killed in the middle of a change.
        """
        ...

    async def close(self) -> None:
        """Releases what the driver holds."""
        ...
