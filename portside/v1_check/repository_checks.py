"""What may be wrong with a repository of v1: its tags, what describes them, its list of images."""

from __future__ import annotations

import os
import re
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass

from backends.model.image_places import ImageCopy, ImagePlace
from backends.model.names import ImageId, is_image_id
from backends.model.v1images import load_json
from backends.model.v1names import V1Name, escape_v1
from backends.storage import layout
from portside.v1_check.findings import Evidence, Finding, Kind
from portside.v1_check.images import Images, State
from portside.v1_check.leftovers import unknown
from portside.v1_check.showing import show_age
from portside.v1_check.volume import Gone, Text, Unreadable, evidence_of

_DESCRIPTION = re.compile(r"tag(?P<tag>.*)_json", re.DOTALL)
_LATEST = "latest"
_SHOWN_IDS = 3


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder of a repository, by its names on disk.

    Attributes:
        namespace: the folder above it.
        entry: its own.
    """

    namespace: str
    entry: str

    @property
    def path(self) -> str:
        """As `layout` names paths."""
        return f"{layout.V1_REPOSITORIES}/{self.namespace}/{self.entry}"

    @property
    def name(self) -> V1Name | None:
        """The repository; None where no name leads here."""
        return layout.v1_name_of(self.namespace, self.entry)


def tags_of(images: Images, folder: Folder) -> Mapping[str, ImagePlace]:
    """Returns what a repository's tags name, of those that name an image id."""
    name = folder.name
    try:
        entries = images.volume.entries(folder.path)
    except (Gone, Unreadable):
        return {}
    found: dict[str, ImagePlace] = {}
    for entry in entries:
        tag = layout.v1_tag_of(entry)
        if tag is None or name is None:
            continue
        try:
            text = images.volume.read(f"{folder.path}/{entry}").content.decode("ascii", "replace").strip()
        except (Gone, Unreadable):
            continue
        if is_image_id(text):
            found[tag] = images.resolve(ImageCopy(name, ImageId(text)))
    return found


def check_repository(images: Images, folder: Folder) -> Iterator[Finding]:
    """Yields what is wrong with a repository."""
    where = folder.path.lstrip("/")
    try:
        entries = images.volume.entries(folder.path)
        info = images.volume.stat(folder.path)
    except Gone:
        if images.volume.is_there(folder.path):
            yield unknown(where, folder.entry)  # a file
        return
    except Unreadable as error:
        yield error.finding
        return
    if folder.name is None:
        what = "is a folder to which no name of a repository leads: neither docker-registry 0.9.1 nor Portside finds it"
        older = layout.v1_older_name_of(folder.namespace, folder.entry)
        target = None if older is None else layout.v1_repository(older.namespace, older.stored)
        yield Finding(Kind.NAME_UNREACHABLE, where, what, evidence_of(info), _renaming(images, target))
    if not images.volume.user.may(info, 3):
        what = f"belongs to uid {info.st_uid}: uid {images.volume.user.uid} can change no tag in it"
        yield Finding(Kind.NOT_WRITABLE, where, what, evidence_of(info))
    for entry in entries:
        if entry.startswith(layout.V1_TAG):
            yield from _check_tag(images, folder, entry, entries)
        elif (match := _DESCRIPTION.fullmatch(entry)) is not None:
            yield from _check_description(images, folder, entry, match["tag"], entries)
        elif entry not in layout.V1_REPOSITORY_FILES:
            yield unknown(f"{where}/{entry}", entry)
    if layout.V1_TAG + _LATEST in entries and "json" not in entries:
        what = "has a tag latest and no json: docker-registry 0.9.1 answers 404 when the tag is deleted"
        as_it_is = _evidence(images, f"{folder.path}/{layout.V1_TAG}{_LATEST}")
        yield Finding(Kind.DESCRIPTION_MISSING, where, what, as_it_is)
    if "_index_images" in entries:
        yield from _check_index(images, folder)
    if "_private" in entries:
        what = "is marked private, which docker-registry looks at only where it asks an index for tokens"
        yield Finding(Kind.PRIVATE, f"{where}/_private", what)


def _check_tag(
    images: Images, folder: Folder, entry: str, entries: Mapping[str, os.DirEntry[str]]
) -> Iterator[Finding]:
    path = f"{folder.path}/{entry}"
    where = path.lstrip("/")
    text = yield from _read(images, path)
    if text is None:
        return
    content = text.content.decode("utf-8", "replace")
    if not is_image_id(content.strip()):
        if entry.endswith("_json") and load_json(text.content) is not None:
            tag = entry.removeprefix("tag").removesuffix("_json")
            what = f"describes the tag {tag}; docker-registry 0.9.1 takes it for one, and cannot delete the repository"
            if layout.V1_TAG + tag in entries:
                yield Finding(Kind.TAG_PHANTOM, where, what, text.evidence)
            else:
                yield Finding(Kind.DESCRIPTION_LEFT, where, f"describes a tag that is not there, {tag}", text.evidence)
            return
        yield Finding(Kind.TAG_INVALID, where, f"holds no image id, but {content[:70]!r}", text.evidence)
        return
    if content != content.strip():
        what = "has blanks around its image id, which docker-registry 0.9.1 sends to clients"
        yield Finding(Kind.TAG_SPACED, where, what, text.evidence)
    tag_name = layout.v1_tag_of(entry)
    if tag_name is None:
        what = "is a tag to which no name leads: neither docker-registry 0.9.1 nor Portside finds it"
        older_tag = layout.v1_older_tag_of(entry)
        target = None if older_tag is None else f"{folder.path}/{layout.V1_TAG}{escape_v1(older_tag)}"
        yield Finding(Kind.NAME_UNREACHABLE, where, what, text.evidence, _renaming(images, target))
    else:
        if entry != layout.V1_TAG + tag_name:
            what = (
                f"is the tag {tag_name!r}, which docker-registry 0.9.1 lists as null; it cannot delete the repository"
            )
            yield Finding(Kind.TAG_AMBIGUOUS, where, what, text.evidence)
        if f"tag{entry.removeprefix(layout.V1_TAG)}_json" not in entries:
            what = "has no description beside it: docker-registry 0.9.1 answers 404 when the tag is deleted"
            yield Finding(Kind.DESCRIPTION_MISSING, where, what, text.evidence)
    if folder.name is None:
        return
    place = images.resolve(ImageCopy(folder.name, ImageId(content.strip())))
    state = images.known(place).state
    if state is not State.COMPLETE:
        why = ", and is being pushed" if images.is_announced(place) else ""
        yield Finding(Kind.TAG_DANGLING, where, f"names image {place}, which {state.value}{why}", text.evidence)


def _renaming(images: Images, target: str | None) -> str | None:
    """Says what becomes of a name that docker-registry escaped otherwise up to 0.8.0, if it is such a one."""
    if target is None:
        return None
    also = ", which is there too: what both have stays as it is there" if images.volume.is_there(target) else ""
    return f"`portside v1 rename` makes it {target.lstrip('/')}{also}."


def _check_description(
    images: Images, folder: Folder, entry: str, tag: str, entries: Mapping[str, os.DirEntry[str]]
) -> Iterator[Finding]:
    path = f"{folder.path}/{entry}"
    text = yield from _read(images, path)
    if text is None:
        return
    if not isinstance(load_json(text.content), Mapping):
        yield Finding(Kind.DESCRIPTION_INVALID, path.lstrip("/"), "is not an object of JSON", text.evidence)
    elif layout.V1_TAG + tag not in entries:
        what = f"describes a tag that is not there, {tag}"
        yield Finding(Kind.DESCRIPTION_LEFT, path.lstrip("/"), what, text.evidence)


def _check_index(images: Images, folder: Folder) -> Iterator[Finding]:
    path = f"{folder.path}/_index_images"
    where = path.lstrip("/")
    text = yield from _read(images, path)
    if text is None:
        return
    listed = load_json(text.content)
    if not isinstance(listed, list):
        yield Finding(
            Kind.INDEX_INVALID,
            where,
            "is not a list of JSON: docker-registry 0.9.1 sends it to every pull, and answers 500 to every push",
            text.evidence,
        )
        return
    ids = [entry.get("id") for entry in listed if isinstance(entry, Mapping)]
    absent = [each for each in ids if isinstance(each, str) and not _is_image(images, folder.name, each)]
    if absent:
        shown = ", ".join(each[:64] for each in absent[:_SHOWN_IDS])
        more = f" and {len(absent) - _SHOWN_IDS} more" if len(absent) > _SHOWN_IDS else ""
        what = f"names what is not there, {shown}{more}: of a push that did not end, {show_age(text.modified)}"
        yield Finding(Kind.INDEX_NAMES_ABSENT, where, what, text.evidence)


def _read(images: Images, path: str) -> Generator[Finding, None, Text | None]:
    """Returns what is in a file; None where it is gone or cannot be read, which is a finding."""
    try:
        return images.volume.read(path)
    except Gone:
        return None
    except Unreadable as error:
        yield error.finding
        return None


def _evidence(images: Images, path: str) -> Evidence:
    try:
        return evidence_of(images.volume.stat(path))
    except (Gone, Unreadable):
        return None


def _is_image(images: Images, name: V1Name | None, text: str) -> bool:
    if not is_image_id(text):
        return False
    place = ImageId(text) if name is None else images.resolve(ImageCopy(name, ImageId(text)))
    if images.known(place).state in {State.COMPLETE, State.HALF_PUSHED}:
        return True
    return images.is_made(ImageId(text)) or images.is_announced(place)
