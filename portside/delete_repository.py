"""`portside delete`: deletes a whole repository on the volume, under the same locks as servers that run beside it.

It works also where deletion is off (`storage.delete.enabled`): that setting is about clients, and who may write to the
volume needs no permission from it. A read-only registry is left alone.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from backends.model.errors import RegistryError
from backends.registry.deleting import Contents
from backends.registry.events import NO_EVENTS, Events
from backends.registry.store import Store
from backends.storage import layout
from backends.storage.driver import StorageError
from portside.problems import Problem
from portside.settings.loading import Role, Settings, load_settings
from portside.volumes import actor_for, open_store, require_volume


def delete_repository(
    name: str,
    config: Path | None,
    environment: Mapping[str, str],
    flags: Mapping[str, Any],
    *,
    dry_run: bool,
    confirm: Callable[[str], bool],
) -> str:
    """Deletes a repository, of both generations.

    Args:
        name: as v2 or v1 writes it.
        config: the settings file; None for none.
        environment: all variables.
        flags: as for `load_settings`.
        dry_run: only say what would be deleted.
        confirm: asked with a sentence that says what is deleted.

    Returns:
        one sentence with what was done.

    Raises:
        Problem: it cannot; the sentence says why.
    """
    settings = load_settings(Role.SERVE, config, environment, flags)
    if settings.gates.read_only:
        raise Problem("this registry is read-only (storage.maintenance.readonly); nothing is deleted")
    if not settings.roots:
        raise Problem("these settings have no registry, so nothing is deleted: name those of the registries")
    require_volume(settings.roots[0], (layout.REPOSITORIES, layout.V1_REPOSITORIES), command="portside delete")
    with _problems(name):
        found = asyncio.run(_look(settings, name))
        if not found.is_there:
            raise Problem(_not_there(name))
        if dry_run:
            return f"would delete {name}: {show(found)}"
        if not confirm(f"delete {name}: {show(found)}"):
            raise Problem(f"{name} is not deleted")
        asyncio.run(_delete(settings, name))
    return "; ".join([f"deleted {name}: {show(found)}", *_left(found)])


def _not_there(name: str) -> str:
    repository, separator, reference = name.replace("@", ":", 1).partition(":")
    if not separator:
        return f"there is no repository {name}; nothing is deleted"
    return (
        f"{name} is not a repository, and nothing is deleted: name a whole one, or have a client"
        f" DELETE /v2/{repository}/manifests/{reference}"
    )


def _left(contents: Contents) -> Iterator[str]:
    """Yields what the disk still has of it, and who frees it."""
    if contents.manifests or contents.blobs:
        yield "a garbage collection frees the disk"
    if contents.v1_tags:
        yield "images of v1 stay on the disk"


def show(contents: Contents) -> str:
    """Returns what a repository has, in words."""
    counts = (
        ("tag", contents.tags),
        ("manifest", contents.manifests),
        ("blob", contents.blobs),
        ("upload", contents.uploads),
        ("tag of v1", contents.v1_tags),
    )
    words = [f"{count} {_plural(word) if count != 1 else word}" for word, count in counts if count]
    return ", ".join(words) or "what an earlier deletion has left"


def _plural(word: str) -> str:
    return word.replace("tag", "tags", 1) if word.startswith("tag") else f"{word}s"


@contextmanager
def _problems(name: str) -> Iterator[None]:
    try:
        yield
    except RegistryError as error:
        raise Problem(f"{name} is not deleted: {error.detail}") from None
    except StorageError as error:
        raise Problem(f"{name} is not deleted, or not all of it: {error}; run it again") from None


async def _look(settings: Settings, name: str) -> Contents:
    async with _store(settings) as store:
        return await store.deletions.look(name)


async def _delete(settings: Settings, name: str) -> None:
    async with _store(settings) as store:
        await store.deletions.delete(name, actor=actor_for("portside delete"))


@asynccontextmanager
async def _store(settings: Settings) -> AsyncIterator[Store]:
    async with AsyncExitStack() as stack:
        events = await _events(settings, stack)
        yield await stack.enter_async_context(open_store(settings, writes=True, events=events))


async def _events(settings: Settings, stack: AsyncExitStack) -> Events:
    """Returns where it is told: the log that the servers beside it send from."""
    if settings.notifications is None or not settings.notifications.endpoints:
        return NO_EVENTS
    from portside.notifying import NoMetrics, Notifications  # noqa: PLC0415 - only where an endpoint is configured

    made = Notifications(
        settings.notifications, settings.roots[0], writes=True, instance=str(uuid.uuid4()), observer=NoMetrics()
    )
    stack.push_async_callback(made.close)
    await made.prepare()
    return made.events
