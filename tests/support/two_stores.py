"""The same registries twice: over a store with repositories that a caller may not pull, and over one without them."""

from __future__ import annotations

import contextlib
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass

from backends.auth.schemes import Scheme
from tests.support.gated import Gated, gated
from tests.support.serving_here import Answer, Client

Told = tuple[int, list[tuple[str, str]], bytes]
Fill = Callable[[Gated], Awaitable[None]]

_RANDOM = re.compile(rb"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}")
_TIME = re.compile(rb'("last_update": )\d+')
_SCHEMA1 = b'{\n   "schemaVersion": 1'
_SIGNATURE = re.compile(rb"signature=[^,]+")
_PASSES = frozenset({"date", "expires", "x-docker-token"})
"""What differs from second to second; and a token of v1, which is signed anew each time."""


@dataclass(frozen=True, slots=True)
class TwoStores:
    """Both.

    Attributes:
        full: with all repositories.
        bare: with those only that a caller may pull.
    """

    full: Gated
    bare: Gated

    async def ask(
        self, protocol: str, method: str, target: str, headers: Mapping[str, str], *, body: bytes | None = None
    ) -> tuple[Told, Told]:
        """Asks both the same, and returns what they tell, in this order."""
        clients = self.full.client(protocol), self.bare.client(protocol)
        full, bare = [await each.ask(method, target, headers, body=body) for each in clients]
        return told(clients[0], full), told(clients[1], bare)


@contextlib.asynccontextmanager
async def two_stores(*schemes: Scheme, rules: str, everything: Fill, bare: Fill) -> AsyncIterator[TwoStores]:
    """Serves both until the end of the block.

    Args:
        schemes: in the order in which they are asked.
        rules: what stands in the rules file; "" for none.
        everything: puts all into a store.
        bare: puts into the other what is not hidden.
    """
    async with gated(*schemes, rules=rules) as full, gated(*schemes, rules=rules) as other:
        await everything(full)
        await bare(other)
        yield TwoStores(full, other)


def told(client: Client, answer: Answer) -> Told:
    """Returns an answer without what differs by address, by time and by chance."""
    own = client.authority.encode()

    def same(text: bytes) -> bytes:
        text = _RANDOM.sub(b"UUID", text.replace(own, b"HERE"))
        return _TIME.sub(rb"\1", _SIGNATURE.sub(b"signature=", text))

    pairs = [(key.lower(), value) for key, value in answer.head.headers if key.lower() not in _PASSES]
    lines = [(key, same(value.encode()).decode()) for key, value in pairs]
    present = [(key.lower(), "") for key, _ in answer.head.headers if key.lower() in _PASSES]
    # A port has more or fewer digits, and so has the length of a body that names it.
    body = same(answer.body)
    if body.startswith(_SCHEMA1):  # each store has a key of its own
        body = body.partition(b'"signatures"')[0]
    if own in answer.body or body.startswith(_SCHEMA1):
        lines = [(key, "" if key == "content-length" else value) for key, value in lines]
    return answer.status, sorted(lines + present), body
