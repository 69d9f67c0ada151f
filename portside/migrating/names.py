"""Which names v1's repositories and tags get in v2: their own, unless v2 cannot have them or an operator says so. PURE.

An operator's map has a line `old=new` for each: a repository (`a..b=a.b`), or a tag of one (`app:1+2=app:1-2`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from shlex import quote

from typing_extensions import override

from backends.model.errors import RegistryError
from backends.model.names import RepositoryName, TagName, canonical_name, is_tag, parse_repository_name, parse_tag
from backends.model.v1names import V1Name


@dataclass(frozen=True, slots=True)
class Place:
    """Where a v1 tag is to be in v2."""

    name: RepositoryName
    tag: TagName

    @override
    def __str__(self) -> str:
        return f"{self.name}:{self.tag}"


@dataclass(frozen=True, slots=True)
class NameMap:
    """An operator's map.

    Attributes:
        repositories: new names, by the canonical old one.
        tags: new places, by the canonical old name and the old tag.
    """

    repositories: Mapping[str, RepositoryName] = field(default_factory=dict)
    tags: Mapping[tuple[str, str], Place] = field(default_factory=dict)

    def place(self, name: V1Name, tag: str) -> Place:
        """Returns where a v1 tag is to be.

        Raises:
            ValueError: v2 cannot have its name, and the map says no other; the sentence says what to do, in words
                that a shell takes as they are: docker-registry took names with blanks and signs that shells obey.
        """
        old = canonical_name(name.text)
        mapped = self.tags.get((old, tag))
        if mapped is not None:
            return mapped
        new = self.repositories.get(old) or name.v2
        if new is None:
            raise ValueError(f"v2 cannot have the name {old}; give it another one: --map {quote(f'{old}=NEW')}")
        if not is_tag(tag):
            pair = quote(f"{old}:{tag}={new}:NEW")
            raise ValueError(f"v2 cannot have the tag {tag}; give it another one: --map {pair}")
        return Place(new, TagName(tag))

    def unused(self, places: Iterable[tuple[V1Name, str]]) -> list[str]:
        """Returns what the map names and v1 does not have, as it was written.

        Args:
            places: all that v1 has.
        """
        tags = {(canonical_name(name.text), tag) for name, tag in places}
        names = {name for name, _ in tags}
        return sorted(
            [old for old in self.repositories if old not in names]
            + [f"{name}:{tag}" for name, tag in self.tags if (name, tag) not in tags]
        )


def parse_map(lines: Iterable[str]) -> NameMap:
    """Parses lines `old=new`; empty ones and those that begin with # are left out.

    Raises:
        ValueError: a sentence with the line and what is wrong with it.
    """
    repositories: dict[str, RepositoryName] = {}
    tags: dict[tuple[str, str], Place] = {}
    for line in map(str.strip, lines):
        if not line or line.startswith("#"):
            continue
        # What follows the last = is a name of v2, which has none; docker-registry took anything before it.
        old, equals, new = (part.strip() for part in line.rpartition("="))
        if not equals or not old or not new:
            raise ValueError(f"{line!r} is not a pair of names; write OLD=NEW")
        try:
            _add(old, new, repositories, tags)
        except RegistryError as error:
            raise ValueError(f"{line!r}: {error.detail}") from None
    return NameMap(repositories, tags)


def _add(old: str, new: str, repositories: dict[str, RepositoryName], tags: dict[tuple[str, str], Place]) -> None:
    old_name, colon, old_tag = old.partition(":")
    new_name, _, new_tag = new.partition(":")
    key, name = canonical_name(old_name), parse_repository_name(canonical_name(new_name))
    if bool(colon) != (":" in new):
        raise ValueError(f"'{old}={new}' has a tag on one side only; write OLD=NEW or OLD:TAG=NEW:TAG")
    known: object
    if colon:
        known = tags.setdefault((key, old_tag), place := Place(name, parse_tag(new_tag)))
        is_same = known == place
    else:
        known = repositories.setdefault(key, name)
        is_same = known == name
    if not is_same:
        raise ValueError(f"{old} is mapped twice, to {known} and to {new}")
