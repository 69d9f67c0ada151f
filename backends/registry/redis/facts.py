"""Facts in Redis, which all processes of an installation share, and which outlive them.

Invariants:
- Redis decides nothing: what it says counts only with this registry's seal, and never whether a repository has
  something (CVE-2026-35172);
- while it does not answer, nobody asks it: after the first failure every question is answered with None at once, until
  `probe` finds it again.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable

from typing_extensions import override

from backends.model.digest import Digest
from backends.model.facts import MAX_SEALED, F, Fact, seal, unseal
from backends.registry.fact_key import FactKey
from backends.registry.facts import Facts
from backends.registry.redis.connections import Redis, Refused, Unreachable

KEPT_SECONDS = 30 * 24 * 3600
"""Facts about what was deleted long ago must not fill Redis."""

PROBE_SECONDS = 60


class RedisFacts(Facts):
    """Facts in Redis.

    Args:
        redis: what answers commands.
        key: seals what is kept there.
        where: its address, for sentences.
        on_error: called for each question that it does not answer, or not with what we have put there.
    """

    def __init__(self, redis: Redis, key: FactKey, *, where: str, on_error: Callable[[], None] = lambda: None) -> None:
        self._redis = redis
        self._key = key
        self._where = where
        self._on_error = on_error
        self._prefix = ""
        self._me = secrets.token_hex(8)
        self._is_away = False

    @override
    def recall(self, digest: Digest, kind: type[F]) -> F | None:
        return None

    @override
    async def find(self, digest: Digest, kind: type[F]) -> F | None:
        if self._is_away:
            return None
        key = await self._key.get()
        # One byte more than a fact may have: whatever else is there is not transferred.
        sealed = await self._ask("GETRANGE", self._name(key, digest, kind.KIND), 0, MAX_SEALED)
        if not isinstance(sealed, bytes) or not sealed:
            return None
        fact = unseal(key, digest, kind, sealed)
        if fact is None:
            self._on_error()
        return fact

    @override
    async def put(self, digest: Digest, fact: Fact) -> None:
        if self._is_away:
            return
        key = await self._key.get()
        await self._ask("SET", self._name(key, digest, fact.KIND), seal(key, digest, fact), "EX", KEPT_SECONDS)

    async def probe(self) -> str:
        """Asks whether Redis answers, and keeps what it is given; if so, it is asked again from now on.

        Returns:
            what is wrong, as a clause; "" when nothing is.
        """
        key = await self._key.get()
        name, value = f"{self._prefix_of(key)}:{self._me}:probe", secrets.token_hex(8).encode()
        wrong = ""
        try:
            await self._redis.ask("SET", name, value, "EX", PROBE_SECONDS)
            if await self._redis.ask("GETRANGE", name, 0, MAX_SEALED) not in {value, None}:
                wrong = f"Redis at {self._where} does not keep what it is given"
        except Unreachable as error:
            wrong = f"Redis at {self._where} does not answer: {error}"
        except Refused as error:
            wrong = f"Redis at {self._where} refuses what it is asked: {error}"
        self._is_away = bool(wrong)
        return wrong

    async def close(self) -> None:
        """Closes the connections."""
        await self._redis.close()

    async def _ask(self, *command: str | bytes | int) -> object:
        try:
            return await self._redis.ask(*command)
        except Unreachable:
            self._is_away = True  # `probe` says so, once
        except Refused:
            pass  # it answers fast, so nobody waits; `probe` is refused too, and says so
        self._on_error()
        return None

    def _name(self, key: bytes, digest: Digest, kind: str) -> str:
        return f"{self._prefix_of(key)}:{kind}:{digest}"

    def _prefix_of(self, key: bytes) -> str:
        """Returns the beginning of all names of this registry: another one may use the same Redis."""
        if not self._prefix:
            self._prefix = "portside:" + hashlib.sha256(b"name " + key).hexdigest()[:16]
        return self._prefix
