"""The file of rules while it is used: read anew when it changes; what cannot be used leaves the rules as they were.

Made by the parent before it forks, and looked at there too, so that a worker that replaces another has the rules that
hold even where the file is broken by then. Nobody has to tell the workers: each looks about once a second.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

from backends.auth.rules import FileRules
from backends.auth.rules_text import MAX_SIZE, RulesError, parse_rules
from backends.auth.whole_file import Look, NotAFile, look_at, read_whole

LOOK_SECONDS = 1.0
SETTLE_SECONDS = 0.2
"""A file that was written a shorter while ago is looked at again before it is read: half of the rules are rules."""
RACY_SECONDS = 2.0
"""What was written a shorter while ago may be written again without a trace in its times: it is read once more."""

_log = logging.getLogger("portside.access")


class UnusableRules(Exception):  # noqa: N818 - said to a person
    """A file of rules that cannot be used; `str()` says why, with its path.

    Attributes:
        mistakes: lines and sentences; none where it cannot be read at all.
    """

    def __init__(self, sentence: str, mistakes: tuple[tuple[int, str], ...] = ()) -> None:
        super().__init__(sentence)
        self.mistakes = mistakes


def read_rules(path: Path) -> FileRules:
    """Reads a file of rules.

    Raises:
        UnusableRules: it cannot be read, or has mistakes.
    """
    content, _, _ = _read(path)
    return _parse(path, content)


class RulesFile:
    """A file of rules.

    Args:
        path: where it is; links are followed each time.

    Attributes:
        rules: those that hold.

    Raises:
        UnusableRules: it cannot be used from the start.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._seen: Look | None
        content, self._seen, _ = _read(path)
        self.rules = _parse(path, content)
        self._held = self._judged = sha256(content).digest()
        self._trouble = ""
        self._settling: tuple[Look, float] | None = None
        self._is_racy = True
        self._lock = asyncio.Lock()

    def current(self) -> FileRules:
        """Returns the rules that hold."""
        return self.rules

    async def watch(self, speaks: Callable[[], bool]) -> None:
        """Looks at the file for ever.

        Args:
            speaks: whether this process is the one that tells what all see.
        """
        while True:
            try:
                await self.refresh(speaks)
            except Exception:  # noqa: BLE001 - the last net: the rules stay as they are, and the file is looked at again
                _log.exception("looking at the rules of access failed")
            await asyncio.sleep(LOOK_SECONDS if self._settling is None else SETTLE_SECONDS)

    async def refresh(self, speaks: Callable[[], bool], *, at_once: bool = False) -> None:
        """Looks at the file, and reads it where it has changed, in a thread.

        Args:
            speaks: as for `watch`.
            at_once: somebody asks for it: it is read as it is, and what is wrong with it is told again.
        """
        async with self._lock:
            news = await asyncio.to_thread(self.look, at_once=at_once)
        if at_once and not news:
            news = self._trouble
        if not news or not speaks():
            return
        if self._trouble:
            _log.error("the rules of access stay as they were: %s", news)
        else:
            _log.info("%s", news)

    def look(self, *, at_once: bool = False) -> str:
        """Looks at the file, and reads it where it has changed; blocks.

        Returns:
            what there is to tell, "" for nothing.
        """
        try:
            now = look_at(self.path)
            if not at_once and not self._is_due(now):
                return ""
            content, now, is_still = _read(self.path)
        except OSError as error:
            return self._keep(f"{self.path} cannot be read ({error.strerror})")
        except UnusableRules as unusable:
            return self._keep(str(unusable))
        if not is_still and not at_once:
            return ""
        self._seen, self._settling = now, None
        self._is_racy = now.age <= RACY_SECONDS
        digest = sha256(content).digest()
        if digest == self._judged:
            return ""
        self._judged = digest
        if digest == self._held:
            self._trouble = ""
            return f"the rules of access in {self.path} are those that hold: it can be used again"
        try:
            self.rules = _parse(self.path, content)
        except UnusableRules as unusable:
            return self._keep(str(unusable), judged=digest)
        self._held, self._trouble = digest, ""
        return f"new rules of access hold: {self.path}, {summary(self.rules)}"

    def _is_due(self, now: Look) -> bool:
        """Whether it has changed, and is not being written any more as far as one can see."""
        if now == self._seen and not self._is_racy:
            self._settling = None
            return False
        if now == self._seen or now.age > SETTLE_SECONDS:
            return True
        # Its time may be of another clock, so how long it has been like this is measured, too.
        if self._settling is None or self._settling[0] != now:
            self._settling = now, time.monotonic()
        return time.monotonic() - self._settling[1] > SETTLE_SECONDS

    def _keep(self, trouble: str, judged: bytes = b"") -> str:
        """Leaves the rules as they are; returns what there is to tell, each mistake once."""
        self._judged = judged
        if not judged:  # it could not be read: as soon as it can be, it is
            self._seen, self._settling = None, None
        if trouble == self._trouble:
            return ""
        self._trouble = trouble
        return trouble


def summary(rules: FileRules) -> str:
    """Returns how many rules and groups there are, in words."""
    counts = ((len(rules.rules), "rule"), (len(rules.groups), "group"), (len(rules.remarks), "remark"))
    return ", ".join(f"{count} {what}{'' if count == 1 else 's'}" for count, what in counts if count)


def _read(path: Path) -> tuple[bytes, Look, bool]:
    """Returns what a file holds, how it looked before it was read, and whether it looked the same after that."""
    try:
        content, before, after = read_whole(path, MAX_SIZE)
    except NotAFile:
        raise UnusableRules(f"{path} is not a file; name the file that holds the rules") from None
    except OSError as error:
        raise UnusableRules(f"{path} cannot be read ({error.strerror}); {_mend(error)}") from None
    if len(content) > MAX_SIZE:
        raise UnusableRules(f"{path} has more than {MAX_SIZE} bytes; name groups and patterns instead of each")
    return content, before, before == after


def _mend(error: OSError) -> str:
    return f"let uid {os.getuid()} read it" if isinstance(error, PermissionError) else "check the path"


def _parse(path: Path, content: bytes) -> FileRules:
    try:
        return parse_rules(content.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UnusableRules(f"{path} is not UTF-8 text in line {line}", ((line, "this is not UTF-8 text"),)) from None
    except RulesError as error:
        raise UnusableRules(f"{path}: {error}", error.mistakes) from None
