"""How it ends that something was to be found out about a layer."""

from __future__ import annotations


class StillWorking(Exception):  # noqa: N818 - a finding, not a fault; reads as a sentence where caught
    """A layer is being read, and that takes longer than the caller waits; it goes on without the caller.

    Attributes:
        progress: how far it is, as a clause that may be shown to a client.
    """

    def __init__(self, progress: str) -> None:
        super().__init__(progress)
        self.progress = progress


class UnreadableLayer(Exception):  # noqa: N818 - as above
    """A layer cannot be read to its end. The message is a sentence that may be shown to a client.

    Attributes:
        damaged: whether its bytes are at fault; otherwise they pass a bound of the settings.
    """

    def __init__(self, sentence: str, *, damaged: bool = True) -> None:
        super().__init__(sentence)
        self.damaged = damaged
