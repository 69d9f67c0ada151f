"""What is impossible by an image's content alone, remembered: else each request reads and parses it again."""

from __future__ import annotations

import time
from collections.abc import Hashable, Iterator
from contextlib import contextmanager

from backends.model.cache import Cache
from backends.model.conversion.impossible import ImpossibleConversion, ImpossibleNow

REMEMBERED = 8192

SECONDS = 600.0
"""Content never changes, but what was damaged on the disk may be repaired."""


class KnownImpossible:
    """Sentences why something is impossible, by what it is made of."""

    def __init__(self) -> None:
        self._known: Cache[Hashable, tuple[float, str]] = Cache(bound=REMEMBERED)

    @contextmanager
    def noted(self, key: Hashable) -> Iterator[None]:
        """Notes what turns out to be impossible in this context; it is not entered where that is known.

        Args:
            key: names all the content that decides about it.

        Raises:
            ImpossibleConversion: it is, or was lately. A ValueError becomes one: the content is no image's.
        """
        self._refuse(key)
        try:
            yield
        except ImpossibleNow:
            raise
        except (ImpossibleConversion, ValueError) as error:
            impossible = error if isinstance(error, ImpossibleConversion) else not_an_image(error)
            self._known.put(key, (time.monotonic() + SECONDS, str(impossible)))
            raise impossible from None

    def _refuse(self, key: Hashable) -> None:
        try:
            until, sentence = self._known[key]
        except KeyError:
            return
        if time.monotonic() < until:
            raise ImpossibleConversion(sentence)
        self._known.forget(key)


def not_an_image(error: ValueError) -> ImpossibleConversion:
    """Returns what a client is told of content that is no image's."""
    return ImpossibleConversion(f"{error}; pull it with the tool that pushed it")
