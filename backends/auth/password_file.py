"""An htpasswd file that is followed: read anew when it changes, in a thread; a broken one leaves what was there before.

Every use looks at the file's `stat`, as distribution does; those who are known already do it once a millisecond.
"""

from __future__ import annotations

import asyncio
import logging
import math
import os
import time
from collections.abc import Callable

from backends.auth.htpasswd import HtpasswdError, PasswordTable, parse_htpasswd
from backends.auth.schemes import Busy, Failure
from backends.auth.whole_file import Look, NotAFile, look_at, read_whole

MAX_FILE = 16 * 1024 * 1024
YOUNG_SECONDS = 2.0
"""A file's times tell every change from the one before only after so long: it is read once more then."""
RETRY_SECONDS = 10
LOOK_SECONDS = 0.001
"""So long may who is known already go by the last look: no operator is as fast, and a look costs much."""
SHOWN_REMARKS = 5

_log = logging.getLogger("portside.auth")


class PasswordFileError(Exception):
    """A file that cannot be read or understood; `str()` is the end of a sentence that begins with its path."""


def read_password_file(path: str) -> PasswordTable:
    """Reads a file; it may wait for a disk.

    Raises:
        PasswordFileError: it cannot be read, or is not one.
    """
    try:
        content, _, _ = read_whole(path, MAX_FILE)
    except NotAFile:
        raise PasswordFileError("is not a file") from None
    except OSError as error:
        mend = f"; let uid {os.geteuid()} read it" if isinstance(error, PermissionError) else ""
        raise PasswordFileError(f"cannot be read ({error.strerror}){mend}") from None
    if len(content) > MAX_FILE:
        raise PasswordFileError(f"is larger than {MAX_FILE // 2**20} MiB")
    try:
        return parse_htpasswd(content)
    except HtpasswdError as error:
        raise PasswordFileError(f"is not an htpasswd file: {error}") from None


class PasswordFile:
    """The users of a file, as it is now.

    Args:
        path: the file. It may be replaced, written in place, or be a symbolic link that changes.
        clock: seconds, from any beginning.
    """

    def __init__(self, path: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._clock = clock
        self._seen: Look | None = None
        self._table: PasswordTable | None = None
        self._trouble = ""
        self._read_again_at: float | None = None
        self._looked_until = -math.inf
        self._reading: asyncio.Task[PasswordTable] | None = None

    async def table(self) -> PasswordTable:
        """Returns its users: those it had before, where it cannot be read now.

        Raises:
            Busy: it could not be read since this process began.
        """
        table = self.known()
        if table is not None:
            return table
        if self._reading is None:
            self._reading = asyncio.create_task(self._read(self._look()))
            self._reading.add_done_callback(self._was_read)
        return await asyncio.shield(self._reading)

    def known(self) -> PasswordTable | None:
        """Returns its users where it has not changed, which costs no more than a look; None where it must be read."""
        if self._reading is not None:
            return None
        seen = self._seen
        try:
            found = os.stat(self._path)  # noqa: PTH116 - at every request that shows a password, so all in one place
        except OSError:
            is_same = seen is None
        else:
            is_same = (
                seen is not None
                and found.st_ctime_ns == seen.changed
                and found.st_ino == seen.inode
                and found.st_mtime_ns == seen.modified
                and found.st_size == seen.size
                and found.st_dev == seen.device
            )
        if not is_same:
            return None
        if self._read_again_at is not None and self._clock() >= self._read_again_at:
            return None
        return self._table

    def lately_known(self, now: float) -> PasswordTable | None:
        """Returns what `known` returns, or did within LOOK_SECONDS.

        Args:
            now: by the clock.
        """
        if now < self._looked_until:
            return self._table
        table = self.known()
        if table is not None:
            self._looked_until = now + LOOK_SECONDS
        return table

    def _look(self) -> Look | None:
        try:
            return look_at(self._path)
        except OSError:
            return None

    def _was_read(self, reading: asyncio.Task[PasswordTable]) -> None:
        self._reading = None
        if not reading.cancelled():
            reading.exception()  # whoever waits has it; nobody may be left

    async def _read(self, seen: Look | None) -> PasswordTable:
        """Reads it, after it was seen like this."""
        changed = seen != self._seen
        try:
            table = await asyncio.to_thread(read_password_file, self._path)
        except PasswordFileError as error:
            self._tell_trouble(str(error))
            if self._table is None:
                sentence = "the registry cannot read its users; its log says why"
                raise Busy(RETRY_SECONDS, sentence, failure=Failure.UNAVAILABLE) from None
            table = self._table
        else:
            if self._trouble:
                _log.warning("%s can be read again", self._path)
                self._trouble = ""
            if self._table is not None and table != self._table:
                _log.info("%s has changed: %d users", self._path, len(table.entries))
                tell_remarks(self._path, table)
        self._seen, self._table = seen, table
        # What kept it from being read may pass without a trace in its times: no descriptor was left, a disk failed.
        self._read_again_at = self._clock() + YOUNG_SECONDS if changed or self._trouble else None
        return table

    def _tell_trouble(self, trouble: str) -> None:
        if trouble == self._trouble:
            return
        self._trouble = trouble
        then = "" if self._table is None else "; who could log in before still can"
        _log.error("%s %s%s", self._path, trouble, then)


def tell_remarks(path: str, table: PasswordTable) -> None:
    """Logs what has no effect in a file."""
    for remark in table.remarks[:SHOWN_REMARKS]:
        _log.warning("%s: %s", path, remark.sentence)
    more = len(table.remarks) - SHOWN_REMARKS
    if more > 0:
        _log.warning("%s: %d more lines have no effect; `portside htpasswd --list` shows them", path, more)
