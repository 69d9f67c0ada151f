"""What is raised where work takes longer than its caller waits; the work goes on (DECISIONS 4)."""

from __future__ import annotations

PATIENCE_SECONDS = 20.0
"""How long a client is kept waiting before it is told to ask again: containerd gives up after 30 seconds."""


class StillWorking(Exception):  # noqa: N818 - a state, not a fault
    """A conversion, or the measuring of its layers, has not finished; ask again.

    Attributes:
        progress: how far it is, a sentence that may be shown to a client.
    """

    def __init__(self, progress: str) -> None:
        super().__init__(progress)
        self.progress = progress
