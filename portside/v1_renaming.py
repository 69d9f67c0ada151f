"""`portside v1 rename`: names on a volume that docker-registry wrote before 0.8.1 become those that 0.9.1 reads."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from backends.model.errors import RegistryError
from backends.registry.v1.older_names import OlderNames, Renamed
from backends.storage import layout
from backends.storage.driver import StorageError
from portside.problems import Problem
from portside.settings.loading import Role, Settings, load_settings
from portside.volumes import open_store, require_volume


def rename_older(
    config: Path | None,
    environment: Mapping[str, str],
    flags: Mapping[str, Any],
    *,
    say: Callable[[str], None],
    dry_run: bool,
) -> str:
    """Renames what is on the volume that settings name.

    Args:
        config: the settings file; None for none.
        environment: all variables.
        flags: as for `load_settings`.
        say: prints a line.
        dry_run: only say what would be renamed.

    Returns:
        one sentence with what was done.

    Raises:
        Problem: it cannot; the sentence says why.
    """
    settings = load_settings(Role.V1, config, environment, flags)
    if settings.gates.read_only and not dry_run:
        raise Problem("this registry is read-only (storage.maintenance.readonly); nothing is renamed")
    require_volume(settings.v1_storage, (layout.V1_REPOSITORIES,), command="portside v1 rename")
    try:
        renamed = asyncio.run(_rename(settings, say, dry_run=dry_run))
    except StorageError as error:
        raise Problem(f"not all is renamed: {error}; what was renamed stays, and another run does the rest") from None
    except RegistryError as error:
        raise Problem(f"not all is renamed: {error.detail}; another run does the rest") from None
    return f"{settings.v1_storage.root}: {'would be: ' if dry_run else ''}{renamed}"


async def _rename(settings: Settings, say: Callable[[str], None], *, dry_run: bool) -> Renamed:
    async with open_store(settings, writes=not dry_run) as store:
        return await OlderNames(store.storage, store.v1_storage, say=say, dry_run=dry_run).rename()
