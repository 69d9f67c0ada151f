"""`portside inspect` on the volume that settings name."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from backends.model.conversion.policy import ALL_CONVERSIONS
from backends.model.errors import RegistryError
from backends.model.targets import Target, V1Target, V2Target
from backends.registry.facts import FactsInMemory
from backends.registry.store import Store
from backends.storage import layout
from backends.storage.driver import PathNotFound, StorageError
from portside.inspecting.as_json import as_json as shown_as_json
from portside.inspecting.facts import Derived, Inspection, RepositoryInspection, Stored
from portside.inspecting.known_layers import KnownLayers
from portside.inspecting.receiving import Receiving
from portside.inspecting.reference import Reference, parse_reference
from portside.inspecting.repositories import Found, find_repository
from portside.inspecting.storing import Storing
from portside.inspecting.table import as_table
from portside.problems import Problem
from portside.settings.loading import Role, Settings, load_settings
from portside.volumes import open_store, require_folders, require_owner


def inspect(
    text: str,
    config: Path | None,
    environment: Mapping[str, str],
    flags: Mapping[str, Any],
    *,
    converts: bool,
    width: int | None,
    as_json: bool,
) -> str:
    """Looks at a repository, a tag or a manifest.

    Args:
        text: NAME, NAME:TAG or NAME@DIGEST.
        config: the settings file; None for none.
        environment: all variables.
        flags: as for `load_settings`.
        converts: whether what has not been made yet is made.
        width: of the terminal, in columns; None where nothing is cut.
        as_json: for machines.

    Returns:
        what it found out, as lines.

    Raises:
        Problem: there is none, or it cannot be read; the sentence says what to do.
    """
    try:
        reference = parse_reference(text)
    except ValueError as error:
        raise Problem(str(error)) from None
    settings = volume_settings(config, environment, flags, converts=converts)
    try:
        found = asyncio.run(_inspect(settings, reference, converts=converts))
    except RegistryError as error:
        raise Problem(error.detail) from None
    except StorageError as error:
        raise Problem(f"the volume cannot be read: {error}") from None
    return shown_as_json(found) if as_json else as_table(found, width=width)


def volume_settings(
    config: Path | None, environment: Mapping[str, str], flags: Mapping[str, Any], *, converts: bool
) -> Settings:
    """Returns the settings of a volume that can be looked at, and written to where that is asked for.

    Raises:
        Problem: it cannot.
    """
    settings = load_settings(Role.SERVE, config, environment, flags)
    if not settings.roots:
        raise Problem("these settings have no registry: name those of the registries")
    folder = require_folders(settings.roots, (layout.REPOSITORIES, layout.V1_REPOSITORIES))
    if converts:
        if settings.gates.read_only:
            raise Problem("this registry is read-only (storage.maintenance.readonly), so nothing is made")
        require_owner(folder, command="portside inspect --convert")
    return settings


async def _inspect(settings: Settings, reference: Reference, *, converts: bool) -> Inspection | RepositoryInspection:
    async with open_store(settings, writes=converts) as store:
        found = await find_repository(store, reference)
        storing = Storing(store, found)
        if reference.tag is None and reference.digest is None:
            tags = [(tag, await _or_none(storing, tag, target)) for tag, target in (await storing.tags()).items()]
            return RepositoryInspection(found.names, tags)
        layers = KnownLayers(store.storage, store.v1_storage, FactsInMemory(), writes=False)
        receiving = Receiving(store, found, settings.conversions or ALL_CONVERSIONS, layers, converts)
        try:
            if reference.digest is not None:
                return await _digest(store, found, storing, receiving, V2Target(reference.digest))
            assert reference.tag is not None
            return await _tag(store, found, storing, receiving, reference.tag)
        finally:
            await layers.close()


async def _or_none(storing: Storing, tag: str, target: Target) -> Stored | None:
    try:
        return await storing.tag(tag, target)
    except RegistryError:  # another program has deleted what it names
        return None


async def _tag(store: Store, found: Found, storing: Storing, receiving: Receiving, tag: str) -> Inspection:
    try:
        target = await _target(store, found, tag)
    except PathNotFound:
        name = found.names.canonical
        raise Problem(f"{name} has no tag {tag}; portside inspect {name} lists its tags") from None
    stored = await storing.tag(tag, target)
    received = await receiving.of_tag(tag, stored)
    made_of, made_by = await _origin(store, found, storing, target)
    return Inspection(
        found.names,
        tag,
        stored,
        made_of,
        made_by,
        entries=await storing.entries(target.digest) if isinstance(target, V2Target) else (),
        received=received,
        derived=await _derived(store, found, target),
    )


async def _digest(store: Store, found: Found, storing: Storing, receiving: Receiving, target: V2Target) -> Inspection:
    name = found.names.canonical
    if found.v2 is None:
        raise Problem(f"{name} has images of v1 alone, which have no digests; portside inspect {name} lists its tags")
    try:
        stored = await storing.target(target)
    except RegistryError:
        raise Problem(f"{name} has no manifest {target.digest}; portside inspect {name} lists its tags") from None
    made_of, made_by = await _origin(store, found, storing, target)
    return Inspection(
        found.names,
        None,
        stored,
        made_of,
        made_by,
        entries=await storing.entries(target.digest),
        received=receiving.of_digest(stored, is_pushed=await storing.is_pushed(target.digest)),
        derived=await _derived(store, found, target),
    )


async def _origin(store: Store, found: Found, storing: Storing, target: Target) -> tuple[Stored | None, str]:
    """Returns what a manifest was made of, where a conversion made it, and how: one that was migrated is stored too."""
    if found.v2 is None or not isinstance(target, V2Target):
        return None, ""
    derived = await store.conversions.find(found.v2, target.digest)
    return (None, "") if derived is None else (await storing.target(derived.source), derived.rule)


async def _target(store: Store, found: Found, tag: str) -> Target:
    """Raises PathNotFound when there is no such tag."""
    state = await store.tags.state(found.v2, found.v1, tag)
    if state.target is None:
        raise PathNotFound(tag)
    if isinstance(state.target, V1Target) and found.v1 is not None:
        return await store.v1_copies.resolved(found.v1, state.target)
    return state.target


async def _derived(store: Store, found: Found, target: Target) -> list[Derived]:
    """Returns what was made of something and is kept."""
    if found.v2 is None:
        return []
    made = [
        Derived(str(digest), record.media_type, record.size, record.rule)
        for digest, record in await store.conversions.made_of(found.v2, target)
    ]
    return sorted(made, key=lambda each: (each.media_type, each.rule, each.digest))
