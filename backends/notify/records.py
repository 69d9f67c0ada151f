r"""The log's format: lines, each with its sequence, its kind, a checksum and an event. PURE.

    17 e 8f3a2b1c {"id":"...","action":"push",...}

A line that is not whole or whose checksum is wrong is skipped: what a killed writer or a power cut has left. Writers
begin a new line after such a tail and never cut it off, so nothing that was written is ever destroyed. Compact JSON
holds no newline, so a line can be found from any place of a file, also backwards. Zeros behind the last
line are padding.

The kinds: `e` an event, `p` a pull (which may be dropped before others), `d` so many pulls have been dropped, the last
of them with this sequence, `s` the end of a file.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

HIGHEST = 10**18
"""No log comes to so high a sequence: what names a higher one is damaged."""

_LONGEST_NUMBER = 19
_FIELDS = 4
_CHECKSUM = 8


class Kind(Enum):
    """What a line is."""

    EVENT = b"e"
    PULL = b"p"
    DROPPED = b"d"
    SEAL = b"s"


_KINDS = {kind.value: kind for kind in Kind}


@dataclass(frozen=True, slots=True)
class Record:
    """A line.

    Attributes:
        sequence: its place in the log; that of the last pull that was dropped, or of the last record of a file.
        payload: the event; how many were dropped, in digits; nothing.
    """

    sequence: int
    kind: Kind
    payload: bytes


def encode(record: Record) -> bytes:
    """Returns a record as a line, with its end.

    Raises:
        ValueError: the payload has a newline, so it is not compact JSON.
    """
    if b"\n" in record.payload:
        raise ValueError("an event must be one line")
    fields = b"%d %b" % (record.sequence, record.kind.value)
    return b"%b %08x %b\n" % (fields, _checksum(fields, record.payload), record.payload)


def decode(line: bytes) -> Record | None:
    """Returns a line, given without its end, as a record; None when it is damaged."""
    fields = line.split(b" ", _FIELDS - 1)
    if len(fields) != _FIELDS:
        return None
    number, letter, checksum, payload = fields
    kind = _KINDS.get(letter)
    if kind is None or not number.isdigit() or len(number) > _LONGEST_NUMBER or len(checksum) != _CHECKSUM:
        return None
    if checksum != b"%08x" % _checksum(b"%b %b" % (number, letter), payload):
        return None
    return Record(int(number), kind, payload)


def split(chunk: bytes) -> tuple[Sequence[Record], int]:
    """Returns the whole records of a piece that begins with a line, and how many bytes of it are whole lines."""
    end = chunk.rfind(b"\n") + 1
    return [record for line in chunk[:end].split(b"\n") if line and (record := decode(line))], end


def last(chunk: bytes, *, begins_line: bool) -> Record | None:
    """Returns the last whole record of a piece; None when it has none.

    Args:
        chunk: the piece.
        begins_line: whether it begins with a line. If not, its beginning is never read as one: a client chooses some of
            the text within an event.
    """
    end = chunk.rfind(b"\n")
    while end >= 0:
        start = chunk.rfind(b"\n", 0, end)
        if start < 0 and not begins_line:
            return None
        if record := decode(chunk[start + 1 : end]):
            return record
        end = start
    return None


def without_pulls(content: bytes) -> tuple[bytes, int]:
    """Returns the content of a file with a count in place of each run of pulls, and how many pulls that leaves out."""
    kept: list[bytes] = []
    run = until = left_out = 0
    for record in (*split(content)[0], None):
        match record:
            case Record(kind=Kind.PULL):
                run, until, left_out = run + 1, record.sequence, left_out + 1
                continue
            case Record(kind=Kind.DROPPED):
                run, until = run + int(record.payload), record.sequence
                continue
            case _:
                pass
        if run:
            kept.append(encode(Record(until, Kind.DROPPED, b"%d" % run)))
            run = 0
        if record is not None:
            kept.append(encode(record))
    return b"".join(kept), left_out


def _checksum(fields: bytes, payload: bytes) -> int:
    return zlib.crc32(payload, zlib.crc32(fields))
