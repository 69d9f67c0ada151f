"""Who is told of layers that were read, for the metrics."""

from __future__ import annotations

from typing import Protocol


class LayerObserver(Protocol):
    """Is told what was done, for the metrics."""

    def measured(self, how: str, stored_bytes: int, raw_bytes: int) -> None:
        """A layer was read to its end, by `push`, `demand` or `background`."""
        ...

    def transcoded(self, stored_bytes: int, gzip_bytes: int) -> None:
        """A gzip was made of a layer."""
        ...

    def failed(self) -> None:
        """A layer could not be read to its end."""
        ...

    def passed(self, done: int, found: int) -> None:
        """The pass over old images has looked at so many of those that it has found."""
        ...


class NoObserver:
    """Nobody counts."""

    def measured(self, how: str, stored_bytes: int, raw_bytes: int) -> None:
        """Does nothing."""

    def transcoded(self, stored_bytes: int, gzip_bytes: int) -> None:
        """Does nothing."""

    def failed(self) -> None:
        """Does nothing."""

    def passed(self, done: int, found: int) -> None:
        """Does nothing."""
