"""A connection's request while it goes on to a registry in another process without having been read (`Passage`).

aiohttp's protocol knows nothing of it: its task waits for a request all the while. What comes from the client meanwhile
is held, and read no further; when the answer is sent, it is received as if it had come then. An answer that takes a
handler is given by one: the request is parsed after all, and its handler finds the answer under
`request_context.PASSED_ON`.
"""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter

from backends.dependencies import Passage, Passing


class PassedOn:
    """The request.

    Args:
        head: its bytes.
        peer: the address of its client.

    Attributes:
        held: what has come behind it.
        passing: it on its way.
    """

    __slots__ = ("_began", "_peer", "head", "held", "passing")

    def __init__(self, head: bytes, peer: str) -> None:
        self.head = head
        self.held = b""
        self.passing: Passing | None = None
        self._peer = peer
        self._began = perf_counter()

    def begin(self, passage: Passage, done: Callable[[], None]) -> bool:
        """Passes it on; returns whether that could be done at once."""
        self.passing = passage.begin(self.head, self._peer, done)
        return self.passing is not None

    def tell(self) -> None:
        """Leaves what it leaves, once its answer was sent."""
        assert self.passing is not None
        self.passing.tell(self._peer, perf_counter() - self._began)

    def leave(self) -> None:
        """Says that its client has gone."""
        assert self.passing is not None
        self.passing.leave(self._peer, perf_counter() - self._began)
