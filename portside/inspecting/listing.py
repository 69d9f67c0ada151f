"""`portside inspect --all`: every tag of a registry, one after the other, in the order of the catalog.

Nothing is collected: a line is said when its tag has been looked at, however many there are.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

from backends.model.conversion.policy import ALL_CONVERSIONS
from backends.model.errors import RegistryError
from backends.model.v1names import parse_v1_name
from backends.registry.facts import FactsInMemory
from backends.registry.store import Store
from backends.storage.driver import StorageError
from portside.inspecting.command import volume_settings
from portside.inspecting.known_layers import KnownLayers
from portside.inspecting.lines import LEGEND, Line, as_json_line, as_row, head
from portside.inspecting.receiving import Receiving
from portside.inspecting.reference import Reference
from portside.inspecting.repositories import Found, find_repository
from portside.inspecting.storing import Storing
from portside.problems import Problem
from portside.settings.loading import Settings
from portside.volumes import open_store

NAMES_AT_ONCE = 256


def inspect_all(
    config: Path | None,
    environment: Mapping[str, str],
    flags: Mapping[str, Any],
    *,
    say: Callable[[str], None],
    converts: bool,
    as_json: bool,
) -> None:
    """Looks at all tags of all repositories.

    Args:
        config: the settings file; None for none.
        environment: all variables.
        flags: as for `load_settings`.
        say: prints a line.
        converts: whether what has not been made yet is made.
        as_json: for machines, an object a line.

    Raises:
        Problem: the volume cannot be read; the sentence says what to do.
    """
    settings = volume_settings(config, environment, flags, converts=converts)
    try:
        asyncio.run(_say_all(settings, say, converts=converts, as_json=as_json))
    except StorageError as error:
        raise Problem(f"the volume cannot be read: {error}") from None


async def _say_all(settings: Settings, say: Callable[[str], None], *, converts: bool, as_json: bool) -> None:
    async with open_store(settings, writes=converts) as store:
        layers = KnownLayers(store.storage, store.v1_storage, FactsInMemory(), writes=False)
        if not as_json:
            say(head())
        try:
            async for found in _repositories(store):
                receiving = Receiving(store, found, settings.conversions or ALL_CONVERSIONS, layers, converts)
                async for line in _lines(store, found, receiving):
                    say(as_json_line(line) if as_json else as_row(line))
        finally:
            await layers.close()
        if not as_json:
            say(LEGEND)


async def _lines(store: Store, found: Found, receiving: Receiving) -> AsyncIterator[Line]:
    storing = Storing(store, found)
    tags = await storing.tags()
    if not tags:
        yield Line(found.names)
    for tag, target in tags.items():
        try:
            stored = await storing.tag(tag, target)
        except RegistryError as error:
            yield Line(found.names, tag, why=error.detail)
            continue
        yield Line(found.names, tag, stored, await receiving.of_tag(tag, stored))


async def _repositories(store: Store) -> AsyncIterator[Found]:
    """Yields those of the catalog, then those that only v1 can have; one may be deleted meanwhile."""
    async for reference in _references(store):
        try:
            found = await find_repository(store, reference)
        except Problem:  # there is none of this name any more
            continue
        yield found


async def _references(store: Store) -> AsyncIterator[Reference]:
    after = ""
    while names := await store.list_repositories(after=after, limit=NAMES_AT_ONCE):
        for name in names:
            yield Reference(name, parse_v1_name(name))
        after = names[-1]
    for v1_name in await store.v1_repositories.names_of_v1_alone():
        yield Reference(v1_name.text, v1_name)
