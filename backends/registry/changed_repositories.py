"""Noting which repositories have been changed, so that a search finds at once what has been pushed by any process."""

from __future__ import annotations

import logging
from collections.abc import Awaitable
from contextlib import suppress
from typing import TypeVar

from backends.storage import layout
from backends.storage.capabilities import AppendsLines, KnowsAbsence, capability
from backends.storage.driver import PathNotFound, StorageDriver, StorageError

T = TypeVar("T")

MAX_CHANGES_BYTES = 1024 * 1024
"""Some 25 000 changes. Then nobody searches, or does so again: the next search makes the index anew."""

_log = logging.getLogger("portside.search")


class ChangedRepositories:
    """Writes down which repositories have been changed, if anybody searches: else there is no file of changes.

    Args:
        driver: where the index is.
    """

    def __init__(self, driver: StorageDriver) -> None:
        self._driver = driver
        self._knows = capability(driver, KnowsAbsence)
        self._appends = capability(driver, AppendsLines)

    async def noted(self, name: str, change: Awaitable[T]) -> T:
        """Awaits a change of a repository, then writes down its name, by which access is decided."""
        result = await change
        await self.note(name)
        return result

    async def note(self, name: str) -> None:
        """Writes down that a repository has been changed, which can be seen by now."""
        path = layout.SEARCH_CHANGES
        if self._appends is None or (self._knows is not None and self._knows.are_absent((path,))):
            return
        try:
            if await self._appends.append(path, _line(name)) <= MAX_CHANGES_BYTES:
                return
        except PathNotFound:
            return
        except StorageError as error:  # the change itself has succeeded
            _log.warning("the index of a search does not know that %s was changed, and is made anew: %s", name, error)
        with suppress(StorageError):
            await self._driver.delete(path, durable=False)


def _line(name: str) -> bytes:
    """Returns what is added; it begins a line of its own, for a write on a full disk may have ended early."""
    return f"\n{name}\n".encode()
