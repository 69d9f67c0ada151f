"""The keys of an issuer of tokens, fetched in the background, and when a token names one that is not among them.

Invariant: whoever asks, and however often, the issuer is asked at most once in 10 seconds by a process. Keys that were
fetched hold until others are: an issuer that is down, or answers nonsense, takes nobody's access away.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import NoReturn

from backends.auth.keys import KeySet, parse_jwks
from backends.auth.schemes import Busy, Failure

ASK_SECONDS = 10.0
"""The least time between two questions."""
LEAST_FRESH_SECONDS, MOST_FRESH_SECONDS = 60.0, 86400.0
"""How long keys count as fresh, whatever their issuer says."""
FRESH_SECONDS = 3600.0
"""And where it says nothing."""
MOST_PAUSE_SECONDS = 300.0
"""The most between two questions to an issuer that fails."""

MAX_BYTES = 512 * 1024
MAX_KEYS = 128

_log = logging.getLogger("portside.auth.openid")


class UnreachableIssuer(Exception):  # noqa: N818 - a finding, not a fault
    """An issuer's keys cannot be had; the message says why."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """What an issuer answered.

    Attributes:
        content: a JSON Web Key Set.
        fresh_seconds: for how long it may be kept; None where it does not say.
    """

    content: bytes
    fresh_seconds: float | None = None


class RemoteKeys:
    """The keys of one issuer.

    Args:
        fetch: gets them; bounded in time and size; raises UnreachableIssuer.
        issuer: whose they are, for the log.
        speaks: whether this process logs what all processes see.
        clock: monotonic seconds.

    Attributes:
        issuer: whose they are.
        current: the keys; the same object as long as they are the same. None before the first answer.
        trouble: why they could not be had the last time; "" when they could.
    """

    def __init__(
        self,
        fetch: Callable[[], Awaitable[Fetched]],
        *,
        issuer: str,
        speaks: Callable[[], bool] = lambda: True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._fetch = fetch
        self.issuer = issuer
        self._speaks = speaks
        self._clock = clock
        self._content = b""
        self._asked: float | None = None
        self._asking: asyncio.Task[None] | None = None
        self._due = 0.0
        self._failures = 0
        self.current: KeySet | None = None
        self.trouble = ""

    async def held(self) -> KeySet | None:
        """Returns the keys that hold now, without a wait; None before the first answer."""
        return self.current

    async def find(self, key_id: str) -> KeySet:
        """Returns the issuer's keys, fetched again where the one that a token names is not among them.

        Raises:
            Busy: they cannot be had, and the key is not among those that could.
        """
        if self.current is not None and key_id in self.current.by_id:
            return self.current
        if self._asking is None and self._may_ask():
            self._begin()
        if self._asking is not None:
            # Whoever leaves does not end it for the others.
            await asyncio.shield(self._asking)
        if self.current is None or (self.trouble and key_id not in self.current.by_id):
            raise Busy(
                round(ASK_SECONDS),
                f"tokens of {self.issuer} cannot be checked now: its keys cannot be had",
                failure=Failure.UNAVAILABLE,
            )
        return self.current

    @property
    def due_in(self) -> float:
        """In how many seconds they are fetched again."""
        return max(0.0, self._due - self._clock())

    async def watch(self, *, tick: float = 1.0) -> NoReturn:
        """Fetches the keys, and again before they age, until it is cancelled.

        Args:
            tick: how often, in seconds, it is looked whether they are due.
        """
        while True:
            if self._asking is None and not self.due_in and self._may_ask():
                self._begin()
            if self._asking is not None:
                await asyncio.shield(self._asking)
            await asyncio.sleep(tick)

    async def close(self) -> None:
        """Ends a question that is in progress."""
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.wait([self._asking])

    def _wait(self) -> float:
        return 0.0 if self._asked is None else self._asked + ASK_SECONDS - self._clock()

    def _may_ask(self) -> bool:
        return self._wait() <= 0

    def _begin(self) -> None:
        self._asked = self._clock()
        self._asking = asyncio.create_task(self._ask())

    async def _ask(self) -> None:
        try:
            fetched = await self._fetch()
            if fetched.content != self._content:
                self.current = await asyncio.to_thread(_parse, fetched.content)
                self._content = fetched.content
                self._tell_warnings(self.current)
        except (UnreachableIssuer, ValueError) as error:
            self._fail(str(error))
        except Exception as error:  # noqa: BLE001 - the last net: the keys that are there hold, and it asks again
            _log.exception("fetching the keys of %s failed", self.issuer)
            self._fail(f"fetching them failed ({type(error).__name__})")
        else:
            self._succeed(fetched.fresh_seconds)
        finally:
            self._asking = None

    def _succeed(self, fresh_seconds: float | None) -> None:
        fresh = FRESH_SECONDS if fresh_seconds is None else fresh_seconds
        fresh = min(max(fresh, LEAST_FRESH_SECONDS), MOST_FRESH_SECONDS)
        self._due = self._clock() + fresh * 0.8
        if self.trouble and self._speaks():
            _log.info("the keys of %s can be had again", self.issuer)
        self.trouble, self._failures = "", 0

    def _fail(self, why: str) -> None:
        self._due = self._clock() + min(ASK_SECONDS * 2**self._failures, MOST_PAUSE_SECONDS)
        self._failures = min(self._failures + 1, 10)
        if not self.trouble and self._speaks():
            meanwhile = (
                "those fetched before still hold" if self.current is not None else "its tokens cannot be checked"
            )
            _log.error("the keys of %s cannot be had: %s; %s", self.issuer, why, meanwhile)
        self.trouble = why

    def _tell_warnings(self, keys: KeySet) -> None:
        if self._speaks():
            for warning in keys.warnings:
                _log.info("of the keys of %s, %s; it is passed over", self.issuer, warning)


def _parse(content: bytes) -> KeySet:
    if content.count(b'"kty"') > MAX_KEYS:
        raise ValueError(f"it has more than {MAX_KEYS} keys")
    return parse_jwks(content)
