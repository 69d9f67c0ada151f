"""What may be found on a volume, and how it is mended. PURE. `docs/v1-check.md` explains each kind; a test compares."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from enum import Enum

Evidence = tuple[int, int, int] | None
"""Inode, time and size of the file that a finding is about, by which a change is seen; None where there is none."""

_AGAIN = "Push the image again with a Docker that has it."
_MAKE_ROOM = "Move {where} out of the volume, then push the image again."


class Kind(Enum):
    """What is found: its name, whether it is wrong (else it is only worth knowing), and how it is mended."""

    LAYER_MISSING = "layer-missing", True, _AGAIN
    LAYER_UNREADABLE = "layer-unreadable", True, f"Restore it from a backup, or remove it. {_AGAIN}"
    CHECKSUM_WRONG = "checksum-wrong", True, _MAKE_ROOM
    JSON_INVALID = "json-invalid", True, _MAKE_ROOM
    JSON_OTHER_ID = "json-other-id", True, _MAKE_ROOM
    ANCESTRY_MISSING = "ancestry-missing", True, _MAKE_ROOM
    ANCESTRY_INVALID = "ancestry-invalid", True, _MAKE_ROOM
    ANCESTRY_WRONG = "ancestry-wrong", True, _MAKE_ROOM
    PARENT_MISSING = "parent-missing", True, _AGAIN
    PARENT_CYCLE = "parent-cycle", True, "Delete the tags that need it; the image cannot be pulled."
    CHAIN_TOO_LONG = "chain-too-long", True, "Delete the tags that need it; no client can pull it."
    TAG_DANGLING = "tag-dangling", True, "Push the tag again, or delete it."
    TAG_INVALID = "tag-invalid", True, "Push the tag again, or remove {where}."
    INDEX_INVALID = (
        "index-invalid",
        True,
        "The next push to Portside mends it; for docker-registry, remove {where} and push again.",
    )
    NOT_READABLE = "not-readable", True, "Give it to the registry's user: chown {user} {where}"
    LINK_OUTSIDE = "link-outside", True, "Put what the link names in its place."
    NAME_UNREACHABLE = "name-unreachable", True, "Rename it as docker-registry 0.9.1 would have named it."
    BLOB_DIFFERS = "blob-differs", True, "Push the image with a v2 client again: it repairs the blob."
    NOTE_WRONG = "note-wrong", True, "Remove docker/registry/portside/index/v1-layers: the registry makes it again."

    CHECKSUM_MISSING = "checksum-missing", False, ""
    CHECKSUM_RELIC = "checksum-relic", False, ""
    TARSUM_DIFFERS = "tarsum-differs", False, ""
    ANCESTRY_REPEATS = "ancestry-repeats", False, ""
    PARENT_NOT_YET = "parent-not-yet", False, "The next push of the image completes it."
    IMAGE_UNFINISHED = "image-unfinished", False, "The next push of the image completes it; else remove {where}."
    HALF_PUSHED = "half-pushed", False, "The next push of the image completes it; else remove {where}."
    STAGED = "staged", False, "The registry removes it when it is old (storage.maintenance.uploadpurging)."
    DESCRIPTION_MISSING = "description-missing", False, "Push the tag again."
    DESCRIPTION_LEFT = "description-left", False, "Remove {where}."
    DESCRIPTION_INVALID = "description-invalid", False, "Push the tag again, or remove {where}."
    TAG_PHANTOM = "tag-phantom", False, "Push the tag under another name, and delete this one with Portside."
    TAG_AMBIGUOUS = "tag-ambiguous", False, "Delete the tag with Portside, and push it under another name."
    TAG_SPACED = "tag-spaced", False, "Push the tag again."
    INDEX_NAMES_ABSENT = "index-names-absent", False, ""
    PRIVATE = "private", False, ""
    NOT_WRITABLE = "not-writable", False, "Give it to the registry's user: chown {user} {where}"
    BLOB_APART = "blob-apart", False, ""
    TEMPORARY = "temporary", False, "The registry removes it when it is old."
    UNKNOWN = "unknown", False, "Remove {where} if nobody needs it."

    def __init__(self, text: str, is_wrong: bool, mend: str) -> None:  # noqa: FBT001 - the table above is read so
        self.text = text
        self.is_wrong = is_wrong
        self.mend = mend


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was found.

    Attributes:
        kind: what kind of thing.
        where: the file or folder, below the root of the volume, without a slash before it.
        what: what is the matter with it, as a part of a sentence.
        evidence: the file as it was.
        mend: how it is mended, where the kind's own sentence does not do.
    """

    kind: Kind
    where: str
    what: str
    evidence: Evidence = None
    mend: str | None = None

    def mending(self, user: int) -> str:
        """Returns how it is mended; user is the uid of the registry."""
        text = self.kind.mend if self.mend is None else self.mend
        return text.replace("{where}", shlex.quote(self.where)).replace("{user}", str(user))
