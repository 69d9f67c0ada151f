"""The issuers of tokens that a worker believes: their keys, followed from its start, and what health says of them.

A start waits for no issuer: it may be behind the same cluster that pulls its images from here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from backends.auth.followed_file import UnusableFile
from backends.auth.issuer_keys import FileKeys
from backends.auth.openid import Issuer
from backends.auth.openid_settings import OpenIdSettings
from backends.auth.remote_keys import RemoteKeys
from portside.fetching_keys import fetch_keys
from portside.observe.health import Check, Finding
from portside.problems import Problem

CHECK_SECONDS = 2.0
"""How often health looks at what is known anyway."""


class Issuers:
    """All issuers of a worker.

    Args:
        asked: which.
        speaks: whether this worker tells what all see.

    Attributes:
        all: with their keys.
    """

    def __init__(self, asked: Sequence[OpenIdSettings], *, speaks: Callable[[], bool]) -> None:
        self._remote: list[RemoteKeys] = []
        self.all = [Issuer(settings, self._keys(settings, speaks)) for settings in asked]

    def _keys(self, settings: OpenIdSettings, speaks: Callable[[], bool]) -> RemoteKeys | FileKeys:
        if isinstance(settings.jwks, Path):
            return _follow(settings.jwks)
        keys = RemoteKeys(partial(fetch_keys, settings), issuer=settings.issuer, speaks=speaks)
        self._remote.append(keys)
        return keys

    async def watch(self) -> None:
        """Keeps their keys fresh, until it is cancelled."""
        await asyncio.gather(*(keys.watch() for keys in self._remote))

    def check(self) -> Check:
        """Returns what health says of them: nobody is kept from a pull whose token is known."""
        return Check("openid issuers", self._find, interval_seconds=CHECK_SECONDS, fatal=False)

    async def _find(self) -> Sequence[Finding]:
        return tuple(
            Finding(
                f"openid issuer {keys.issuer}",
                f"its keys cannot be had ({keys.trouble})",
                fatal=False,
                announced=False,  # the keys have lines of their own
            )
            for keys in self._remote
            if keys.trouble
        )

    async def close(self) -> None:
        """Ends questions that are in progress."""
        for keys in self._remote:
            await keys.close()


def _follow(path: Path) -> FileKeys:
    try:
        return FileKeys(path, what="gateway.auth.openid.jwks")
    except UnusableFile as error:
        raise Problem(str(error)) from None
