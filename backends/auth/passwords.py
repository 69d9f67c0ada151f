"""Passwords that are checked by bcrypt: one at a time in a worker, in a thread, and only those not known already.

All workers together check so many at once that some cores are left (`check_slots`).

One check takes 60 ms at cost 10 and a second at cost 14, and anyone may ask for one. So
- what was right is remembered for five minutes after its last use, what was wrong for ten seconds;
- the same credentials from the same client are checked once, whoever else waits for them;
- what waits is bounded by the time it would take, and clients take turns; who has logged in from there lately goes
  before all who have not, so that any number of strangers keeps nobody out who comes back;
- an address with many wrong passwords is slowed before anything is checked (`slowing`).

Remembered is a MAC (keyed BLAKE2b), under a key of this process, of user, password and the user's hash. So a changed
line of the file takes back what was remembered of it by itself, and all others stay logged in.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import math
import os
import secrets
import threading
import time
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from functools import partial
from hashlib import blake2b
from typing import Protocol

from backends.auth.check_queue import FairQueue
from backends.auth.check_slots import CheckSlots
from backends.auth.htpasswd import SALT, PasswordTable, password_bytes
from backends.auth.password_file import PasswordFile
from backends.auth.schemes import Busy
from backends.auth.slowing import Slowing
from backends.model.cache import Cache
from backends.model.networks import client_of
from backends.thread_pool import ThreadPool

REMEMBERED_SECONDS = 300.0
WRONG_SECONDS = 10.0
REMEMBERED = 20_000
REMEMBERED_WRONG = 4_000
LONGEST_WAIT_SECONDS = 10.0
"""Nothing is taken in that would wait longer than this."""
SHARE = 0.5
"""So much of that may be one client's."""
NICENESS = 5
"""Checks give way to what serves requests, and still get a quarter of a core that is wanted by these all the time."""
LOOKS = 3
"""So often is a password checked anew because its line changed while it was checked."""


_HEADER = b"header"
_DIGITS = b"./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
_CANONICAL = {_DIGITS[each : each + 1]: _DIGITS[each & 48 :][:1] for each in range(64)}


class Outcome(Enum):
    """What became of credentials that were not remembered; a metric's label."""

    RIGHT = "right"
    WRONG = "wrong"
    KNOWN_WRONG = "known_wrong"
    SLOWED = "slowed"
    BUSY = "busy"


class PasswordObserver(Protocol):
    """Whom checks are told to."""

    def count(self, outcome: Outcome) -> None:
        """Counts credentials that were not remembered."""
        ...

    def time(self, seconds: float) -> None:
        """Takes note of how long one bcrypt took."""
        ...


class NoObserver:
    """Nobody is told."""

    def count(self, outcome: Outcome) -> None:
        """Does nothing."""

    def time(self, seconds: float) -> None:
        """Does nothing."""


@dataclass(slots=True, eq=False)
class _Right:
    """Credentials that are right as long as the user has this hash.

    Attributes:
        until: when they are forgotten; later while they are in use.
        table: in which the user was last seen to have it.
    """

    user: str
    hash: bytes = field(repr=False)
    until: float
    table: PasswordTable | None = None


@dataclass(slots=True, eq=False)
class _Check:
    """Credentials that wait for their check."""

    user: str
    password: bytes = field(repr=False)
    address: str
    client: str
    mark: bytes = field(repr=False)
    done: asyncio.Future[bool]
    queue: FairQueue[_Check]
    waiters: int = 0


class Passwords:
    """Checks credentials against an htpasswd file.

    Args:
        file: the users.
        slowing: how much may be tried.
        slots: how many passwords all workers check at once; None for one each.
        observer: whom checks are told to.
        clock: seconds, from any beginning.
    """

    def __init__(
        self,
        file: PasswordFile,
        slowing: Slowing,
        *,
        slots: CheckSlots | None = None,
        observer: PasswordObserver | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._file = file
        self._slowing = slowing
        self._slots = slots
        self._observer = observer or NoObserver()
        self._clock = clock
        self._key = secrets.token_bytes(32)
        self._right: Cache[bytes, _Right] = Cache(bound=REMEMBERED)
        self._headers: Cache[bytes, _Right] = Cache(bound=REMEMBERED)
        self._wrong: Cache[bytes, float] = Cache(bound=REMEMBERED_WRONG)
        self._checks: dict[tuple[bytes, str], _Check] = {}
        self._queue: FairQueue[_Check] = FairQueue()
        self._returning: FairQueue[_Check] = FairQueue()
        self._working: asyncio.Task[None] | None = None
        self._thread: ThreadPool | None = None
        self._is_closed = False
        self._takes = 0.06

    async def check(self, user: str, password: str, address: str) -> bool:
        """Returns whether this is the user's password.

        Args:
            user: the name, as it stands in the file.
            password: bytes that are no UTF-8 are in it as surrogates.
            address: the client's.

        Raises:
            Busy: it cannot be checked now.
        """
        table = self._file.known() or await self._file.table()
        secret = password_bytes(password)
        mark = self._mark(user, secret, table)
        is_right = self._remembered(mark)
        if is_right is None:
            is_right = await self._look_up(user, secret, address, mark)
        elif not is_right:
            self._observer.count(Outcome.KNOWN_WRONG)
        if is_right and mark in self._right:
            shown = b64encode(f"{user}:{password}".encode("utf-8", "surrogateescape")).decode()
            self._headers.put(self._header_mark(f"Basic {shown}"), self._right[mark])
        return is_right

    def recall(self, authorization: str) -> str | None:
        """Returns the user of credentials that are remembered as right; None for any others.

        It is what `check` finds out, sooner: most requests come from those who have shown the same before.

        Args:
            authorization: `Basic` and the rest, as clients write it.
        """
        # It is asked at every request, so it calls as little as it can.
        secret = authorization.encode("utf-8", "surrogateescape")
        return self._recall(blake2b(secret, key=self._key, person=_HEADER).digest())

    def recalling(self, authorization: str) -> Callable[[], str | None]:
        """Returns what asks the same again and again, and holds the credentials' mark alone."""
        return partial(self._recall, self._header_mark(authorization))

    def _recall(self, mark: bytes) -> str | None:
        try:
            right = self._headers[mark]
        except KeyError:
            return None
        now = self._clock()
        if right.until <= now:
            return None
        table = self._file.lately_known(now)
        if table is None:
            return None
        if table is not right.table:
            if table.hash_of(right.user) != right.hash:
                return None
            right.table = table
        right.until = now + REMEMBERED_SECONDS
        return right.user

    async def close(self) -> None:
        """Lets go of the thread; nothing is checked any more."""
        self._is_closed = True
        if self._working is not None:
            self._working.cancel()
            await asyncio.wait([self._working])
        if self._thread is not None:
            self._thread.shutdown(wait=False, cancel_futures=True)

    def _mark(self, user: str, secret: bytes, table: PasswordTable) -> bytes:
        name = user.encode("utf-8", "surrogateescape")
        message = b"%d:%d:%b%b%b" % (len(name), len(secret), name, secret, table.hash_of(user))
        return blake2b(message, key=self._key, digest_size=32).digest()

    def _remembered(self, mark: bytes) -> bool | None:
        """Returns whether credentials are right or wrong, where that is remembered."""
        try:
            return True if self._is_kept(self._right[mark]) else None
        except KeyError:
            pass
        try:
            return False if self._wrong[mark] > self._clock() else None
        except KeyError:
            return None

    def _is_kept(self, right: _Right) -> bool:
        """Whether credentials are remembered, which makes that last longer."""
        now = self._clock()
        if right.until <= now:
            return False
        right.until = now + REMEMBERED_SECONDS
        return True

    def _header_mark(self, authorization: str) -> bytes:
        return blake2b(authorization.encode("utf-8", "surrogateescape"), key=self._key, person=_HEADER).digest()

    async def _look_up(self, user: str, secret: bytes, address: str, mark: bytes) -> bool:
        client = client_of(address)
        check = self._checks.get((mark, client))
        if check is None:
            if self._is_closed:
                raise _ending()
            self._require_turn(user, address)
            queue = self._returning if self._slowing.knows(address, user) else self._queue
            self._make_room(queue, client)
            check = _Check(user, secret, address, client, mark, asyncio.get_running_loop().create_future(), queue)
            self._checks[mark, client] = check
            queue.add(client, check)
            if self._working is None:
                self._working = asyncio.create_task(self._work())
        check.waiters += 1
        try:
            return await asyncio.shield(check.done)
        finally:
            check.waiters -= 1
            if not check.waiters and check.queue.remove(client, check):
                del self._checks[mark, client]  # all who asked have gone before its turn

    def _settle(self, check: _Check, outcome: bool | Exception) -> None:  # noqa: FBT001 - a result
        """Tells those who wait; all may have gone."""
        del self._checks[check.mark, check.client]
        if isinstance(outcome, Exception):
            check.done.set_exception(outcome)
            check.done.exception()  # marks it as seen, should nobody wait any more
        else:
            check.done.set_result(outcome)

    def _require_turn(self, user: str, address: str) -> None:
        """Refuses what an address with many wrong passwords wants to have tried.

        Raises:
            Busy: that it has to wait.
        """
        seconds = self._slowing.wait(address, user)
        if seconds > 0:
            self._observer.count(Outcome.SLOWED)
            raise Busy(math.ceil(seconds), "too many wrong passwords came from this address; try again later")

    def _make_room(self, queue: FairQueue[_Check], client: str) -> None:
        """Sees to it that one more may wait in a queue.

        Raises:
            Busy: there is no room for this client.
        """
        most = max(2, int(LONGEST_WAIT_SECONDS / self._takes))
        if queue.waiting_for(client) >= max(1, int(most * SHARE)):
            raise self._busy()
        if len(queue) < most:
            return
        # Whoever has most gives way, which may be this client.
        last = queue.take_back()
        if queue.waiting_for(last.client) < queue.waiting_for(client) + 1:
            queue.add(last.client, last)
            raise self._busy()
        self._settle(last, self._busy())

    def _busy(self) -> Busy:
        self._observer.count(Outcome.BUSY)
        seconds = max(1, math.ceil((len(self._returning) + len(self._queue)) * self._takes))
        return Busy(seconds, "too many passwords wait to be checked; try again later")

    async def _work(self) -> None:
        """Checks what waits, one by one, until nothing does."""
        try:
            while waiting := self._returning or self._queue:
                check = waiting.take()
                outcome: bool | Exception = _ending()
                try:
                    outcome = await self._decide(check)
                except Exception as error:  # noqa: BLE001 - it is raised where they wait
                    outcome = error
                finally:
                    self._settle(check, outcome)
        finally:
            self._working = None
            while waiting := self._returning or self._queue:
                self._settle(waiting.take(), _ending())

    async def _decide(self, check: _Check) -> bool:
        """Finds out whether credentials are right by the file as it is when that is known."""
        table = await self._file.table()
        is_right = False
        for _ in range(LOOKS):
            hashed = table.hash_of(check.user)
            mark = self._mark(check.user, check.password, table)
            known = self._remembered(mark)
            if known is not None:
                return known
            self._require_turn(check.user, check.address)
            is_right = await self._compare(check.password, hashed) and check.user in table.entries
            self._remember(mark, check, hashed, is_right=is_right)
            table = await self._file.table()
            if table.hash_of(check.user) == hashed:
                break
        return is_right

    def _remember(self, mark: bytes, check: _Check, hashed: bytes, *, is_right: bool) -> None:
        self._observer.count(Outcome.RIGHT if is_right else Outcome.WRONG)
        if is_right:
            self._right.put(mark, _Right(check.user, hashed, self._clock() + REMEMBERED_SECONDS))
            self._slowing.succeeded(check.address, check.user)
        else:
            self._wrong.put(mark, self._clock() + WRONG_SECONDS)
            self._slowing.failed(check.address, check.user)

    async def _compare(self, secret: bytes, hashed: bytes) -> bool:
        if self._thread is None:
            self._thread = ThreadPool(1, "bcrypt", initializer=_give_way)
        began = time.perf_counter()  # it counts what it waits for a slot: so long does a check take here and now
        found = await asyncio.get_running_loop().run_in_executor(self._thread, self._compare_in_slot, secret, hashed)
        seconds = time.perf_counter() - began
        self._takes += (seconds - self._takes) / 4
        self._observer.time(seconds)
        return found

    def _compare_in_slot(self, secret: bytes, hashed: bytes) -> bool:
        with contextlib.nullcontext() if self._slots is None else self._slots.slot():
            return compare(secret, hashed)


def compare(secret: bytes, hashed: bytes) -> bool:
    """Whether bcrypt makes a hash of a password, as Go decides it; it takes from milliseconds to a second.

    Args:
        secret: at most 72 bytes.
        hashed: 60 bytes.
    """
    import bcrypt  # noqa: PLC0415 - only where passwords are checked

    # The last character of a salt has four bits that do not count. Go ignores them; this library wants them to be 0.
    salt = hashed[: SALT - 1] + _CANONICAL.get(hashed[SALT - 1 : SALT], b"")
    try:
        made = bcrypt.hashpw(secret, salt)
    except ValueError:  # a hash that is none
        return False
    return hmac.compare_digest(made[SALT:], hashed[SALT:])


def _ending() -> Busy:
    return Busy(1, "the registry is ending")


def _give_way() -> None:
    """Has the calling thread leave half of the cores, and most of the others, to what serves requests.

    Where checks began on any core, one request in a hundred waited four times as long as without (docs/profiles.md).
    """
    with contextlib.suppress(OSError):  # not everywhere may a thread choose
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(threading.get_native_id(), cores[len(cores) // 2 :])
    with contextlib.suppress(OSError):  # not everywhere may a thread change it
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
