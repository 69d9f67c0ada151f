"""A migration that dies before its n-th operation that changes files.

As a program it reads lines `<number> <folder>`, and for each forks a child that migrates the volume in
the folder and ends by SIGKILL there. It answers with `killed` or `done`.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from dataclasses import replace
from pathlib import Path

from backends.registry.store import Store
from backends.storage.factory import open_folder
from portside.migrating.names import NameMap
from portside.migrating.planning import plan_migration
from portside.migrating.progress import Lines
from portside.migrating.running import migrate
from tests.support.actors import ACTOR
from tests.support.killing import KillingDriver


def _say(line: str) -> None:
    """Nobody listens."""


def v2_root(root: Path) -> Path:
    """Where v2 is in a volume."""
    return root / "v2" if (root / "v2").is_dir() else root


async def run(root: Path, number: int, log: int) -> None:
    """Migrates all of a volume; a folder `v2` in it is v2's own root."""
    opened = open_folder(v2_root(root))
    storage = replace(opened, driver=KillingDriver(opened.driver, number, before=True, log=log))
    v1_storage = storage if v2_root(root) == root else open_folder(root)
    store = Store(storage, v1_storage=v1_storage)
    plan = await plan_migration(store, NameMap())
    await migrate(store, plan, actor=ACTOR, watcher=Lines(0, _say))
    await store.close()
    await storage.close()
    if v1_storage is not storage:
        await v1_storage.close()


def main() -> None:
    """Forks a child for each line."""
    null = os.open(os.devnull, os.O_WRONLY)
    for line in sys.stdin:
        number, folder = line.split()
        pid = os.fork()
        if pid == 0:
            asyncio.run(run(Path(folder), int(number), null))
            os._exit(0)
        _, status = os.waitpid(pid, 0)
        is_killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
        if not is_killed and status:
            raise RuntimeError(f"the child ended with {status}")
        sys.stdout.write("killed\n" if is_killed else "done\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
