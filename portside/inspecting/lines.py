"""A whole registry as lines, one for each tag, for people and for machines. PURE."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from backends.model import media_types
from portside.inspecting.as_json import names_as_json, received_as_json, stored_as_json
from portside.inspecting.clients import GROUPS
from portside.inspecting.facts import WORDS, Making, Names, Received, Stored

_CELLS = {
    media_types.V1_IMAGE: "v1",
    media_types.SCHEMA1: "s1",
    media_types.SCHEMA1_SIGNED: "s1",
    media_types.SCHEMA2: "s2",
    media_types.MANIFEST_LIST: "list",
    media_types.OCI_MANIFEST: "OCI",
    media_types.OCI_INDEX: "index",
}
_WIDTH = max(len(word) for word in (*_CELLS.values(), *(group.short for group in GROUPS))) + 2
_STORED_WIDTH = max(map(len, WORDS.values())) + 2

LEGEND = (
    "Columns: clients from that version of Docker on, as portside inspect NAME:TAG has them. =: as it was pushed;"
    " s1, s2: schema 1, schema 2; -: nothing, and portside inspect NAME:TAG says why"
)


@dataclass(frozen=True, slots=True)
class Line:
    """A tag, or a repository that has none.

    Attributes:
        names: of its repository.
        tag: the tag; None where the repository has none.
        stored: what it names; None where that is not here.
        received: by each group of clients.
        why: a sentence where nothing is stored.
    """

    names: Names
    tag: str | None = None
    stored: Stored | None = None
    received: Sequence[Received] = ()
    why: str = ""


def head() -> str:
    """Returns what stands above the columns."""
    cells = "".join(group.short.ljust(_WIDTH) for group in GROUPS)
    return f"{cells}{'STORED'.ljust(_STORED_WIDTH)}NAME:TAG"


def as_row(line: Line) -> str:
    """Returns a line for people: what has a fixed width first, so that nothing waits for the longest name."""
    name = line.names.canonical
    if line.tag is None:
        return f"{'-'.ljust(_WIDTH) * len(GROUPS)}{'no tags'.ljust(_STORED_WIDTH)}{name}"
    if line.stored is None:
        return f"{'-'.ljust(_WIDTH) * len(GROUPS)}{'not here'.ljust(_STORED_WIDTH)}{name}:{line.tag}  {line.why}"
    cells = "".join(_cell(each).ljust(_WIDTH) for each in line.received)
    return f"{cells}{WORDS[line.stored.media_type].ljust(_STORED_WIDTH)}{name}:{line.tag}"


def as_json_line(line: Line) -> str:
    """Returns a line for machines: an object of keys that `portside inspect NAME:TAG --json` has, too."""
    document = {
        "names": names_as_json(line.names),
        "tag": line.tag,
        "stored": None if line.stored is None else stored_as_json(line.stored),
        "clients": [received_as_json(each) for each in line.received],
        "why": line.why or None,
    }
    return json.dumps(document, separators=(",", ":"))


def _cell(each: Received) -> str:
    if each.making is Making.REFUSED:
        return "-"
    return "=" if each.making is Making.STORED and not each.rule else _CELLS[each.media_type]
