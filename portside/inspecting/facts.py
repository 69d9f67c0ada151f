"""What `portside inspect` finds out. PURE."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from backends.model import media_types
from backends.model.targets import Target, V1Target
from portside.inspecting.clients import ClientGroup


class Making(Enum):
    """Whether what a client receives is there already; the value is for machines."""

    STORED = "stored"
    """As it was pushed."""

    MADE = "made"
    """A conversion has made it."""

    COMPUTED = "computed"
    """A conversion would make exactly this, and has not yet."""

    UNKNOWN = "unknown"
    """A conversion would make it; which digest it gets, only its layers tell, and they have not been read."""

    REFUSED = "refused"
    """Nothing."""


@dataclass(frozen=True, slots=True)
class Names:
    """The names of a repository.

    Attributes:
        canonical: the one by which access is decided.
        v1: what clients of v1 call it; None where v1 has no name for it.
        aliases: other names that stand for it.
        is_v1_only: whether v2 cannot have its name.
        note: a sentence about them; "" for none.
    """

    canonical: str
    v1: str | None
    aliases: tuple[str, ...] = ()
    is_v1_only: bool = False
    note: str = ""


@dataclass(frozen=True, slots=True)
class Stored:
    """What a tag or a digest names.

    Attributes:
        target: a manifest or an image of v1.
        media_type: its type.
        size: of the manifest, in bytes; None for an image of v1.
        total: of all that it names and is here, each counted once, in bytes.
        layers: how many an image has; None for an index.
        written: when the tag was set, in seconds since 1970; None where it is not asked for by a tag.
        writer: by whom, as far as that is recorded.
    """

    target: Target
    media_type: str
    size: int | None
    total: int | None
    layers: int | None = None
    written: float | None = None
    writer: str = ""

    @property
    def name(self) -> str:
        """The digest or the image id."""
        return self.target.image_id if isinstance(self.target, V1Target) else str(self.target.digest)

    @property
    def generation(self) -> str:
        """The protocol by which it was pushed."""
        return "v1" if isinstance(self.target, V1Target) else "v2"


@dataclass(frozen=True, slots=True)
class Entry:
    """A manifest in an index.

    Attributes:
        platform: `linux/arm64`; "" where it says none.
        media_type: its type.
        digest: what names it.
        size: of the manifest, in bytes.
        total: as of `Stored`.
        is_here: whether the repository has it.
        kind: `image`, `attestation`, `index` or `other`.
    """

    platform: str
    media_type: str
    digest: str
    size: int
    total: int | None
    is_here: bool
    kind: str


@dataclass(frozen=True, slots=True)
class Received:
    """What a group of clients receives.

    Attributes:
        group: the clients.
        making: whether it is there.
        media_type: its type; "" for nothing.
        name: its digest or image id; "" where that is not known.
        size: of the manifest, in bytes, where it is known.
        rule: how it is made; "" where it is as it was pushed.
        why: a sentence why it is nothing.
    """

    group: ClientGroup
    making: Making
    media_type: str = ""
    name: str = ""
    size: int | None = None
    rule: str = ""
    why: str = ""


@dataclass(frozen=True, slots=True)
class Derived:
    """A manifest that a conversion has made and that is kept.

    Attributes:
        digest: what names it.
        media_type: its type.
        size: in bytes.
        rule: how it was made.
    """

    digest: str
    media_type: str
    size: int
    rule: str


@dataclass(frozen=True, slots=True)
class Inspection:
    """All about a tag or a digest.

    Attributes:
        names: of its repository.
        tag: the tag; None where a digest was asked for.
        stored: what it names.
        made_of: of a derived manifest, what it was made of.
        entries: of an index.
        received: by each group of clients.
        derived: what was made of it.
    """

    names: Names
    tag: str | None
    stored: Stored
    made_of: Stored | None = None
    made_by: str = ""
    entries: Sequence[Entry] = ()
    received: Sequence[Received] = ()
    derived: Sequence[Derived] = ()


@dataclass(frozen=True, slots=True)
class RepositoryInspection:
    """All tags of a repository.

    Attributes:
        names: its names.
        tags: each with what it names; None where that is not here.
    """

    names: Names
    tags: Sequence[tuple[str, Stored | None]]


WORDS = {
    media_types.V1_IMAGE: "v1 image",
    media_types.SCHEMA1: "schema 1",
    media_types.SCHEMA1_SIGNED: "schema 1",
    media_types.SCHEMA2: "schema 2",
    media_types.MANIFEST_LIST: "manifest list",
    media_types.OCI_MANIFEST: "OCI manifest",
    media_types.OCI_INDEX: "OCI index",
}
"""What forms are called in a sentence."""
