"""All names and descriptions as one text each, in which a term is looked for by C: what a search finds. PURE.

It finds what `matching.match` finds for callers who may pull everything, without a look at each name by Python.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import islice

from backends.model.names import LIBRARY
from backends.model.v1names import MAX_V1_NAME

_SEPARATOR = "\n"

SHORT = 16
"""A term that is no longer is looked for piece by piece: in less than 30 000 characters CPython 3.11 looks for it in a
way that takes a third of the time, but at worst as many times as long as the term has characters."""
PIECE = 28 * 1024


class Texts:
    """What is looked through, in lower case.

    Args:
        names: all, sorted bytewise; none has a line's end in it.
        descriptions: of each, behind one character; likewise.
    """

    def __init__(self, names: Sequence[str], descriptions: Sequence[str]) -> None:
        lower = [name.lower() for name in names]
        self._count = len(lower)
        self._names = _Lines(lower)
        self._qualified = _Lines([name if "/" in name else f"{LIBRARY}/{name}" for name in lower])
        self._descriptions = _Lines([text[1:].lower() for text in descriptions])

    def match(self, term: str, *, most: int) -> Sequence[int] | None:
        """Returns the places of what is found, in the order in which `matching.match` has them.

        Args:
            term: what is looked for.
            most: of so many Python makes a list at most.

        Returns:
            None where it would have to make a list of more.
        """
        wanted = term.lower()
        if not wanted:
            return range(self._count)
        if len(wanted) > MAX_V1_NAME or _SEPARATOR in wanted:
            return []
        lines = self._qualified if "/" in wanted else self._names
        named = dict(islice(lines.holding(wanted), most + 1))
        described = list(islice(self._descriptions.holding(wanted), most + 1))
        if len(named) > most or len(described) > most:
            return None
        ranks: tuple[list[int], ...] = ([], [], [], [])
        for place, begins in named.items():
            ranks[2 if not begins else 0 if lines.length(place) == len(wanted) else 1].append(place)
        ranks[3].extend(place for place, _ in described if place not in named)
        return [place for rank in ranks for place in rank]


class _Lines:
    """Lines as one text, and where each begins."""

    def __init__(self, lines: Sequence[str]) -> None:
        self.text = _SEPARATOR.join(lines)
        self._starts = array("L", [0])
        place = 0
        for line in lines:
            place += len(line) + 1
            self._starts.append(place)

    def length(self, place: int) -> int:
        return self._starts[place + 1] - self._starts[place] - 1

    def holding(self, wanted: str) -> Iterator[tuple[int, bool]]:
        """Yields the places of the lines that have a text in them, in order, and whether they begin with it."""
        found = self._find(wanted, 0)
        while found >= 0:
            place = bisect_right(self._starts, found) - 1
            yield place, found == self._starts[place]
            found = self._find(wanted, self._starts[place + 1])

    def _find(self, wanted: str, begin: int) -> int:
        if len(wanted) > SHORT:
            return self.text.find(wanted, begin)
        while begin < len(self.text):
            found = self.text.find(wanted, begin, begin + PIECE)
            if found >= 0:
                return found
            begin += PIECE - len(wanted) + 1
        return -1
