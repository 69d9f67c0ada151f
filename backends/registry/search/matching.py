"""Which of all repositories a search finds, and in which order. PURE.

A caller who may not pull all of them finds what its rules lead to. These are looked for first and by name alone, and
only they are compared with the term: how long that takes says nothing of what the others are called.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence

from backends.model.names import LIBRARY
from backends.model.v1names import MAX_V1_NAME
from backends.registry.visible import Visible

_AFTER_SLASH = chr(ord("/") + 1)


def match(names: Sequence[str], descriptions: Sequence[str], term: str, *, visible: Visible | None) -> list[int]:
    """Returns the places of what is found: the name itself, then those that begin with it, have it, describe it.

    Each of the four is by name. Case means nothing, no character stands for another, and the empty term finds all.

    Args:
        names: all, sorted bytewise.
        descriptions: of each, behind one character.
        term: what is looked for. Where it has a slash in it, `x` is `library/x`, as v1 calls it.
        visible: which there are for whoever asks; None for all.
    """
    shown: Iterable[int] = range(len(names)) if visible is None else list(_shown(names, visible))
    wanted = term.lower()
    if not wanted:
        return list(shown)
    if len(wanted) > MAX_V1_NAME:
        return []
    has_slash = "/" in wanted
    ranks: tuple[list[int], ...] = ([], [], [], [])
    for place in shown:
        name = names[place].lower()
        if has_slash and "/" not in name:
            name = f"{LIBRARY}/{name}"
        if wanted in name:
            ranks[0 if name == wanted else 1 if name.startswith(wanted) else 2].append(place)
        elif len(descriptions[place]) > 1 and wanted in descriptions[place][1:].lower():
            ranks[3].append(place)
    return [place for rank in ranks for place in rank]


def _shown(names: Sequence[str], visible: Visible) -> Iterator[int]:
    return iter(sorted(set(_below(names, visible, (), 0, len(names)))))


def _below(names: Sequence[str], visible: Visible, above: tuple[str, ...], first: int, end: int) -> Iterator[int]:
    """Yields the places of what is shown of the names in a folder, which are those from one place to another."""
    known = visible.below(above)
    if known is None:
        yield from (place for place in range(first, end) if visible.allows(names[place]))
        return
    for component in known:
        path = "/".join((*above, component))
        place = bisect_left(names, path, first, end)
        if place < end and names[place] == path and visible.allows(path):
            yield place
        begins = bisect_left(names, f"{path}/", place, end)
        ends = bisect_left(names, path + _AFTER_SLASH, begins, end)
        if begins < ends:
            yield from _below(names, visible, (*above, component), begins, ends)
