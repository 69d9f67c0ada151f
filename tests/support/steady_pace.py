"""A disk of which nothing is learnt: on a busy machine writes seem slow, and the event loop leaves them to threads."""

from __future__ import annotations

from typing_extensions import override

from backends.storage.disk_pace import DiskPace, Sync


class SteadyPace(DiskPace):
    """Keeps up as it is told, whatever its writes and fsyncs take.

    Args:
        keeps_up: whether it does.
    """

    def __init__(self, *, keeps_up: bool) -> None:
        super().__init__()
        self.keeps_up = keeps_up

    @override
    def wrote(self, size: int, seconds: float) -> None:
        pass

    @override
    def sync_ended(self, sync: Sync, size: int, seconds: float | None) -> None:
        pass
