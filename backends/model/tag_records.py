"""What a tag names where both generations have files of it, whoever wrote them. PURE.

v2's link and v1's file stay each as its own program wrote them, so the two may name different things. A record says
what the tag named when the two files were as it describes them. Whichever has changed since was written by somebody who
wrote no new record, a foreign program or a process that was killed before it came to it, and names the tag now.

So a record of the state *before* a move is what makes the move atomic: until the new file is there the tag names what
it named, and from then on what is in the new file.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from backends.model.digest import parse_digest
from backends.model.errors import RegistryError
from backends.model.names import ImageId, is_image_id
from backends.model.strict_json import parse_json
from backends.model.targets import Target, V1Target, V2Target, target_text

MAX_WRITER = 200
"""More of a User-Agent is not recorded."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A generation's own file of a tag.

    Attributes:
        target: what it names.
        modified: when it was written, in seconds since 1970, as the file system says.
    """

    target: Target
    modified: float


@dataclass(frozen=True, slots=True)
class TagRecord:
    """What a tag named when its files were like this.

    Attributes:
        target: what it named; None: there was no such tag, whatever its files said.
        v2: v2's link; None: there was none, or it named nothing.
        v1: v1's file, likewise.
        written: when this was recorded, in RFC 3339.
        writer: by whom: its User-Agent.
    """

    target: Target | None
    v2: Seen | None
    v1: Seen | None
    written: str = ""
    writer: str = ""

    def says_the_same_as(self, other: TagRecord) -> bool:
        """Whether both say the same of the tag, whoever wrote them and when."""
        return (self.target, self.v2, self.v1) == (other.target, other.v2, other.v1)


def named(record: TagRecord | None, *, v2: Seen | None, v1: Seen | None) -> Target | None:
    """Returns what a tag names, by its record if it has one and by its files as they are now; None for nothing.

    One file that differs from the record was written, or removed, by somebody else, and that holds. Where both differ,
    and where there is no record, the younger one holds; of equal age, v2's.
    """
    if record is None:
        return _younger(v2, v1)
    v2_differs, v1_differs = v2 != record.v2, v1 != record.v1
    if v2_differs and v1_differs:
        return _younger(v2, v1)
    if v2_differs:
        return _after(record.target, v2, V2Target)
    if v1_differs:
        return _after(record.target, v1, V1Target)
    return record.target


def _younger(v2: Seen | None, v1: Seen | None) -> Target | None:
    if v2 is not None and (v1 is None or v2.modified >= v1.modified):
        return v2.target
    return None if v1 is None else v1.target


def _after(target: Target | None, changed: Seen | None, kind: type[Target]) -> Target | None:
    """Returns what a tag names after its file of one kind has changed; it may have been removed."""
    if changed is not None:
        return changed.target
    return None if isinstance(target, kind) else target


def dump_record(record: TagRecord) -> bytes:
    """Writes a record as it is stored."""
    document = {
        "target": None if record.target is None else target_text(record.target),
        "v1": _dump_seen(record.v1),
        "v2": _dump_seen(record.v2),
        "writer": record.writer[:MAX_WRITER].encode("ascii", "replace").decode(),
        "written": record.written,
    }
    return json.dumps(document, indent=1).encode() + b"\n"


def load_record(content: bytes) -> TagRecord | None:
    """Parses a stored record.

    Returns:
        the record; None when it is damaged: then the tag's files say what it names.
    """
    try:
        document = parse_json(content)
        target = document["target"]
        return TagRecord(
            None if target is None else parse_target(target),
            _load_seen(document["v2"]),
            _load_seen(document["v1"]),
            str(document["written"]),
            str(document["writer"]),
        )
    except (ValueError, RecursionError, KeyError, TypeError, RegistryError):
        return None


def parse_target(text: str) -> Target:
    """Parses what `target_text` writes: an image id, or a digest.

    Raises:
        RegistryError: it is neither.
    """
    return V1Target(ImageId(text)) if is_image_id(text) else V2Target(parse_digest(text))


def _dump_seen(seen: Seen | None) -> Mapping[str, Any] | None:
    return None if seen is None else {"modified": seen.modified, "names": target_text(seen.target)}


def _load_seen(document: Any) -> Seen | None:
    return None if document is None else Seen(parse_target(document["names"]), float(document["modified"]))
