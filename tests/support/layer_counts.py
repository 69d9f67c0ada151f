"""What the metrics hear of layers."""

from __future__ import annotations


class Counted:
    """A `LayerObserver` that remembers."""

    def __init__(self) -> None:
        self.reads: list[str] = []
        self.gzips = 0
        self.looked_at = (0, 0)
        self.failures = 0

    def measured(self, how: str, stored_bytes: int, raw_bytes: int) -> None:
        assert stored_bytes >= 0
        assert raw_bytes >= 0
        self.reads.append(how)

    def transcoded(self, stored_bytes: int, gzip_bytes: int) -> None:
        assert stored_bytes >= 0
        assert gzip_bytes > 0
        self.gzips += 1

    def passed(self, done: int, found: int) -> None:
        self.looked_at = (done, found)

    def failed(self) -> None:
        self.failures += 1
