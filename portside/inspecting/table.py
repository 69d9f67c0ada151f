"""What `portside inspect` found out, as lines for people. PURE.

On a terminal no line is wider than it: digests are cut there, and sentences go on in the next line. Elsewhere
everything is whole.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from textwrap import wrap

from backends.storage.room import show_size
from portside.inspecting.facts import WORDS, Derived, Inspection, Making, Names, Received, RepositoryInspection, Stored

SHORT_HEX = 12
"""So many digits of a digest are enough to tell it from others, as Docker shows them."""

LEAST_HEX = 32
"""What has fewer is no digest, and no image id."""

LEAST_WIDTH = 40
SENTENCE = 4
"""How far sentences are indented."""

_SAYS = {
    Making.COMPUTED: "not made yet",
    Making.UNKNOWN: "not made yet: its layers have to be read",
}
_BY = {Making.STORED: "as it was pushed", Making.MADE: "as it was made"}
_NOTHING = "-"


def as_table(found: Inspection | RepositoryInspection, *, width: int | None) -> str:
    """Returns it as lines.

    Args:
        found: what was found out.
        width: of the terminal, in columns; None where nothing is cut.
    """
    table = _Table(None if width is None else max(width, LEAST_WIDTH))
    if isinstance(found, RepositoryInspection):
        return "\n".join([*table.names(found.names), "", *table.tags(found.tags)])
    return "\n".join(table.inspection(found))


class _Table:
    def __init__(self, width: int | None) -> None:
        self._width = width

    def names(self, names: Names) -> Iterator[str]:
        yield from self._fact("name", names.canonical)
        if names.v1 is not None and names.v1 not in {names.canonical, *names.aliases}:
            yield from self._fact("in v1", names.v1)
        if names.aliases:
            yield from self._fact("aliases", ", ".join(names.aliases))
        if names.note:
            yield from self._fact("note", names.note)

    def tags(self, tags: Sequence[tuple[str, Stored | None]]) -> Iterator[str]:
        if not tags:
            yield "no tags"
            return
        rows = [
            (tag, "not here", _NOTHING, _NOTHING, _NOTHING)
            if each is None
            else (tag, WORDS[each.media_type], each.name, _size(each.total), _date(each.written))
            for tag, each in tags
        ]
        yield from self._rows(("TAG", "STORED", "DIGEST OR ID", "SIZE", "SET"), rows)

    def inspection(self, found: Inspection) -> Iterator[str]:
        yield from self.names(found.names)
        stored = found.stored
        if found.tag is not None:
            yield from self._fact("tag", found.tag)
        origin = f"pushed by {stored.generation}" if found.made_of is None else "made by a conversion"
        yield from self._fact("stored", f"{WORDS[stored.media_type]}, {origin}")
        yield from self._fact("id" if stored.generation == "v1" else "digest", stored.name)
        if stored.total is not None:
            layers = "" if stored.layers is None else f" in {stored.layers} {_plural('layer', stored.layers)}"
            yield from self._fact("size", show_size(stored.total) + layers)
        if stored.written is not None:
            by = f" by {stored.writer}" if stored.writer else ""
            yield from self._fact("tag set", _date(stored.written) + by)
        if found.made_of is not None:
            what = f"{WORDS[found.made_of.media_type]} {found.made_of.name} ({found.made_by})"
            yield from self._fact("made of", what)
        if found.entries:
            rows = [
                (
                    each.platform or each.kind,
                    WORDS.get(each.media_type, each.kind) if each.is_here else "not here",
                    each.digest,
                    _size(each.total),
                )
                for each in found.entries
            ]
            yield ""
            yield from self._rows(("PLATFORM", "STORED", "DIGEST", "SIZE"), rows)
        yield ""
        yield from self._received(found.received)
        if found.derived:
            yield ""
            yield from self._derived(found.derived)

    def _received(self, received: Sequence[Received]) -> Iterator[str]:
        """Yields a row for each group of clients; how it is made, or why it is nothing, goes below."""
        head = ("CLIENT", "RECEIVES", "DIGEST OR ID", "SIZE")
        rows = [
            (
                each.group.text,
                WORDS.get(each.media_type, "nothing"),
                each.name or _NOTHING,
                _size(each.size),
            )
            for each in received
        ]
        lines = list(self._rows(head, rows))
        indent = max(len(row[0]) for row in (head, *rows)) + 2
        yield lines[0]
        for each, line in zip(received, lines[1:], strict=True):
            yield line
            if each.why:  # there may be a digest in it, which is not broken
                yield from self._wrapped(each.why, SENTENCE)
                continue
            says = [each.rule or _BY.get(each.making, "")]
            if each.making in _SAYS:
                says.append(_SAYS[each.making])
            yield from self._wrapped("; ".join(filter(None, says)), indent)

    def _derived(self, derived: Sequence[Derived]) -> Iterator[str]:
        rows = [(WORDS[each.media_type], each.digest, each.rule) for each in derived]
        yield from self._rows(("MADE OF IT", "DIGEST", "RULE"), rows)

    # layout

    def _fact(self, key: str, text: str) -> Iterator[str]:
        first, *rest = list(self._wrapped(text, len("aliases") + 2)) or [""]
        yield key.ljust(len("aliases")) + "  " + first.strip()
        yield from rest

    def _wrapped(self, text: str, indent: int) -> Iterator[str]:
        if not text:
            return
        room = 10_000 if self._width is None else max(self._width - indent, LEAST_WIDTH - indent, 10)
        for line in wrap(text, room, break_long_words=False, break_on_hyphens=False):
            yield " " * indent + line

    def _rows(self, head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
        cut = [head, *rows]
        if self._width is not None and max(map(len, _aligned(cut))) > self._width:
            cut = [head, *([_short(text) for text in row] for row in rows)]
            excess = max(map(len, _aligned(cut))) - self._width
            if excess > 0:  # the first column has names, of any length
                longest = max(len(row[0]) for row in cut)
                cut = [[_end(row[0], max(longest - excess, 8)), *row[1:]] for row in cut]
        for line in _aligned(cut):
            yield line if self._width is None else line[: self._width]


def _aligned(rows: Sequence[Sequence[str]]) -> Sequence[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _short(text: str) -> str:
    """Cuts a digest or an image id."""
    algorithm, colon, digits = text.rpartition(":")
    if len(digits) >= LEAST_HEX and all(digit in "0123456789abcdef" for digit in digits):
        return algorithm + colon + digits[:SHORT_HEX]
    return text


def _end(text: str, length: int) -> str:
    return text if len(text) <= length else "…" + text[1 - length :]


def _size(size: int | None) -> str:
    return _NOTHING if size is None else show_size(size)


def _date(seconds: float | None) -> str:
    return _NOTHING if seconds is None else time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(seconds))


def _plural(word: str, count: int) -> str:
    return word if count == 1 else f"{word}s"
