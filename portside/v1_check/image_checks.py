"""What may be wrong with an image, but for the bytes of its layer."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping, Sequence

from backends.model.image_places import ImageCopy, ImagePlace, id_at
from backends.model.names import is_image_id
from backends.model.v1images import MAX_ANCESTRY, load_json, parse_payload_checksum, parse_stored_checksums
from backends.storage import layout
from portside.v1_check.findings import Finding, Kind
from portside.v1_check.images import Images, State
from portside.v1_check.leftovers import unknown_entries
from portside.v1_check.showing import show_age
from portside.v1_check.volume import Gone, Text, Unreadable, evidence_of

_FILES = frozenset({"json", "layer", "ancestry", "_checksum", "_inprogress", "_files", "_diff"})
_OF_COPIES = frozenset({"json", "layer", "ancestry", "_checksum", "_files", "_diff", "shared", "pushed"})
_TARSUM = "tarsum"


def check_image(images: Images, place: ImagePlace, tags: str | None) -> Iterator[Finding]:
    """Yields what is wrong with an image.

    Args:
        images: all of the volume.
        place: where it is.
        tags: which tags need it, for people; None where none does.
    """
    needed = f"; {tags} needs it" if tags else ""
    where = layout.v1_image(place).lstrip("/")
    try:
        entries = images.volume.entries(layout.v1_image(place))
    except Gone:
        return  # who needs it says so
    except Unreadable as error:
        yield error.finding
        return
    yield from unknown_entries(where, entries, _OF_COPIES if isinstance(place, ImageCopy) else _FILES)
    known = images.known(place)
    match known.state:
        case State.ABSENT:
            return
        case State.UNFINISHED:
            if set(entries) - {"pushed", "_files", "_diff"}:
                yield _unfinished(images, place, where, entries)
            return
        case State.HALF_PUSHED:
            yield _half_pushed(images, place, where)
            return
        case State.COMPLETE:
            pass
    if known.problem is not None:
        yield known.problem
    yield from _check_layer(images, place, needed)
    yield from _check_checksum(images, place)
    yield from _check_chain(images, place, tags)
    if known.problem is None:
        yield from _check_ancestry(images, place, needed)


def stored_checksums(images: Images, place: ImagePlace) -> Sequence[str]:
    """Returns what is recorded of an image's layer; nothing where that is not there, or cannot be read."""
    try:
        return parse_stored_checksums(images.volume.read(layout.v1_image_checksum(place)).content)
    except (Gone, Unreadable):
        return ()


def _unfinished(images: Images, place: ImagePlace, where: str, entries: Mapping[str, os.DirEntry[str]]) -> Finding:
    info = images.volume.stat(layout.v1_image(place))
    what = f"has no json, only {', '.join(sorted(entries))}: a push ended in the middle, {show_age(info.st_mtime)}"
    return Finding(Kind.IMAGE_UNFINISHED, where, what, evidence_of(info))


def _half_pushed(images: Images, place: ImagePlace, where: str) -> Finding:
    try:
        info = images.volume.stat(layout.v1_image_mark(place))
    except (Gone, Unreadable):
        return Finding(Kind.HALF_PUSHED, where, "is half pushed")
    what = f"is half pushed (_inprogress), since {show_age(info.st_mtime)}, by uid {info.st_uid}"
    return Finding(Kind.HALF_PUSHED, where, what, evidence_of(info))


def _check_layer(images: Images, place: ImagePlace, needed: str) -> Iterator[Finding]:
    path = layout.v1_image_layer(place)
    try:
        info = images.volume.stat(path)
        if not stat.S_ISREG(info.st_mode):
            yield Finding(Kind.LAYER_UNREADABLE, path.lstrip("/"), f"is not a file{needed}", evidence_of(info))
        elif not images.volume.user.may(info, 4):
            os.close(images.volume.open(path))
    except Gone:
        where, as_it_is = layout.v1_image(place).lstrip("/"), images.known(place).evidence
        yield Finding(Kind.LAYER_MISSING, where, f"has lost its layer{needed}", as_it_is)
    except Unreadable as error:
        yield error.finding


def _check_checksum(images: Images, place: ImagePlace) -> Iterator[Finding]:
    path = layout.v1_image_checksum(place)
    where = path.lstrip("/")
    try:
        text = images.volume.read(path)
    except Gone:
        what = "has no checksum, as images of docker-registry before 0.6, or of its mirror"
        yield Finding(Kind.CHECKSUM_MISSING, layout.v1_image(place).lstrip("/"), what, images.known(place).evidence)
        return
    except Unreadable as error:
        yield error.finding
        return
    checksums = parse_stored_checksums(text.content)
    payloads = [each for each in checksums if parse_payload_checksum(each) is not None]
    if not isinstance(load_json(text.content), list):
        what = "is plain text, as older docker-registries have written it"
    elif len(checksums) > 1:
        what = f"holds {len(checksums)} checksums, as older docker-registries have written it"
    elif not payloads:
        what = "holds no payload checksum"
    else:
        return
    yield Finding(Kind.CHECKSUM_RELIC, where, what, text.evidence)


def _check_chain(images: Images, place: ImagePlace, tags: str | None) -> Iterator[Finding]:
    """Looks at an image's parent, and whether its chain ends."""
    where = layout.v1_image(place).lstrip("/")
    known = images.known(place)
    parent = known.parent
    if parent is None:
        return
    state = images.known(parent).state
    if state is not State.COMPLETE:
        if tags is not None:
            what = f"rests on image {parent}, which {state.value}; {tags} needs it"
            yield Finding(Kind.PARENT_MISSING, where, what, known.evidence)
        else:
            why = ", and is being pushed" if images.is_announced(parent) else ""
            what = f"rests on image {parent}, which {state.value}{why}; no tag needs it"
            yield Finding(Kind.PARENT_NOT_YET, where, what, known.evidence)
        return
    chain = images.chain(place)
    after = images.known(chain[-1]).parent
    if after == place:
        what = (
            "is its own parent" if len(chain) == 1 else f"is among its own ancestors, {len(chain)} images further down"
        )
        yield Finding(Kind.PARENT_CYCLE, where, what + (f"; {tags} needs it" if tags else ""), known.evidence)
    elif len(chain) == MAX_ANCESTRY + 1 and after is None:
        what = f"rests on {MAX_ANCESTRY} others, more than are allowed" + (f"; {tags} needs it" if tags else "")
        yield Finding(Kind.CHAIN_TOO_LONG, where, what, known.evidence)


def _check_ancestry(images: Images, place: ImagePlace, needed: str) -> Iterator[Finding]:
    path = layout.v1_image_ancestry(place)
    where = path.lstrip("/")
    try:
        text = images.volume.read(path)
    except Gone:
        where = layout.v1_image(place).lstrip("/")
        yield Finding(Kind.ANCESTRY_MISSING, where, f"has lost its ancestry{needed}", images.known(place).evidence)
        return
    except Unreadable as error:
        yield error.finding
        return
    ids = load_json(text.content)
    if not isinstance(ids, list) or not ids or not all(isinstance(each, str) and is_image_id(each) for each in ids):
        yield Finding(Kind.ANCESTRY_INVALID, where, f"is not a list of image ids{needed}", text.evidence)
        return
    different = list(dict.fromkeys(ids))
    if len(different) > MAX_ANCESTRY:
        return  # its chain is told
    if len(different) < len(ids):
        what = "has an id twice, as docker-registry wrote it when an image was pushed anew as its own parent"
        yield Finding(Kind.ANCESTRY_REPEATS, where, what, text.evidence)
    yield from _compare(images, place, different, where, text, needed)


def _compare(
    images: Images, place: ImagePlace, ids: Sequence[str], where: str, text: Text, needed: str
) -> Iterator[Finding]:
    """Compares an ancestry with the parents that the images name, as far as these lead."""
    chain = images.chain(place)
    last = images.known(chain[-1])
    by_parents = list(map(id_at, chain))
    is_whole = last.state is State.COMPLETE and last.parent is None and last.problem is None
    if ids[0] != id_at(place):
        what = f"begins with another image, {ids[0]}"
    elif (ids if is_whole else ids[: len(by_parents)]) != by_parents[: len(ids)] or (
        is_whole and len(ids) != len(by_parents)
    ):
        at = next(
            (number for number, pair in enumerate(zip(ids, by_parents, strict=False)) if pair[0] != pair[1]),
            min(len(ids), len(by_parents)),
        )
        named = by_parents[at] if at < len(by_parents) else "nothing"
        listed = ids[at] if at < len(ids) else "nothing"
        what = f"says {listed} where the parents say {named}"
    else:
        return
    yield Finding(Kind.ANCESTRY_WRONG, where, what + needed, text.evidence)
