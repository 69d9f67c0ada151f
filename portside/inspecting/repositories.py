"""Which repository is meant, what names it has, and which tags."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from shlex import quote

from backends.model.errors import RegistryError
from backends.model.names import RepositoryName, canonical_name, parse_repository_name
from backends.model.v1names import V1Name, v1_name
from backends.registry.no_room import exists
from backends.registry.store import Store
from backends.storage import layout
from portside.inspecting.facts import Names
from portside.inspecting.reference import Reference
from portside.problems import Problem


@dataclass(frozen=True, slots=True)
class Found:
    """A repository.

    Attributes:
        v2: what v2 calls it; None where v2 cannot.
        v1: what v1 calls it; None where v1 cannot.
        names: for people.
    """

    v2: RepositoryName | None
    v1: V1Name | None
    names: Names


async def find_repository(store: Store, reference: Reference) -> Found:
    """Returns the repository that is meant.

    Raises:
        Problem: there is none of this name.
    """
    name = _v2_name(reference.text)
    if name is None:
        found = Found(None, reference.name, _v1_only(reference.name))
    else:
        resolved = await store.names.resolve(name)
        found = Found(resolved, v1_name(resolved), await _names(store, resolved))
    if not await _is_there(store, found):
        raise Problem(f"there is no repository {reference.text}; `portside inspect --all` lists those that there are")
    return found


def _v2_name(text: str) -> RepositoryName | None:
    try:
        return parse_repository_name(text.rstrip("/"))
    except RegistryError:
        return None


def _v1_only(name: V1Name) -> Names:
    canonical = canonical_name(name.text)
    note = (
        "v2 cannot have this name, so only clients of v1 pull from it;"
        f" portside migrate run --map {quote(f'{canonical}=NEW')} makes v2 images of it under another one"
    )
    return Names(canonical, name.text, is_v1_only=True, note=note)


async def _names(store: Store, name: RepositoryName) -> Names:
    v1 = v1_name(name)
    if v1 is None:
        if canonical_name(name) != name:
            note = f"v2 has this beside {canonical_name(name)}; v1 reads it where there is no {canonical_name(name)}"
        else:
            note = "v1 cannot have a name of this length, so only clients of v2 pull from it"
        return Names(name, None, note=note)
    if v1.text == name:
        return Names(name, v1.text)
    alias = RepositoryName(v1.text)
    if await store.names.resolve(alias) == name:
        return Names(name, v1.text, (alias,))
    return Names(name, v1.text, note=f"{alias} is this repository for v1, and one of its own for v2")


async def _is_there(store: Store, found: Found) -> bool:
    places: Sequence[str] = [layout.manifests(found.v2), layout.layers(found.v2)] if found.v2 is not None else []
    for path in places:
        if await exists(store.storage.driver, path):
            return True
    return found.v1 is not None and await exists(
        store.v1_storage.driver, layout.v1_repository(found.v1.namespace, found.v1.stored)
    )
