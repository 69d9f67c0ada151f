"""A user and a password exchanged for a token, at the token server: for clients of v1, which know of none.

The server is the operator's, named in the settings, and never a client's. What it answers is believed as far as its
signature goes. Nobody is asked twice at the same time for the same, a token is asked for again when it has ended, and
a refusal is remembered for a moment, so clients that repeat themselves do not hammer it. All its questions come from
this machine's address, so who guesses is slowed here, by its own (`slowing`), and those that wait take turns. TLS
certificates are verified, and no redirect is followed: what is sent is a password.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import logging
import math
import secrets
import time
from base64 import b64encode
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http import HTTPStatus

import aiohttp
from yarl import URL

from backends.auth.asking import RETRY_SECONDS, Asking, parse_token_answer, retry_after, shown
from backends.auth.credentials import Basic, Bearer
from backends.auth.identity import Caller, Identity
from backends.auth.schemes import Busy, Failure, Scheme, Wanted, WrongCredentials, scopes_of
from backends.auth.slowing import Slowing
from backends.auth.turns import FairTurns
from backends.model.cache import Cache
from backends.model.networks import client_of
from backends.outgoing_requests import why_unanswered

TIMEOUT_SECONDS = 10.0
AT_ONCE = 16
"""Questions that one process asks at the same time; as many wait."""
WAITING = 64
"""Questions that are asked or wait; beyond them clients are told to come again."""
SHARE = 0.5
"""So much of that may be one client's."""
REMEMBERED = 4096
REFUSED_SECONDS = 10.0
MAX_ANSWER = 64 * 1024
_WRONG = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})
"""What servers say of a wrong password."""
_REFUSALS = _WRONG | {HTTPStatus.BAD_REQUEST}

_log = logging.getLogger("portside.auth.exchange")


@dataclass(frozen=True, slots=True)
class _Kept:
    """What a question was answered: a token, or that there is none.

    Attributes:
        token: its text; "" where it was refused.
        until: how long it is kept, on the monotonic clock.
    """

    token: str
    until: float


class PasswordExchange:
    """Says who somebody is by user and password, where only tokens do.

    Args:
        exchange: asks the token server.
        scheme: reads its tokens.
    """

    def __init__(self, exchange: Exchange, scheme: Scheme) -> None:
        self._exchange = exchange
        self._scheme = scheme

    async def identify(self, credentials: Basic | None, caller: Caller, wanted: Sequence[Wanted]) -> Identity:
        """Returns whom the token server's token names, limited to what it grants of what is wanted.

        Args:
            credentials: None for nobody in particular: most servers have a token for them too.
            caller: who sends them.
            wanted: what they are to reach, by canonical names; nothing to find out whether the password is right.

        Raises:
            WrongCredentials: the token server refuses them.
            Busy: it cannot be asked now, or its tokens are not good here.
        """
        identity, why = await self._read(credentials, caller, wanted)
        if identity is None:  # it may have ended while it was kept, and the keys may be others since
            self._exchange.forget(credentials, wanted)
            identity, why = await self._read(credentials, caller, wanted)
        if identity is None:
            _log.error("the token server's tokens are of no use here: %s", why)
            raise Busy(RETRY_SECONDS, "the token server's tokens are of no use here", failure=Failure.UNAVAILABLE)
        return identity

    async def _read(
        self, credentials: Basic | None, caller: Caller, wanted: Sequence[Wanted]
    ) -> tuple[Identity | None, str]:
        token = await self._exchange.get_token(credentials, wanted, address=caller.address)
        try:
            return await self._scheme.identify(Bearer(token), caller), "no scheme takes them"
        except WrongCredentials as wrong:
            return None, wrong.reason


class Exchange:
    """Asks one token server. Made inside a running event loop.

    Args:
        realm: its address.
        service: what this registry is called there.
        clock: monotonic seconds.
    """

    def __init__(self, realm: str, service: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._url = URL(realm)
        self._service = service
        self._clock = clock
        self._secret = secrets.token_bytes(32)
        self._kept: Cache[bytes, _Kept] = Cache(bound=REMEMBERED)
        self._asking: dict[bytes, asyncio.Task[_Kept]] = {}
        self._asked_by: Counter[str] = Counter()
        self._turns = FairTurns(AT_ONCE)
        self._slowing = Slowing(clock=clock)
        self._server = Asking(self._url, at_once=AT_ONCE)

    async def get_token(self, credentials: Basic | None, wanted: Sequence[Wanted], *, address: str) -> str:
        """Returns a token for a user, or for nobody, that reaches as far as the server lets it.

        Args:
            credentials: the user's; None for nobody's.
            wanted: what it is to reach; the server may grant less.
            address: the client's.

        Raises:
            WrongCredentials: the server refuses.
            Busy: it does not answer, too many ask, or too many wrong passwords came from there.
        """
        key = self._name(credentials, wanted)
        try:
            kept = self._kept[key]
            if self._clock() >= kept.until:
                raise KeyError
        except KeyError:
            kept = await self._ask_once(key, credentials, wanted, address)
        if not kept.token:
            raise WrongCredentials("the token server refuses this user and password")
        return kept.token

    def forget(self, credentials: Basic | None, wanted: Sequence[Wanted]) -> None:
        """Drops an answer that is kept, so that the server is asked again."""
        self._kept.forget(self._name(credentials, wanted))

    async def close(self) -> None:
        """Ends what is being asked."""
        for task in [*self._asking.values()]:
            task.cancel()
        await self._server.close()

    def _name(self, credentials: Basic | None, wanted: Sequence[Wanted]) -> bytes:
        """Returns what a question is known by; nothing of a password can be learnt from it."""
        user = [] if credentials is None else [credentials.user, credentials.password]
        asked = json.dumps([user, [one.scope for one in wanted]])
        return hmac.digest(self._secret, asked.encode(), hashlib.sha256)

    async def _ask_once(self, key: bytes, credentials: Basic | None, wanted: Sequence[Wanted], address: str) -> _Kept:
        """Asks, or waits for who has asked the same; a client that hangs up stops nobody else's question."""
        task = self._asking.get(key)
        if task is None:
            client = client_of(address)
            self._require_turn(credentials, address)
            if len(self._asking) >= WAITING or self._asked_by[client] >= max(1, int(WAITING * SHARE)):
                raise Busy(RETRY_SECONDS, "too many wait for the token server; ask again later")
            task = asyncio.create_task(self._ask_in_turn(key, credentials, wanted, address))
            self._asking[key] = task
            self._asked_by[client] += 1
            task.add_done_callback(lambda done: self._answered(key, client, done))
        return await asyncio.shield(task)

    def _require_turn(self, credentials: Basic | None, address: str) -> None:
        """Refuses what an address with many wrong passwords wants to have tried.

        Raises:
            Busy: that it has to wait.
        """
        seconds = 0.0 if credentials is None else self._slowing.wait(address, credentials.user)
        if seconds > 0:
            raise Busy(math.ceil(seconds), "too many wrong passwords came from this address; try again later")

    def _answered(self, key: bytes, client: str, done: asyncio.Task[_Kept]) -> None:
        self._asking.pop(key, None)
        self._asked_by[client] -= 1
        if not self._asked_by[client]:
            del self._asked_by[client]
        if not done.cancelled():
            done.exception()  # whoever waited has it

    async def _ask_in_turn(
        self, key: bytes, credentials: Basic | None, wanted: Sequence[Wanted], address: str
    ) -> _Kept:
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS), self._turns.turn(client_of(address)):
                self._require_turn(credentials, address)
                kept = await self._ask(credentials, wanted, address)
        except TimeoutError:
            raise self._unavailable(f"it did not answer within {TIMEOUT_SECONDS:g} seconds") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise self._unavailable(why_unanswered(error)) from None
        self._kept.put(key, kept)
        return kept

    async def _ask(self, credentials: Basic | None, wanted: Sequence[Wanted], address: str) -> _Kept:
        query = [("service", self._service), *(("scope", scope) for scope in scopes_of(wanted))]
        headers = {"User-Agent": "Portside", "Accept": "application/json"}
        if credentials is not None:
            query.append(("account", credentials.user))
            pair = f"{credentials.user}:{credentials.password}".encode("utf-8", "surrogateescape")
            headers["Authorization"] = f"Basic {b64encode(pair).decode()}"
        answer = await self._server.get(self._url.extend_query(query), headers, most=MAX_ANSWER)
        if answer.status in _REFUSALS:
            if credentials is not None and answer.status in _WRONG:
                self._slowing.failed(address, credentials.user)
            return _Kept("", self._clock() + REFUSED_SECONDS)
        if answer.status == HTTPStatus.TOO_MANY_REQUESTS:
            raise Busy(retry_after(answer), "the token server asks to come again later")
        if answer.status != HTTPStatus.OK:
            raise ValueError(f"it answers {answer.status}")
        token, seconds = parse_token_answer(answer.content)
        if credentials is not None:
            self._slowing.succeeded(address, credentials.user)
        return _Kept(token, self._clock() + seconds)

    def _unavailable(self, why: str) -> Busy:
        _log.error("the token server %s cannot be asked: %s", shown(self._url), why)
        return Busy(RETRY_SECONDS, "the token server cannot be asked now", failure=Failure.UNAVAILABLE)
