"""How far each endpoint is, and what its sender says: two small files for each endpoint.

Everything here may wait for the disk, so it is called in threads. It raises OSError.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict

from backends.notify.locking import is_in_place, try_lock
from backends.notify.log import UNKNOWN, Place, SenderState
from backends.notify.records import HIGHEST
from backends.notify.replacing import replace_file
from backends.storage import layout
from backends.storage.driver import StorageError
from backends.storage.folders import make_folders, open_folders

_PLACE = "place"
_STATE = "state"
_LOCK = "sender"
_FLAGS = os.O_NOFOLLOW | os.O_CLOEXEC
_LARGEST = 64 * 1024

LATEST = 253402300800.0
"""The year 10000: no endpoint has failed since then."""


class Places:
    """The endpoints below one root.

    Args:
        root: an open descriptor of the root, which the caller closes.
    """

    def __init__(self, root: int) -> None:
        self._root = root

    def keys(self) -> Sequence[str]:
        """Returns the endpoints that have a place; sorted."""
        try:
            folder = open_folders(self._root, layout.EVENT_ENDPOINTS)
        except FileNotFoundError:
            return ()
        try:
            return sorted(name for name in os.listdir(folder) if not name.startswith("."))
        finally:
            os.close(folder)

    def read(self, key: str) -> Place | None:
        """Returns how far an endpoint is; None when it has no place yet."""
        content = self._read(key, _PLACE)
        if content is None:
            return None
        return _place(_parsed(content))

    def create(self, key: str, place: Place) -> None:
        """Gives an endpoint its first place, durably with the folders above it; under the log's lock."""
        folder = make_folders(self._root, layout.event_endpoint(key))
        try:
            _write(folder, _PLACE, asdict(place), durable=True)
        finally:
            os.close(folder)

    def write(self, key: str, place: Place, *, lock: int) -> None:
        """Remembers how far an endpoint is, durably.

        Raises:
            StorageError: the lock does not keep others out any more; nothing is written.
        """
        with self._locked_folder(key, lock) as folder:
            _write(folder, _PLACE, asdict(place), durable=True)

    def read_state(self, key: str) -> SenderState:
        """Returns what a sender last said; nothing when that cannot be read."""
        return _state(_parsed(self._read(key, _STATE) or b""))

    def write_state(self, key: str, state: SenderState, *, lock: int) -> None:
        """Tells how a sender does; raises as `write`."""
        with self._locked_folder(key, lock) as folder:
            _write(folder, _STATE, asdict(state), durable=False)

    def last_used(self, key: str) -> float:
        """Returns when an endpoint's sender was last at it, in seconds since 1970."""
        with contextlib.suppress(FileNotFoundError):
            folder = open_folders(self._root, layout.event_endpoint(key))
            try:
                times = [os.stat(name, dir_fd=folder).st_mtime for name in os.listdir(folder)]
            finally:
                os.close(folder)
            return max(times, default=0.0)
        return 0.0

    def lock(self, key: str) -> int | None:
        """Locks an endpoint for the process that sends to it; the lock goes when its process does.

        Returns:
            a descriptor that keeps it locked as long as it is open; None when another one has it.
        """
        folder = self._open(key)
        try:
            return try_lock(folder, _LOCK)
        finally:
            os.close(folder)

    def highest(self) -> int:
        """Returns the highest sequence that a place names; 0 when there is none."""
        places = (self.read(key) for key in self.keys())
        return max((place.sequence for place in places if place is not None), default=0)

    def forget(self, key: str) -> None:
        """Removes an endpoint, unless a process sends to it."""
        lock = self.lock(key)
        if lock is None:
            return
        try:
            self._remove(key)
        finally:
            os.close(lock)

    def _remove(self, key: str) -> None:
        above = open_folders(self._root, layout.EVENT_ENDPOINTS)
        try:
            folder = os.open(key, os.O_RDONLY | os.O_DIRECTORY | _FLAGS, dir_fd=above)
            try:
                for name in os.listdir(folder):
                    os.unlink(name, dir_fd=folder)
            finally:
                os.close(folder)
            os.rmdir(key, dir_fd=above)
            os.fsync(above)
        finally:
            os.close(above)

    def _read(self, key: str, name: str) -> bytes | None:
        try:
            folder = open_folders(self._root, layout.event_endpoint(key))
        except FileNotFoundError:
            return None
        try:
            fd = os.open(name, os.O_RDONLY | _FLAGS, dir_fd=folder)
        except FileNotFoundError:
            return None
        finally:
            os.close(folder)
        try:
            return os.pread(fd, _LARGEST, 0)
        finally:
            os.close(fd)

    @contextlib.contextmanager
    def _locked_folder(self, key: str, lock: int) -> Iterator[int]:
        """Opens an endpoint's folder if it is still the one whose lock is held.

        What is written is written there and nowhere else, even if the folder is removed meanwhile: sequences may begin
        anew, and the old place would pass over events that nobody has sent.
        """
        path = layout.event_endpoint(key)
        try:
            folder = open_folders(self._root, path)
        except FileNotFoundError:
            raise _gone(path) from None
        try:
            if not is_in_place(lock, folder, _LOCK):
                raise _gone(path)
            yield folder
        finally:
            os.close(folder)

    def require_lock(self, key: str, lock: int) -> None:
        """Raises StorageError when the lock does not keep others out any more: its file was removed or moved."""
        if not self.is_locked(key, lock):
            raise _gone(layout.event_endpoint(key))

    def is_locked(self, key: str, lock: int) -> bool:
        """Whether the lock keeps others out."""
        return is_in_place(lock, self._root, f"{layout.event_endpoint(key)}/{_LOCK}")

    def _open(self, key: str) -> int:
        path = layout.event_endpoint(key)
        try:
            return open_folders(self._root, path)
        except FileNotFoundError:
            return make_folders(self._root, path)


def _write(folder: int, name: str, value: dict[str, object], *, durable: bool) -> None:
    replace_file(folder, name, json.dumps(value).encode() + b"\n", durable=durable)


def _parsed(content: bytes) -> object:
    """Returns what a file holds as JSON; None when it is not JSON: a power cut leaves anything."""
    try:
        parsed: object = json.loads(content)
    except (ValueError, RecursionError):
        return None
    return parsed


def _place(found: object) -> Place:
    match found:
        case {"sequence": int(sequence), "dropped_events": int(events), "dropped_pulls": int(pulls)} if all(
            type(each) is int and 0 <= each <= HIGHEST for each in (sequence, events, pulls)
        ):
            return Place(sequence, events, pulls)
        case _:
            return Place(UNKNOWN)


def _state(found: object) -> SenderState:
    match found:
        case {
            "name": str(name),
            "url": str(url),
            "failures": int(failures),
            "failing_since": int() | float() as since,
            "error": str(error),
        } if failures >= 0 and 0 <= since < LATEST:
            return SenderState(name, url, failures, since, error)
        case _:
            return SenderState()


def _gone(folder: str) -> StorageError:
    return StorageError(f"the folder {folder} was removed or moved while it was in use; it is made anew")
