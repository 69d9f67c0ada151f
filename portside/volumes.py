"""What a command that works on a volume by itself, beside running servers, requires of it, and how it opens it."""

from __future__ import annotations

import getpass
import os
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from backends.model.actor import Actor
from backends.registry.events import NO_EVENTS, Events
from backends.storage.driver import StorageError
from backends.storage.factory import open_memory, open_storage
from backends.storage.settings import StorageSettings
from backends.storage.storage import Storage
from portside.folders import is_folder
from portside.problems import Problem

if TYPE_CHECKING:
    from backends.registry.store import Store
    from portside.settings.settings import Settings


def require_volume(storage: StorageSettings, folders: Sequence[str], *, command: str) -> None:
    """Refuses what is no volume, and to leave files there that the registry could not change.

    Args:
        storage: of the settings.
        folders: one of these it has, as `layout` names them.
        command: the words that run it.

    Raises:
        Problem: says which.
    """
    require_owner(require_folders([storage], folders), command=command)


def require_folders(places: Sequence[StorageSettings], folders: Sequence[str]) -> Path:
    """Refuses what is no volume.

    Args:
        places: of the settings.
        folders: one of these one of them has, as `layout` names them.

    Returns:
        the first of them.

    Raises:
        Problem: there is none, or it cannot be looked at.
    """
    for storage in places:
        if storage.driver != "filesystem":
            raise Problem("storage inmemory lives in the server's process; there is no volume to work on")
        for folder in folders:
            if is_folder(path := Path(storage.root) / folder.lstrip("/")):
                return path
    roots = " and ".join(dict.fromkeys(str(Path(storage.root).absolute()) for storage in places))
    if not any(is_folder(Path(storage.root)) for storage in places):
        what = f"there is no folder {roots}"
    else:
        what = f"{roots} {'have' if ' and ' in roots else 'has'} no repositories"
    raise Problem(f"{what}: name the data folder with --data, or the settings file")


def require_owner(path: Path, *, command: str) -> None:
    """Refuses to leave files in a volume that the registry could not change.

    Args:
        path: a file or folder that the registry has made.
        command: the words that run it.

    Raises:
        Problem: they would be another user's.
    """
    owner = path.stat().st_uid
    if os.geteuid() == 0 != owner:
        raise Problem(
            f"{path} belongs to uid {owner}, which could not change what root makes there;"
            f" run it as that user: setpriv --reuid={owner} --clear-groups {command} …"
        )


@asynccontextmanager
async def open_store(settings: Settings, *, writes: bool, events: Events = NO_EVENTS) -> AsyncIterator[Store]:
    """Opens what both registries keep.

    Args:
        settings: of the volume.
        writes: whether anything may be written; else no file is made or changed, not even one of ours.
        events: where it is told what a command does; most tell no endpoint of anything.

    Raises:
        Problem: it cannot be opened.
    """
    from backends.model.conversion.policy import ALL_CONVERSIONS  # noqa: PLC0415 - with what it needs, only here
    from backends.registry.store import Store  # noqa: PLC0415

    async with AsyncExitStack() as stack:
        storages: list[Storage] = []
        for place in settings.roots:
            storages.append(_open(place) if writes else _open_to_read(place))
            stack.push_async_callback(storages[-1].close)
        store = Store(
            storages[0],
            v1_storage=storages[-1],
            signing_key=settings.signing_key,
            events=events,
            # The rules are about clients; a command asks for them itself where they concern it.
            conversion_policy=replace(settings.conversions or ALL_CONVERSIONS, rules=()),
            # A command has the machine to itself, but for servers, to whose threads its own give way.
            layer_settings=replace(settings.layers, at_once=max(settings.layers.at_once, os.cpu_count() or 1)),
            writes=writes,
            own_images=True,
        )
        stack.push_async_callback(store.close)
        yield store


def actor_for(command: str) -> Actor:
    """Returns who changes a volume by a command: the user that runs it."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        user = str(os.getuid())
    return Actor(user, "this machine", command, secrets.token_hex(16))


def _open(settings: StorageSettings) -> Storage:
    try:
        return open_storage(settings)
    except StorageError as error:
        raise Problem(str(error)) from None


def _open_to_read(settings: StorageSettings) -> Storage:
    """Opens a place of which nothing is changed; locks among processes would make a file, and nothing needs them."""
    from backends.storage.read_only_driver import ReadOnlyDriver  # noqa: PLC0415

    memory = open_memory()
    if settings.driver != "filesystem" or not is_folder(Path(settings.root)):
        return replace(memory, driver=ReadOnlyDriver(memory.driver))
    return replace(memory, driver=ReadOnlyDriver(_open(settings).driver))
