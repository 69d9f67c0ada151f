"""What a client can read of an image: by what it accepts, and who it is. PURE (FORMATS 5).

1. `Accept` has no order and no preferences: Docker sends a line for each type, in another order each time, others one
   line with all of them. Parameters and case do not matter.
2. A client that accepts schema 2 or any of OCI's types never reads schema 1, even where it lists that too: Docker 26 to
   28 list it and refuse it.
3. Without any `Accept` it reads schema 1, as in distribution: so ask Docker 1.6 to 1.9.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from typing_extensions import override

from backends.model import media_types
from backends.model.clients import ClientProfile, Generation
from backends.model.conversion.plans import LINUX_AMD64
from backends.model.descriptors import Platform

NOT_WITH_SCHEMA1 = media_types.IMAGES | {media_types.OCI_INDEX}
"""Who reads one of these reads no schema 1."""

SINGLE = media_types.IMAGES | {media_types.SCHEMA1_SIGNED}
"""The types of manifests of a single image."""

_ANY = frozenset({"*/*", "application/*"})


@dataclass(frozen=True, slots=True)
class Reader:
    """What a client can read.

    Attributes:
        types: of manifests, those that it reads; none where it names none.
        takes_anything: it takes what is stored where that cannot be made one of `types`.
        reads_zstd: it can unpack zstd.
        platform: for which it gets an image where it cannot read an index.
        text: names the client in a sentence.
        at_once: the types of single images that it gets as they are stored, whatever is in them.
    """

    types: frozenset[str]
    takes_anything: bool
    reads_zstd: bool
    platform: Platform
    text: str
    at_once: frozenset[str]

    @override
    def __hash__(self) -> int:  # it is a key in every conversion, and two with the same text seldom differ
        return hash(self.text)

    @property
    def names_one_form(self) -> bool:
        """Whether it names a single form. Who pulls names several; containerd asks so for the digest, before a push."""
        return len(self.types) == 1 and media_types.SCHEMA1_SIGNED not in self.types


def parse_accept(lines: Iterable[str]) -> frozenset[str]:
    """Returns the types in all lines of `Accept`, without parameters, in lower case. Takes linear time."""
    return frozenset(
        name for line in lines for each in line.split(",") if (name := each.partition(";")[0].strip().lower())
    )


def reader_of(accept: Sequence[str], client: ClientProfile, *, platform: Platform = LINUX_AMD64) -> Reader:
    """Returns what a client can read.

    Args:
        accept: the lines of `Accept`.
        client: what its User-Agent says.
        platform: for clients that do not say what they run on.
    """
    listed = parse_accept(accept)
    types = listed & media_types.MANIFESTS
    if types & media_types.SCHEMA1_TYPES:
        types = types - media_types.SCHEMA1_TYPES | {media_types.SCHEMA1_SIGNED}
    takes_anything = not listed.isdisjoint(_ANY)
    if not types:
        # Docker 1.6 to 1.9 send no Accept; a proxy on their way may add one.
        if not listed or client.generation is Generation.SCHEMA1:
            types = frozenset({media_types.SCHEMA1_SIGNED})
        takes_anything = client.generation is not Generation.SCHEMA1
    if not client.reads_schema1 or types & NOT_WITH_SCHEMA1:
        types -= {media_types.SCHEMA1_SIGNED}
        takes_anything = takes_anything or not types
    at_once = types & SINGLE
    if takes_anything and not at_once:
        at_once = media_types.IMAGES
    if not client.reads_zstd:
        at_once &= {media_types.SCHEMA1_SIGNED}
    runs_on = client.runs_on
    return Reader(
        types,
        takes_anything,
        client.reads_zstd,
        platform if runs_on is None else Platform(runs_on[1], runs_on[0]),
        client.text,
        at_once,
    )
