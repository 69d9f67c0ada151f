"""Everything but the bytes of layers: looked at once, and what is found once more, a moment later."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from backends.model.image_places import ImagePlace
from portside.v1_check.findings import Finding
from portside.v1_check.image_checks import check_image
from portside.v1_check.images import Images
from portside.v1_check.reading import Pace
from portside.v1_check.repository_checks import Folder, check_repository, tags_of
from portside.v1_check.showing import counted
from portside.v1_check.staged import check_staged, staged_folders
from portside.v1_check.volume import Volume
from portside.v1_check.walking import check_folders, places, repositories

SETTLING_SECONDS = (1.0, 2.0, 4.0)
"""So long after a look the next one comes. What changes at each of them is being changed, and not told."""


@dataclass(slots=True)
class Needed:
    """Which tags need which image: the first one and how many, of each."""

    _first: dict[ImagePlace, str] = field(default_factory=dict)
    _count: dict[ImagePlace, int] = field(default_factory=dict)

    def add(self, place: ImagePlace, tag: str) -> None:
        self._first.setdefault(place, tag)
        self._count[place] = self._count.get(place, 0) + 1

    def by(self, place: ImagePlace) -> str | None:
        """Returns which tags need an image, for people; None where none does."""
        first, more = self._first.get(place), self._count.get(place, 0) - 1
        return f"{first} (and {counted(more, 'more tag')})" if first is not None and more > 0 else first

    def __iter__(self) -> Iterator[ImagePlace]:
        return iter(self._first)

    def __contains__(self, place: ImagePlace) -> bool:
        return place in self._first


@dataclass(frozen=True, slots=True)
class Scope:
    """What is looked at.

    Attributes:
        folders: of repositories.
        everything: whether images that no tag needs, and staged pushes, are looked at too.
    """

    folders: Sequence[Folder]
    everything: bool


Look = Callable[[Images], Iterable[Finding]]


@dataclass(frozen=True, slots=True)
class Structure:
    """What was found, and what there is.

    Attributes:
        findings: what stayed as it was.
        images: all that are looked at, those first that tags need.
        tags: how many there are.
        repositories: how many there are.
    """

    findings: Sequence[Finding]
    images: Sequence[ImagePlace]
    tags: int
    repositories: int


def check_structure(volume: Volume, scope: Scope, pace: Pace, looked: Callable[[int, int], None]) -> Structure:
    """Looks at names, small files and what they say of each other.

    Args:
        volume: where.
        scope: at what.
        pace: how long.
        looked: told how many folders it has looked at, and of how many.

    Raises:
        Stopped: it was told to.
    """
    images = Images(volume)
    needed, tags = _needed(images, scope.folders)
    found = list(needed)
    if scope.everything:
        found += [place for place in places(volume) if place not in needed]
    suspects = _suspects(images, list(_looks(volume, scope, found, needed)), pace, looked)
    findings = [finding for _, some in settle(volume, suspects, pace) for finding in some]
    return Structure(findings, found, tags, len(scope.folders))


def settle(
    volume: Volume, suspects: Sequence[tuple[Look, Sequence[Finding]]], pace: Pace
) -> Sequence[tuple[Look, Sequence[Finding]]]:
    """Looks again at what was found until it stays as it is; what does not is being changed."""
    settled: list[tuple[Look, Sequence[Finding]]] = []
    for number, seconds in enumerate(SETTLING_SECONDS, 1):
        if not suspects:
            break
        pace.rest(seconds)
        images = Images(volume)
        unsettled: list[tuple[Look, Sequence[Finding]]] = []
        for look, before in suspects:
            seen = set(map(_key, before))
            now = list(look(images))
            same = [finding for finding in now if _key(finding) in seen]
            if len(same) == len(now) or number == len(SETTLING_SECONDS):
                settled.append((look, same))
            else:
                unsettled.append((look, now))
        suspects = unsettled
    return settled


def _key(finding: Finding) -> tuple[object, ...]:
    return finding.kind, finding.where, finding.evidence


def _needed(images: Images, folders: Sequence[Folder]) -> tuple[Needed, int]:
    needed, count = Needed(), 0
    for folder in folders:
        name = folder.name
        for tag, place in tags_of(images, folder).items():
            count += 1
            for each in images.chain(place):
                needed.add(each, f"{name.text if name is not None else folder.path}:{tag}")
    return needed, count


def _looks(volume: Volume, scope: Scope, found: Sequence[ImagePlace], needed: Needed) -> Iterator[Look]:
    if scope.everything:
        yield lambda images: check_folders(images.volume)
    for folder in scope.folders:
        yield _repository_look(folder)
    for place in found:
        yield _image_look(place, needed)
    if scope.everything:
        for staged in staged_folders(volume):
            yield _staged_look(staged)


def _repository_look(folder: Folder) -> Look:
    return lambda images: check_repository(images, folder)


def _image_look(place: ImagePlace, needed: Needed) -> Look:
    return lambda images: check_image(images, place, needed.by(place))


def _staged_look(folder: str) -> Look:
    return lambda images: check_staged(images.volume, folder)


def _suspects(
    images: Images, looks: Sequence[Look], pace: Pace, looked: Callable[[int, int], None]
) -> list[tuple[Look, Sequence[Finding]]]:
    found: list[tuple[Look, Sequence[Finding]]] = []
    for number, look in enumerate(looks, 1):
        pace.rest(0)
        looked(number, len(looks))
        if some := list(look(images)):
            found.append((look, some))
    return found


def scope_of(volume: Volume, names: Sequence[str]) -> tuple[Scope, Sequence[str]]:
    """Returns what is looked at, and which of the names no repository has.

    Args:
        volume: where.
        names: of repositories, as `team/app`, or `app` for `library/app`; none for everything.
    """
    folders = list(repositories(volume))
    if not names:
        return Scope(folders, everything=True), ()
    wanted = {name if "/" in name else f"library/{name}" for name in names}
    chosen = [folder for folder in folders if folder.name is not None and folder.name.text in wanted]
    missing = wanted - {folder.name.text for folder in chosen if folder.name is not None}
    return Scope(chosen, everything=False), sorted(missing)
