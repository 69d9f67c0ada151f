"""The index: what it says of a token, and of an image whose holder of a token wants to have or build upon.

docker-registry 0.9.1 asks at every request. What the index has granted is remembered here for a few seconds, so that a
pull of many layers does not ask it the same dozens of times; what it refuses is asked again at once, but for a token
that is shown again and again. Nobody is asked twice at the same time for the same. What is sent is a token: of an
answer's text nothing is believed but what it must say, and none of it is logged.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
import secrets
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from http import HTTPStatus
from typing import Any, NamedTuple

import aiohttp
from yarl import URL

from backends.auth.asking import RETRY_SECONDS, Answered, Asking, retry_after, shown
from backends.auth.credentials import IndexToken
from backends.auth.index_tokens import path_at_index
from backends.auth.schemes import Busy, Failure
from backends.auth.turns import FairTurns
from backends.auth.v1_index_settings import V1IndexSettings
from backends.model.cache import Cache
from backends.model.names import ImageId
from backends.model.networks import client_of
from backends.model.strict_json import parse_json
from backends.outgoing_requests import why_unanswered

GRANTED_SECONDS = 3.0
"""So long a token, and an image for a token, is taken for granted without asking again."""
REFUSED_SECONDS = 1.0
"""So long a token that was refused is, too."""

TIMEOUT_SECONDS = 10.0
AT_ONCE = 16
"""Questions that one process asks at the same time; others wait."""
WAITING = 256
"""Questions that are asked or wait; beyond them clients are told to come again."""
SHARE = 0.5
"""So much of that may be one client's."""

MAX_LIST = 8 * 1024 * 1024
"""Bytes of a repository's list of images: some 80 000."""
MAX_ANSWER = 64 * 1024
_IN_A_THREAD = 64 * 1024
"""Larger lists are parsed beside the event loop."""
REMEMBERED_IDS = 200_000
"""So many ids are in all lists together that are remembered; an answer without a list counts for one."""

_log = logging.getLogger("portside.auth.index")

_Parse = Callable[[bytes], Awaitable[Sequence[str] | None]]
"""Returns what an answer says; None for a refusal."""


class _Kept(NamedTuple):
    """An answer of the index.

    Attributes:
        ids: the list of images, or nothing where that was not the question; None where it was refused.
        until: how long it is kept, on the monotonic clock.
    """

    ids: Sequence[str] | None
    until: float


class IndexServer:
    """Asks one index. Made inside a running event loop.

    Args:
        settings: of it.
        clock: monotonic seconds.
    """

    def __init__(self, settings: V1IndexSettings, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._url = URL(settings.url)
        self._root = settings.url
        self._clock = clock
        self._secret = secrets.token_bytes(32)
        self._kept: Cache[bytes, _Kept] = Cache(bound=REMEMBERED_IDS, weigh=lambda _, kept: 1 + len(kept.ids or ()))
        self._asking: dict[bytes, asyncio.Task[_Kept]] = {}
        self._asked_by: Counter[str] = Counter()
        self._turns = FairTurns(AT_ONCE)
        self._server = Asking(self._url, at_once=AT_ONCE, ca=str(settings.ca or ""))
        self._trouble = ""

    async def images(self, token: IndexToken, *, address: str) -> Sequence[str] | None:
        """Returns the ids that the index lists in a token's repository; None: the token is not good.

        Args:
            token: what was shown.
            address: the client's.

        Raises:
            ValueError: the token names no repository.
            Busy: the index cannot say now.
        """
        path = f"{path_at_index(token)}/images"
        return await self._ask_once(path, token, address, _parse_list)

    async def images_now(self, token: IndexToken, *, address: str) -> Sequence[str]:
        """Returns the same as the index says it now, since its list may have grown; nothing for a refused token."""
        self._kept.forget(self._name(f"{path_at_index(token)}/images", token))
        return await self.images(token, address=address) or ()

    async def lets_have(self, image: ImageId, token: IndexToken, *, address: str) -> bool:
        """Whether the index lets a token's holder have an image's layer, or build upon it.

        Raises:
            Busy: the index cannot say now.
        """
        path = f"{path_at_index(token)}/layer/{image}/access"
        return await self._ask_once(path, token, address, _parse_access) is not None

    async def close(self) -> None:
        """Ends what is being asked."""
        for task in [*self._asking.values()]:
            task.cancel()
        await self._server.close()

    def _name(self, path: str, token: IndexToken) -> bytes:
        """Returns what a question is known by; nothing of a token can be learnt from it."""
        return hmac.digest(self._secret, f"{path}\n{token.header}".encode(), hashlib.sha256)

    async def _ask_once(self, path: str, token: IndexToken, address: str, parse: _Parse) -> Sequence[str] | None:
        """Asks, or waits for who has asked the same; a client that hangs up stops nobody else's question."""
        key = self._name(path, token)
        with suppress(KeyError):
            kept = self._kept[key]
            if self._clock() < kept.until:
                return kept.ids
        task = self._asking.get(key)
        if task is None:
            client = client_of(address)
            if len(self._asking) >= WAITING or self._asked_by[client] >= max(1, int(WAITING * SHARE)):
                raise Busy(RETRY_SECONDS, "too many wait for the index; ask again later")
            task = asyncio.create_task(self._ask_in_turn(path, token, client, parse))
            self._asking[key] = task
            self._asked_by[client] += 1
            task.add_done_callback(lambda done: self._answered(key, client, done))
        return (await asyncio.shield(task)).ids

    def _answered(self, key: bytes, client: str, done: asyncio.Task[_Kept]) -> None:
        self._asking.pop(key, None)
        self._asked_by[client] -= 1
        if not self._asked_by[client]:
            del self._asked_by[client]
        if not done.cancelled() and done.exception() is None:  # whoever waited has the exception
            self._kept.put(key, done.result())

    async def _ask_in_turn(self, path: str, token: IndexToken, client: str, parse: _Parse) -> _Kept:
        headers = {"User-Agent": "Portside", "Accept": "application/json", "Authorization": token.header}
        url = URL(f"{self._root}{path}", encoded=True)
        most = MAX_LIST if parse is _parse_list else MAX_ANSWER
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS), self._turns.turn(client):
                kept = await self._read(await self._server.get(url, headers, most=most), parse)
        except TimeoutError:
            raise self._unavailable(f"it did not answer within {TIMEOUT_SECONDS:g} seconds") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise self._unavailable(why_unanswered(error)) from None
        if self._trouble:
            self._trouble = ""
            _log.info("the index %s answers again", shown(self._url))
        return kept

    async def _read(self, answer: Answered, parse: _Parse) -> _Kept:
        """Returns what an answer says.

        Raises:
            ValueError: nothing; with a sentence.
            Busy: the index asks to come again.
        """
        now = self._clock()
        if answer.status == HTTPStatus.TOO_MANY_REQUESTS:
            raise Busy(retry_after(answer), "the index asks to come again later")
        if HTTPStatus.BAD_REQUEST <= answer.status < HTTPStatus.INTERNAL_SERVER_ERROR:
            return _Kept(None, now + (REFUSED_SECONDS if parse is _parse_list else 0.0))
        if answer.status != HTTPStatus.OK:
            raise ValueError(f"it answers {answer.status}")
        ids = await parse(answer.content)
        return _Kept(ids, now + (GRANTED_SECONDS if ids is not None else 0.0))

    def _unavailable(self, why: str) -> Busy:
        if why != self._trouble:  # each trouble once, and not at every request
            self._trouble = why
            _log.error("the index %s cannot be asked, so clients of v1 get 503: %s", shown(self._url), why)
        return Busy(RETRY_SECONDS, "the index of this registry cannot be asked now", failure=Failure.UNAVAILABLE)


async def _parse_list(content: bytes) -> Sequence[str]:
    if len(content) > _IN_A_THREAD:
        return await asyncio.to_thread(_listed, content)
    return _listed(content)


def _listed(content: bytes) -> Sequence[str]:
    listed = _json(content)
    if not isinstance(listed, list):
        raise ValueError("its answer is not a list of images")
    ids = [each.get("id") if isinstance(each, dict) else None for each in listed]
    if not all(isinstance(each, str) for each in ids):
        raise ValueError("its answer lists something without an id")
    return [str(each) for each in ids]


async def _parse_access(content: bytes) -> Sequence[str] | None:
    says = _json(content)
    if not isinstance(says, dict):
        raise ValueError("its answer is not a JSON object")
    return () if says.get("access") is True else None


def _json(content: bytes) -> Any:
    try:
        return parse_json(content)
    except (ValueError, RecursionError):
        raise ValueError("its answer is not JSON") from None
