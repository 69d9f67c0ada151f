"""Which folders lead to names that patterns fit, so that a list looks into no others. PURE.

Names are paths of components. Patterns are kept as a tree of these: a walk follows it beside the folders, and where the
tree has no wildcard it knows the few names that can be there without listing a folder at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from backends.auth.globs import Glob, compile_names


@dataclass(slots=True)
class _Folder:
    """What patterns say of the components at one place."""

    texts: dict[str, _Folder] = field(default_factory=dict)
    wild: dict[str, tuple[Callable[[str], bool], _Folder]] = field(default_factory=dict)
    is_open: bool = False


def is_whole_folder(pattern: Glob) -> bool:
    """Whether a pattern such as `team/**` or `*/old/**` fits all that is below a folder."""
    head, _, last = pattern.pattern.rpartition("/")
    return last == "**" and "**" not in head


class Folders:
    """The folders of patterns.

    Args:
        patterns: of names.
    """

    def __init__(self, patterns: Iterable[Glob]) -> None:
        self._root = _Folder()
        for pattern in patterns:
            self._add(pattern)

    def below(self, above: Sequence[str]) -> frozenset[str] | None:
        """Returns the components that may follow in a name that fits: none where no such name is below a folder.

        None: any may.
        """
        found = self._at(above)
        if found is None or any(each.wild for each in found):
            return None
        return frozenset(text for each in found for text in each.texts)

    def are_above(self, place: Sequence[str]) -> bool:
        """Whether a folder is one of `is_whole_folder`, or within one; asked where there are only such patterns."""
        return self._at(place) is None

    def _at(self, above: Sequence[str]) -> Sequence[_Folder] | None:
        """Returns the places in the tree that a folder is at; None where one of them is open to all that is below."""
        here = [self._root]
        for component in above:
            if any(each.is_open for each in here):
                return None
            below = [each.texts[component] for each in here if component in each.texts]
            below += [folder for each in here for fits, folder in each.wild.values() if fits(component)]
            here = below
        return None if any(each.is_open for each in here) else here

    def _add(self, pattern: Glob) -> None:
        folder = self._root
        for component in pattern.pattern.split("/"):
            if "**" in component:
                folder.is_open = True
                return
            glob = compile_names(component)
            if glob.fits is None:
                folder = folder.texts.setdefault(glob.head, _Folder())
                continue
            folder = folder.wild.setdefault(component, (glob.fits, _Folder()))[1]
