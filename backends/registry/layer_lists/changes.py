"""What an image's layer changes of what lies below it, as docker-registry 0.9.1 decides it, in little memory.

Each file of the layer is looked for in the images below, the nearest first:

- a whiteout is deleted;
- what the nearest image that has it has as a file is changed;
- what that has as a whiteout, or none has, is created.

An image without a parent has created all, whiteouts too. Where a name stands twice in a layer, the last counts.
What is kept is a byte for each row, and the names of a part of the rows at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from enum import IntEnum

from backends.model.v1files import Row, encode_change
from backends.registry.layer_lists.stored import GROUPS

NAMES_AT_ONCE = 100_000
CHARACTERS_AT_ONCE = 32 * 1024 * 1024
"""So many names are looked for at once, and of so many characters together."""


class Fate(IntEnum):
    """What has become of a file; the first three in the order of their groups."""

    DELETED = 0
    CHANGED = 1
    CREATED = 2
    REPLACED = 3


class Changes:
    """Finds out the fates of a layer's rows. Each method is called in a thread, rows in the order of their list.

    First `count` for each row of the layer, and `counted`; then, for each of `parts`: `begin`, `want` for each row of
    the layer, and for each image below it `look` for each of its rows, and `passed`; then, for each group, what
    `teller` returns for each row of the layer.

    Args:
        has_parent: whether there is an image below it.
        at_once: so many names are looked for at once.

    Attributes:
        parts: so many times the images below are gone through.
    """

    def __init__(self, *, has_parent: bool, at_once: int = NAMES_AT_ONCE) -> None:
        self._has_parent = has_parent
        self._at_once = at_once
        self.parts = 0
        self._rows = 0
        self._characters = 0
        self._fates = bytearray()
        self._part = 0
        self._wanted: dict[str, int] = {}
        self._met: set[str] = set()
        self._row = 0

    def count(self, row: Row) -> None:
        """Counts the layer's rows."""
        self._rows += 1
        self._characters += len(row[0])

    def counted(self) -> None:
        """Says that there are no more."""
        self._fates = bytearray(self._rows)
        self.parts = max(-(-self._rows // self._at_once), -(-self._characters // CHARACTERS_AT_ONCE))

    def begin(self, part: int) -> None:
        """Begins with a part of the names."""
        self._part, self._row = part, 0
        self._wanted.clear()

    def want(self, row: Row) -> None:
        """Has a row of the layer looked for, if it is of this part."""
        name, is_deleted, at = row[0], row[2], self._row
        self._row += 1
        if hash(name) % self.parts != self._part:
            return
        replaced = self._wanted.get(name)
        if replaced is not None:
            self._fates[replaced] = Fate.REPLACED
        self._fates[at] = Fate.DELETED if is_deleted and self._has_parent else Fate.CREATED
        self._wanted[name] = at

    def wanted(self) -> bool:
        """Whether any name is still looked for; asked before each image below."""
        for name in [name for name, at in self._wanted.items() if self._fates[at] == Fate.DELETED]:
            del self._wanted[name]
        return bool(self._wanted)

    def look(self, row: Row) -> None:
        """Looks at a row of an image below."""
        at = self._wanted.get(row[0])
        if at is not None:
            self._fates[at] = Fate.CREATED if row[2] else Fate.CHANGED
            self._met.add(row[0])

    def passed(self) -> None:
        """Says that an image has no more rows."""
        for name in self._met:
            del self._wanted[name]
        self._met.clear()

    def teller(self, group: str, write: Callable[[bytes], None]) -> Callable[[Row], None]:
        """Returns what writes those rows of the layer that are of a group, of all rows."""
        wanted, separator, numbers = GROUPS.index(group), b"", iter(range(self._rows))

        def tell(row: Row) -> None:
            nonlocal separator
            if self._fates[next(numbers)] == wanted:
                write(separator + encode_change(row))
                separator = b", "

        return tell


def frames() -> Iterator[tuple[str, bytes, bytes]]:
    """Yields each group with what stands before it and after it."""
    for number, group in enumerate(GROUPS):
        yield group, f'{", " if number else "{"}"{group}": {{'.encode(), b"}}" if group == GROUPS[-1] else b"}"
