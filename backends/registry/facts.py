"""Facts about stored content, kept so that it need not be read and parsed again: in memory, and perhaps elsewhere too.

Invariant: only what is true of a digest for ever is kept (`model/facts.py`), so nothing here is ever out of date, and
all of it may be lost at any time. Who may see a content, and whether it is there, is asked of storage each time.

A further kind of fact is a class with `KIND`, `encode` and `decode`; nothing here changes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from typing_extensions import override

from backends.model.cache import Cache
from backends.model.digest import Digest
from backends.model.facts import F, Fact

ENTRIES = 4096
"""Facts that a process remembers where the settings name no number: about 1 MB."""


class Facts(Protocol):
    """Facts by digest."""

    def recall(self, digest: Digest, kind: type[F]) -> F | None:
        """Returns what this process remembers, without any waiting; None when that is nothing."""
        ...

    async def find(self, digest: Digest, kind: type[F]) -> F | None:
        """Returns what is known, here or elsewhere; it waits, and never fails. Ask `recall` first."""
        ...

    async def put(self, digest: Digest, fact: Fact) -> None:
        """Keeps a fact, as far as there is room; it never fails."""
        ...


class FactsInMemory(Facts):
    """Facts that this process remembers.

    Args:
        entries: how many at most.
    """

    def __init__(self, *, entries: int = ENTRIES) -> None:
        self._known: Cache[tuple[str, str], Fact] = Cache(bound=entries)

    @override
    def recall(self, digest: Digest, kind: type[F]) -> F | None:
        try:
            fact = self._known[kind.KIND, digest.hex]  # the algorithms' digests have different lengths
        except KeyError:
            return None
        return fact if isinstance(fact, kind) else None

    @override
    async def find(self, digest: Digest, kind: type[F]) -> F | None:
        return self.recall(digest, kind)

    @override
    async def put(self, digest: Digest, fact: Fact) -> None:
        self._known.put((fact.KIND, digest.hex), fact)


class TieredFacts(Facts):
    """Facts in memory, and behind them those that several processes share.

    Args:
        near: of this process.
        far: what is asked for the others.
    """

    def __init__(self, near: Facts, far: Facts) -> None:
        self._near = near
        self._far = far

    @override
    def recall(self, digest: Digest, kind: type[F]) -> F | None:
        return self._near.recall(digest, kind)

    @override
    async def find(self, digest: Digest, kind: type[F]) -> F | None:
        fact = await self._near.find(digest, kind)
        if fact is None:
            fact = await self._far.find(digest, kind)
            if fact is not None:
                await self._near.put(digest, fact)
        return fact

    @override
    async def put(self, digest: Digest, fact: Fact) -> None:
        await self._near.put(digest, fact)
        await self._far.put(digest, fact)


class CountedFacts(Facts):
    """Facts whose questions are counted, as distribution counts those to its cache.

    Args:
        facts: which.
        count: called with `Request` for each question, then with `Hit` or `Miss`.
    """

    def __init__(self, facts: Facts, count: Callable[[str], None]) -> None:
        self._facts = facts
        self._count = count

    @override
    def recall(self, digest: Digest, kind: type[F]) -> F | None:
        fact = self._facts.recall(digest, kind)
        if fact is not None:  # else `find` is asked, and counts
            self._count("Request")
            self._count("Hit")
        return fact

    @override
    async def find(self, digest: Digest, kind: type[F]) -> F | None:
        self._count("Request")
        fact = await self._facts.find(digest, kind)
        self._count("Miss" if fact is None else "Hit")
        return fact

    @override
    async def put(self, digest: Digest, fact: Fact) -> None:
        await self._facts.put(digest, fact)
