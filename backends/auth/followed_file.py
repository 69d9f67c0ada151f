"""A value that is made of a file, and made again after the file has changed.

Invariant: there is always a value of a file that was whole; one that cannot be read or understood is logged once, and
changes nothing.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

T = TypeVar("T")

LOOK_SECONDS = 1.0
"""How long a file is taken for unchanged without a look at it."""

PATIENCE_SECONDS = 0.5
"""How long a request waits for such a look."""

MAX_BYTES = 8 * 1024 * 1024
_YOUNG_NS = 2_000_000_000

_log = logging.getLogger("portside.auth")

_Version = tuple[int, int, int, int]
"""Device, inode, size, time of change: what differs after a rename, a write, or another link above the file."""


class UnusableFile(Exception):  # noqa: N818 - a message to a person
    """A file cannot be read, or is not what it should be; the message is a sentence that names it."""


class FollowedFile(Generic[T]):
    """A file's value. It is read when this is made.

    Args:
        path: the file.
        parse: makes the value of the content; its ValueError says what is wrong, without any secret.
        what: the file is called this in messages: `auth.token.rootcertbundle`.
        clock: monotonic seconds.

    Raises:
        UnusableFile: there is no first value.
    """

    def __init__(
        self, path: Path, parse: Callable[[bytes], T], *, what: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._path = path
        self._parse = parse
        self._what = what
        self._clock = clock
        self._version: _Version | None = None
        self._digest = b""
        self._refused: _Version | str = ""
        self.value = self._read()
        self._next_look = clock() + LOOK_SECONDS
        self._looking: asyncio.Task[None] | None = None

    async def get(self) -> T:
        """Returns the value, of the file as it was a second ago, or longer where its disk does not answer."""
        if self._looking is None:
            if self._clock() < self._next_look:
                return self.value
            self._looking = asyncio.create_task(asyncio.to_thread(self.look))
            self._looking.add_done_callback(self._looked)
        await asyncio.wait((self._looking,), timeout=PATIENCE_SECONDS)
        return self.value

    def _looked(self, task: asyncio.Task[None]) -> None:
        self._looking = None
        self._next_look = self._clock() + LOOK_SECONDS
        if not task.cancelled() and (fault := task.exception()) is not None:
            _log.error("%s cannot be followed", self._what, exc_info=fault)

    def look(self) -> None:
        """Reads the file again if it has changed; blocks."""
        try:
            version = _version(self._path)
        except OSError as error:
            self._refuse(error.strerror or "it cannot be found", f"it cannot be read ({error.strerror})")
            return
        if version in (self._version, self._refused):
            return
        before = self._digest
        try:
            value = self._read()
        except UnusableFile as error:
            self._refuse(version, str(error))
            return
        self._refused = ""
        if self._digest != before:
            self.value = value
            _log.info("%s has changed and is read again: %s", self._what, self._path)

    def _refuse(self, version: _Version | str, why: str) -> None:
        if self._refused != version:
            self._refused = version
            _log.error("%s has changed, but what was read before still holds: %s", self._what, why)

    def _read(self) -> T:
        """Returns the value of the file as it is now; its version is taken before, so a later write is seen."""
        try:
            version = _version(self._path)
            with self._path.open("rb") as file:
                content = file.read(MAX_BYTES + 1)
        except OSError as error:
            raise UnusableFile(f"{self._what}: {self._path} cannot be read ({error.strerror})") from None
        if len(content) > MAX_BYTES:
            raise UnusableFile(f"{self._what}: {self._path} is larger than {MAX_BYTES} bytes")
        try:
            value = self._parse(content)
        except ValueError as error:
            raise UnusableFile(f"{self._what}: {self._path} is not valid: {error}") from None
        self._digest = hashlib.sha256(content).digest()
        # The kernel's clock for these times is coarse: a second change could bear the time of one that is so young.
        self._version = None if time.time_ns() - version[3] < _YOUNG_NS else version
        return value


def _version(path: Path) -> _Version:
    info = path.stat()
    return info.st_dev, info.st_ino, info.st_size, info.st_mtime_ns
