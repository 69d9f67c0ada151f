"""`portside reindex`: looks through a v2 volume for what another registry has written; servers may run beside it.

The pass is the one that a server makes when it starts and at intervals (`backends/registry/indexing.py`), without its
rests.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from backends.model.errors import RegistryError
from backends.registry.index_pass import IndexPass, Progress
from backends.registry.indexing import indexing_alone, make
from backends.storage import layout
from backends.storage.driver import PathNotFound, StorageError
from backends.storage.factory import open_storage
from backends.storage.settings import StorageSettings
from portside.problems import Problem
from portside.settings.docker_registry.recognizing import is_meant
from portside.settings.loading import Role, load_settings
from portside.volumes import require_volume

TOLD_SECONDS = 5.0
"""How often it says how far it is."""


def reindex(
    config: Path | None, environment: Mapping[str, str], flags: Mapping[str, Any], *, say: Callable[[str], None]
) -> str:
    """Looks through the volume that settings name.

    Args:
        config: the settings file; None for none.
        environment: all variables.
        flags: as for `load_settings`.
        say: told how far it is.

    Returns:
        one sentence with what was found.

    Raises:
        Problem: it cannot; the sentence says why.
    """
    # Where docker-registry's variables say where the data is, a registry of v2 alone would not look at them.
    role = Role.SERVE if config is None and is_meant(environment) else Role.V2
    storage = load_settings(role, config, environment, flags).storage
    require_volume(storage, (layout.REPOSITORIES,), command="portside reindex")
    try:
        progress = asyncio.run(_reindex(storage, say))
    except (StorageError, RegistryError) as error:
        why = f"{error} cannot be made or read" if isinstance(error, PathNotFound) else error
        raise Problem(f"the index is not complete: {why}; what was found so far stays") from None
    return f"the index of {storage.root} is complete: {progress}"


async def _reindex(settings: StorageSettings, say: Callable[[str], None]) -> Progress:
    storage = open_storage(settings)
    told = time.monotonic()

    def tell(progress: Progress) -> None:
        nonlocal told
        if time.monotonic() - told >= TOLD_SECONDS:
            told = time.monotonic()
            say(f"{progress}; now at {progress.name}")

    try:
        async with indexing_alone(storage, on_wait=lambda: say("another process is looking through it; waiting")):
            return await make(IndexPass(storage, on_progress=tell), storage.driver)
    finally:
        await storage.close()
