"""`portside migrate plan`, `run` and `verify` on the volume that settings name."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from backends.model.conversion.policy import ALL_CONVERSIONS
from backends.model.errors import RegistryError
from backends.storage import layout
from backends.storage.driver import StorageError, StorageFull
from portside.folders import is_folder
from portside.migrating.as_json import plan_as_json
from portside.migrating.names import NameMap, parse_map
from portside.migrating.planning import MigrationPlan, State, plan_migration
from portside.migrating.progress import reading, watching
from portside.migrating.running import migrate
from portside.migrating.showing import counted, not_found, not_migrated, outcome_line, plan_lines, summary
from portside.migrating.verifying import Verifier
from portside.problems import Problem
from portside.settings.loading import Role, Settings, load_settings
from portside.volumes import actor_for, open_store, require_folders, require_owner

T = TypeVar("T")

COMMAND = "portside migrate run"


@dataclass(frozen=True, slots=True)
class Task:
    """What all three work on.

    Attributes:
        settings: of the volume.
        names: the operator's map.
        say: prints a line.
        is_terminal: whether lines go to one.
    """

    settings: Settings
    names: NameMap
    say: Callable[[str], None]
    is_terminal: bool


def make_task(
    config: Path | None,
    environment: Mapping[str, str],
    flags: Mapping[str, Any],
    *,
    pairs: tuple[str, ...],
    file: Path | None,
    say: Callable[[str], None],
    is_terminal: bool,
) -> Task:
    """Returns what to work on.

    Args:
        config: the settings file; None for none.
        environment: all variables.
        flags: as for `load_settings`.
        pairs: `old=new`, as on the command line.
        file: lines of them; None for none.
        say: prints a line.
        is_terminal: whether lines go to one.

    Raises:
        Problem: there is nothing to work on, or the map is not valid; the sentence says why.
    """
    lines = list(pairs)
    if file is not None:
        try:
            lines += file.read_text("utf-8").splitlines()
        except OSError as error:
            raise Problem(f"the file of names {file} cannot be read: {error.strerror}") from None
        except UnicodeDecodeError:
            raise Problem(f"the file of names {file} cannot be read: it is not UTF-8") from None
    try:
        names = parse_map(lines)
    except ValueError as error:
        raise Problem(str(error)) from None
    settings = load_settings(Role.SERVE, config, environment, flags)
    if not settings.roots:
        raise Problem("these settings have no registry, so there is nothing to migrate: name those of the registries")
    require_folders(settings.roots[-1:], (layout.V1_REPOSITORIES,))
    return Task(settings, names, say, is_terminal)


def plan(task: Task, *, as_json: bool) -> None:
    """Says what `run` would make.

    Args:
        task: what to work on.
        as_json: for machines.

    Raises:
        Problem: the volume cannot be read.
    """
    found = _run(_plan(task))
    if as_json:
        task.say(plan_as_json(found))
        return
    for line in plan_lines(found):
        task.say(line)


def run(task: Task) -> bool:
    """Migrates what can be migrated.

    Returns:
        whether nothing that v1 has is missing in v2, but for what the operator or v2 clients decided.

    Raises:
        Problem: it cannot go on; the sentence says why, and what is finished stays.
    """
    if task.settings.gates.read_only:
        raise Problem("this registry is read-only (storage.maintenance.readonly); nothing is migrated")
    owned = require_folders(task.settings.roots[-1:], (layout.V1_REPOSITORIES,))
    require_owner(owned, command=COMMAND)
    v2 = Path(task.settings.roots[0].root)
    if is_folder(v2):
        require_owner(v2 / "docker" if is_folder(v2 / "docker") else v2, command=COMMAND)
    return _run(_migrate(task))


def verify(task: Task) -> bool:
    """Compares what was migrated with what v1 has.

    Returns:
        whether it is the same.

    Raises:
        Problem: the volume cannot be read.
    """
    return _run(_verify(task))


async def _plan(task: Task) -> MigrationPlan:
    async with open_store(task.settings, writes=False) as store:
        return await plan_migration(store, task.names, task.settings.conversions or ALL_CONVERSIONS)


async def _migrate(task: Task) -> bool:
    actor = actor_for("portside migrate")
    async with open_store(task.settings, writes=True) as store:
        found = await plan_migration(store, task.names, task.settings.conversions or ALL_CONVERSIONS)
        task.say(summary(found))
        total = sum(found.layers(State.TO_DO).values())
        with watching(total, task.say, is_terminal=task.is_terminal) as watcher:
            outcomes = await migrate(store, found, actor=actor, watcher=watcher)
    failed = [outcome for outcome in outcomes if outcome.digest is None]
    for line in (*not_migrated(found), *not_found(found)):
        task.say(line)
    if task.is_terminal:  # elsewhere each was said when it happened
        for outcome in failed:
            task.say(outcome_line(outcome))
    done = len(outcomes) - len(failed)
    impossible = [outcome for outcome in failed if outcome.state is State.IMPOSSIBLE]
    task.say(f"{counted(done, 'tag')} migrated; what v1 has is as it was")
    return not impossible and not found.of(State.IMPOSSIBLE)


async def _verify(task: Task) -> bool:
    async with open_store(task.settings, writes=False) as store:
        found = await plan_migration(store, task.names, task.settings.conversions or ALL_CONVERSIONS)
        total = 2 * sum(found.layers(State.DONE).values())  # those of v1, and those of v2
        with reading(total, task.say, is_terminal=task.is_terminal) as on_read:
            differences = [each async for each in Verifier(store, on_read).verify(found)]
    for each in differences:
        task.say(f"{each.plan.tag.name}:{each.plan.tag.text}: {each.sentence}")
    for line in not_migrated(found):
        task.say(line)
    same = len(found.of(State.DONE))
    found_out = counted(len(differences), "difference") if differences else "no differences"
    task.say(f"{counted(same, 'migrated tag')} compared, {found_out}")
    return not differences and not found.of(State.IMPOSSIBLE)


def _run(work: Coroutine[Any, Any, T]) -> T:
    try:
        return asyncio.run(work)
    except KeyboardInterrupt:
        raise Problem("stopped; what is finished stays, and the next run goes on from here") from None
    except StorageFull as error:
        raise Problem(f"there is no room left: {error}; make some and run it again, which goes on from here") from None
    except (StorageError, RegistryError) as error:
        why = error.detail if isinstance(error, RegistryError) else error
        raise Problem(f"the volume cannot be read or written: {why}; what is finished stays") from None
