"""Where a list goes while it is made."""

from __future__ import annotations

from typing import Protocol

from backends.registry.layers.errors import UnreadableLayer
from backends.storage.driver import Chunk

MEMORY_BYTES = 8 * 1024 * 1024


class Sink(Protocol):
    """Takes what follows; a `Writer` of storage is one."""

    async def write(self, chunk: Chunk) -> None: ...


class KeptInMemory:
    """Keeps a list in memory, where nothing may be written."""

    def __init__(self) -> None:
        self.content = bytearray()

    async def write(self, chunk: Chunk) -> None:
        """Takes what follows.

        Raises:
            UnreadableLayer: it is too much.
        """
        self.content += chunk
        require_room_in_memory(len(self.content))


def require_room_in_memory(size: int) -> None:
    """Raises UnreadableLayer where one list, or all that are compared, are too much."""
    if size > MEMORY_BYTES:
        raise UnreadableLayer(
            f"its list takes more than {MEMORY_BYTES} bytes, or those below it do, and nothing is written here while"
            " this registry is read-only or its disk is almost full; ask again when that is over",
            damaged=False,
        )
