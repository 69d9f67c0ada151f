"""What is known of each image by its small files: how far it has come, and what it rests on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from backends.model.image_places import ImageCopy, ImagePlace, id_at
from backends.model.names import ImageId, is_image_id
from backends.model.v1images import MAX_ANCESTRY, load_json, parse_stored_checksums
from backends.storage import layout
from portside.v1_check.findings import Evidence, Finding, Kind
from portside.v1_check.volume import Gone, Unreadable, Volume


class State(Enum):
    """How far an image has come."""

    ABSENT = "is not there"
    UNFINISHED = "is not finished"
    HALF_PUSHED = "is only half pushed"
    COMPLETE = "is there"


@dataclass(frozen=True, slots=True)
class Known:
    """What an image's own JSON says.

    Attributes:
        state: how far it has come.
        evidence: the file of its JSON as it was; None where it has none, or none that can be read.
        parent: where its parent is, or should be; None for a base.
        problem: what is wrong with its JSON.
    """

    state: State
    evidence: Evidence = None
    parent: ImagePlace | None = None
    problem: Finding | None = None


class Images:
    """The images of a volume, each read once.

    Args:
        volume: where.
    """

    def __init__(self, volume: Volume) -> None:
        self.volume = volume
        self._known: dict[ImagePlace, Known] = {}

    def known(self, place: ImagePlace) -> Known:
        """Returns what an image says of itself."""
        known = self._known.get(place)
        if known is None:
            known = self._known[place] = self._look(place)
        return known

    def resolve(self, owner: ImageCopy) -> ImagePlace:
        """Returns which image a repository means by an id: its own copy where there is one, else the shared image."""
        return owner if self.known(owner).state is State.COMPLETE else owner.image_id

    def chain(self, place: ImagePlace) -> Sequence[ImagePlace]:
        """Returns an image and its ancestors by their parents, its own first; it ends where one is met again.

        It ends, too, at one that is not there (which it has), and one past the longest that is allowed.
        """
        found: dict[ImagePlace, None] = {}
        at: ImagePlace | None = place
        while at is not None and at not in found and len(found) <= MAX_ANCESTRY:
            found[at] = None
            at = self.known(at).parent
        return list(found)

    def is_announced(self, place: ImagePlace) -> bool:
        """Whether a push of an image has begun, and not ended."""
        try:
            entries = self.volume.entries(layout.v1_staging(place))
        except (Gone, Unreadable):
            return False
        return any(entry.startswith("json-") for entry in entries)

    def is_made(self, image_id: ImageId) -> bool:
        """Whether there is an image with this id that was made of a manifest (ADR 17)."""
        made = (layout.derived_v1_image(image_id), layout.claimed_v1_image(image_id))
        return any(map(self.volume.is_there, made))

    def _look(self, place: ImagePlace) -> Known:
        try:
            text = self.volume.read(layout.v1_image_json(place))
        except Gone:
            marked = self._is_marked(place)
            there = marked or self.volume.is_there(layout.v1_image(place))
            state = State.HALF_PUSHED if marked else State.UNFINISHED if there else State.ABSENT
            return Known(state)
        except Unreadable as error:
            return Known(State.COMPLETE, problem=error.finding)
        state = State.HALF_PUSHED if self._is_marked(place) else State.COMPLETE
        where = layout.v1_image_json(place).lstrip("/")
        document = load_json(text.content)
        if not isinstance(document, Mapping) or not document:
            what = "is not an object of JSON"
            return Known(state, text.evidence, problem=Finding(Kind.JSON_INVALID, where, what, text.evidence))
        if document.get("id") != id_at(place):
            what = f"is of another image, {str(document.get('id'))[:70]!r}"
            return Known(state, text.evidence, problem=Finding(Kind.JSON_OTHER_ID, where, what, text.evidence))
        parent = document.get("parent")
        if not parent:
            return Known(state, text.evidence)
        if not isinstance(parent, str) or not is_image_id(parent):
            what = f"names a parent that is no image id, {str(parent)[:70]!r}"
            return Known(state, text.evidence, problem=Finding(Kind.JSON_INVALID, where, what, text.evidence))
        return Known(state, text.evidence, self._parent(place, ImageId(parent)))

    def _is_marked(self, place: ImagePlace) -> bool:
        return isinstance(place, str) and self.volume.is_there(layout.v1_image_mark(place))

    def _parent(self, place: ImagePlace, parent: ImageId) -> ImagePlace:
        """Returns where a parent is: of a repository's own image, where it was when that was made (ADR 20)."""
        if not isinstance(place, ImageCopy):
            return parent
        try:
            shared = load_json(self.volume.read(layout.v1_shared_ancestors(place)).content)
        except (Gone, Unreadable):
            shared = None
        own = ImageCopy(place.owner, parent)
        if isinstance(shared, list) and parent in shared:
            return parent
        return parent if not self.volume.is_there(layout.v1_image_json(own)) and self._has_pushed(own) else own

    def _has_pushed(self, copy: ImageCopy) -> bool:
        try:
            payload = self.volume.read(layout.v1_pushed(copy)).content.decode("ascii", "replace")
            stored = self.volume.read(layout.v1_image_checksum(copy.image_id)).content
        except (Gone, Unreadable):
            return False
        return payload in parse_stored_checksums(stored)
