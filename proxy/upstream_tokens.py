"""Tokens of a registry elsewhere, which the proxy gets with its own user and password from that one's token server.

The password goes to the configured realm alone, whatever the registry's challenges say: who answers in a registry's
name could name any address there. A token is asked for with the scope of one request, kept by that as long as it holds
and no longer than a few minutes, and shown to the registry's own address alone.
"""

from __future__ import annotations

import asyncio
import logging
import time
from base64 import b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus

import aiohttp
from yarl import URL

from backends.auth.asking import Asking, parse_token_answer, shown
from backends.model.cache import Cache
from backends.model.errors import ErrorCode, RegistryError
from backends.outgoing_requests import why_unanswered

TIMEOUT_SECONDS = 10.0
AT_ONCE = 16
REMEMBERED = 4096
MAX_ANSWER = 64 * 1024

_log = logging.getLogger("portside.proxy")


@dataclass(frozen=True, slots=True)
class _Kept:
    """A token, and until when it is kept, on the monotonic clock."""

    token: str = field(repr=False)
    until: float


class UpstreamTokens:
    """Asks one token server. Made inside a running event loop.

    Args:
        realm: its address.
        service: what the registry is called there.
        ca: a PEM file of a CA that is trusted beside the system's; "" for none.
        key: what messages call the credentials: `gateway.v2.credentials`.
        clock: monotonic seconds.
    """

    def __init__(
        self, realm: str, service: str, *, ca: str, key: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._url = URL(realm)
        self._service = service
        self._key = key
        self._clock = clock
        self._kept: Cache[tuple[str, ...], _Kept] = Cache(bound=REMEMBERED)
        self._asking: dict[tuple[str, ...], asyncio.Task[_Kept]] = {}
        self._server = Asking(self._url, at_once=AT_ONCE, more_ca=ca)
        self._trouble = ""

    async def get(self, scopes: Sequence[str], user: str, password: bytes) -> str:
        """Returns a token.

        Args:
            scopes: what it is to reach, as `repository:team/app:pull`.
            user: the proxy's own.
            password: its.

        Raises:
            RegistryError: UNAVAILABLE, 502: there is none to be had.
        """
        wanted = tuple(scopes)
        try:
            kept = self._kept[wanted]
            if self._clock() >= kept.until:
                raise KeyError
        except KeyError:
            task = self._asking.get(wanted)
            if task is None:  # nobody is asked twice at the same time for the same
                task = asyncio.create_task(self._ask(wanted, user, password))
                self._asking[wanted] = task
                task.add_done_callback(lambda done: self._answered(wanted, done))
            kept = await asyncio.shield(task)
        return kept.token

    def forget(self, scopes: Sequence[str]) -> None:
        """Drops a token that the registry does not take."""
        self._kept.forget(tuple(scopes))

    async def close(self) -> None:
        """Ends what is being asked."""
        for task in [*self._asking.values()]:
            task.cancel()
        await self._server.close()

    def _answered(self, wanted: tuple[str, ...], done: asyncio.Task[_Kept]) -> None:
        self._asking.pop(wanted, None)
        if not done.cancelled() and done.exception() is None:  # whoever waited has the exception
            self._kept.put(wanted, done.result())

    async def _ask(self, wanted: tuple[str, ...], user: str, password: bytes) -> _Kept:
        query = [("service", self._service), *(("scope", scope) for scope in wanted), ("account", user)]
        pair = b64encode(user.encode() + b":" + password).decode()
        headers = {"User-Agent": "Portside", "Accept": "application/json", "Authorization": f"Basic {pair}"}
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                answer = await self._server.get(self._url.extend_query(query), headers, most=MAX_ANSWER)
            if answer.status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
                raise self._unavailable(f"it does not take the user and password of {self._key}; correct them")
            if answer.status != HTTPStatus.OK:
                raise self._unavailable(f"it answers {answer.status}")
            token, seconds = parse_token_answer(answer.content)
        except TimeoutError:
            raise self._unavailable(f"it did not answer within {TIMEOUT_SECONDS:g} seconds") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise self._unavailable(why_unanswered(error)) from None
        self._trouble = ""
        return _Kept(token, self._clock() + seconds)

    def _unavailable(self, why: str) -> RegistryError:
        sentence = f"the token server {shown(self._url)} gives the proxy no token: {why}"
        if sentence != self._trouble:  # once, and not at every request
            self._trouble = sentence
            _log.error("%s", sentence)
        return RegistryError(ErrorCode.UNAVAILABLE, sentence, status=502)
