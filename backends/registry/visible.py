"""Which repositories there are for whoever asks for a list. PURE."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class Visible(Protocol):
    """Decides about names; says where a walk need not look."""

    def allows(self, name: str) -> bool:
        """Whether a repository is shown."""
        ...

    def below(self, above: Sequence[str]) -> frozenset[str] | None:
        """Returns the components that may follow those of a folder in a name that is shown; None: any may.

        Args:
            above: components, as a tuple; () for the beginning of all names.
        """
        ...


def leads_on(visible: Visible | None, path: tuple[str, ...]) -> bool:
    """Whether a folder may be a repository that is shown, or have one below it."""
    return visible is None or visible.allows("/".join(path)) or visible.below(path) != frozenset()
