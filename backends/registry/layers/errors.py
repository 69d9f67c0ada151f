"""How it ends that something was to be found out about a layer."""

from __future__ import annotations


class UnreadableLayer(Exception):  # noqa: N818 - a finding, not a fault; reads as a sentence where caught
    """A layer cannot be read to its end. The message says why, as a clause that may be shown to a client.

    Attributes:
        damaged: whether its bytes are at fault; otherwise they pass a bound of the settings.
    """

    def __init__(self, why: str, *, damaged: bool = True) -> None:
        super().__init__(why)
        self.damaged = damaged

    @property
    def remedy(self) -> str:
        """What the client's user can do, as a clause."""
        if self.damaged:
            return "push the image again"
        return "pull it with the tool that pushed it, or have the registry's operator allow it"
