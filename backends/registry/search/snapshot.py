"""The two files of the index as values: all repositories as they were, and what has been changed since. PURE.

`names` is a line with a checksum of the rest, a line of JSON, the names in bytewise order, an empty line, and a line
for each of them: `=` and its description, or `?` where that is to be looked up again. It says which file of changes
goes with it, and from where on. `changes` is a line with that file's own name, then the name of a repository for each
change. Neither is synced: what a power cut left of `names` does not have its checksum, and what it left of `changes` is
too short, or has another name.
"""

from __future__ import annotations

import json
import zlib
from bisect import bisect_left
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace

VERSION = 1
FEW = 64
"""So many are inserted one by one: a list of any length moves in a few microseconds."""

UNKNOWN = "?"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All repositories at one time.

    Attributes:
        names: sorted; whoever changes them makes a list of its own.
        descriptions: of each, behind `=`; or behind `?` what it was before.
        changes: which file of changes goes on from here.
        offset: from which byte of it on.
        began: when the storage was gone through, in seconds since 1970.
        took: how many seconds that took.
        described: since when descriptions are as they are, in seconds since 1970.
    """

    names: list[str]
    descriptions: list[str]
    changes: str
    offset: int
    began: float
    took: float
    described: float

    def changed(
        self, *, gone: Collection[str] = (), there: Mapping[str, str | None] | None = None, offset: int | None = None
    ) -> Snapshot:
        """Returns it with some repositories gone, and others there.

        Args:
            gone: names of those that are not there any more.
            there: names of those that are, with their descriptions, or None where these are to be looked up.
            offset: up to where changes have been taken over; None for as far as before.
        """
        there = there or {}
        names, descriptions = self.names, self.descriptions
        if len(gone) + len(there) > FEW:
            found = dict(zip(names, descriptions, strict=True))
            for name in gone:
                found.pop(name, None)
            for name, text in there.items():
                found[name] = _written(text, found.get(name))
            names = sorted(found)
            descriptions = [found[name] for name in names]
        elif gone or there:
            names, descriptions = names.copy(), descriptions.copy()
            for name in gone:
                place = _place(names, name)
                if place >= 0:
                    del names[place], descriptions[place]
            for name, text in there.items():
                place = _place(names, name)
                if place >= 0:
                    descriptions[place] = _written(text, descriptions[place])
                else:
                    names.insert(~place, name)
                    descriptions.insert(~place, _written(text, None))
        return replace(self, names=names, descriptions=descriptions, offset=self.offset if offset is None else offset)

    def has(self, name: str) -> bool:
        """Whether a repository is among them."""
        return _place(self.names, name) >= 0

    def undescribed(self) -> Iterator[str]:
        """Yields the names of those whose descriptions are to be looked up."""
        return (name for name, text in zip(self.names, self.descriptions, strict=True) if text[0] == UNKNOWN)


def _written(text: str | None, before: str | None) -> str:
    return f"={text}" if text is not None else UNKNOWN + (before[1:] if before is not None else "")


def _place(names: list[str], name: str) -> int:
    """Returns where a name is; where it is not, the complement of where it would be."""
    place = bisect_left(names, name)
    return place if place < len(names) and names[place] == name else ~place


def encode_snapshot(snapshot: Snapshot) -> bytes:
    """Writes it as it lies on disk."""
    head = {
        "version": VERSION,
        "changes": snapshot.changes,
        "offset": snapshot.offset,
        "began": snapshot.began,
        "took": snapshot.took,
        "described": snapshot.described,
        "count": len(snapshot.names),
    }
    content = "\n".join([json.dumps(head), *snapshot.names, "", *snapshot.descriptions]).encode()
    return _checksum(content) + b"\n" + content


def decode_snapshot(content: bytes) -> Snapshot | None:
    """Reads it; None where it is damaged, or of another version."""
    checksum, _, rest = content.partition(b"\n")
    if checksum != _checksum(rest):
        return None
    line, _, body = rest.partition(b"\n")
    try:
        head = json.loads(line)
        lines, count = body.decode().split("\n"), head["count"]
        if head["version"] != VERSION or len(lines) != 2 * count + 1 or lines[count]:
            return None
        return Snapshot(
            lines[:count],
            lines[count + 1 :],
            str(head["changes"]),
            int(head["offset"]),
            float(head["began"]),
            float(head["took"]),
            float(head["described"]),
        )
    except (ValueError, TypeError, KeyError, RecursionError):
        return None


def _checksum(content: bytes) -> bytes:
    return b"%08x" % zlib.crc32(content)


@dataclass(frozen=True, slots=True)
class Changes:
    """A file of changes, as far as it was read.

    Attributes:
        identity: its own name.
        size: in bytes, up to its last whole line.
        content: the bytes.
    """

    identity: str
    size: int
    content: bytes

    def names(self, start: int, end: int | None = None) -> dict[str, None]:
        """Returns the names between two bytes, each once."""
        lines = self.content[start : self.size if end is None else end].decode("utf-8", "replace").split("\n")
        return dict.fromkeys(line for line in lines if line and line.isprintable())

    def end_of(self, start: int, lines: int) -> int:
        """Returns where so many lines from a byte on end, or the size."""
        for _ in range(lines):
            place = self.content.find(b"\n", start, self.size)
            if place < 0:
                return self.size
            start = place + 1
        return start


def new_changes(identity: str) -> bytes:
    """Returns the content of a file of changes without any."""
    return f"{identity}\n".encode("ascii")


def decode_changes(content: bytes) -> Changes:
    """Reads a file of changes."""
    size = content.rfind(b"\n") + 1
    return Changes(content.partition(b"\n")[0].decode("ascii", "replace") if size else "", size, content)
