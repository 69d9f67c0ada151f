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

from backends.auth.whole_file import Look, look_at, read_whole

T = TypeVar("T")

LOOK_SECONDS = 1.0
"""How long a file is taken for unchanged without a look at it."""

AHEAD_SECONDS = 0.5
"""The next look begins so much earlier where somebody asks, so that who is asked all the time need not wait for it."""

PATIENCE_SECONDS = 0.5
"""How long a request waits for such a look."""

MAX_BYTES = 8 * 1024 * 1024
YOUNG_SECONDS = 2.0

_log = logging.getLogger("portside.auth")


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
        self._seen: Look | None = None
        self._trouble = ""
        try:
            content = self._read()
        except OSError as error:
            raise UnusableFile(self._unreadable(error)) from None
        self._held = self._judged = _digest(content)
        self.value = self._parsed(content)
        self._next_look = clock() + LOOK_SECONDS
        self._looking: asyncio.Task[None] | None = None

    def is_current(self) -> bool:
        """Whether `value` is of the file as it was a second ago; False where `get` has to wait for a look."""
        now = self._clock()
        if now >= self._next_look:
            return False
        if self._looking is None and now >= self._next_look - AHEAD_SECONDS:
            self._looking = self._begin_look()
        return True

    async def get(self) -> T:
        """Returns the value, of the file as it was a second ago, or longer where its disk does not answer."""
        if not self.is_current():
            if self._looking is None:
                self._looking = self._begin_look()
            await asyncio.wait((self._looking,), timeout=PATIENCE_SECONDS)
        return self.value

    def _begin_look(self) -> asyncio.Task[None]:
        looking = asyncio.create_task(asyncio.to_thread(self.look))
        looking.add_done_callback(self._looked)
        return looking

    def _looked(self, task: asyncio.Task[None]) -> None:
        self._looking = None
        self._next_look = self._clock() + LOOK_SECONDS
        if not task.cancelled() and (fault := task.exception()) is not None:
            _log.error("%s cannot be followed", self._what, exc_info=fault)

    def look(self) -> None:
        """Reads the file again if it has changed; blocks."""
        try:
            if look_at(self._path) == self._seen:
                return
            content = self._read()
        except OSError as error:
            self._seen, self._judged = None, b""  # as soon as it can be read, it is
            self._keep(self._unreadable(error))
            return
        digest = _digest(content)
        if digest == self._judged:
            return
        self._judged = digest
        try:
            value = self._parsed(content)
        except UnusableFile as error:
            self._keep(str(error))
            return
        self._trouble = ""
        if digest != self._held:
            self._held, self.value = digest, value
            _log.info("%s has changed and is read again: %s", self._what, self._path)

    def _keep(self, trouble: str) -> None:
        """Leaves the value as it is; says why, each trouble once."""
        if trouble != self._trouble:
            self._trouble = trouble
            _log.error("%s has changed, but what was read before still holds: %s", self._what, trouble)

    def _read(self) -> bytes:
        content, before, _ = read_whole(self._path, MAX_BYTES)
        # The kernel's clock for these times is coarse: a second change could bear the time of one that is so young.
        self._seen = None if before.age < YOUNG_SECONDS else before
        return content

    def _parsed(self, content: bytes) -> T:
        if len(content) > MAX_BYTES:
            raise UnusableFile(f"{self._what}: {self._path} is larger than {MAX_BYTES} bytes")
        try:
            return self._parse(content)
        except ValueError as error:
            raise UnusableFile(f"{self._what}: {self._path} is not valid: {error}") from None

    def _unreadable(self, error: OSError) -> str:
        return f"{self._what}: {self._path} cannot be read ({error.strerror})"


def _digest(content: bytes) -> bytes:
    return hashlib.sha256(content).digest()
