"""Reads the settings in a process of their own: what reads and checks them is large, and of no use afterwards.

The shape of the file, and the library that checks it, are a seventh of the memory of a start and a quarter of its time.
The child takes both with it when it ends, and its parent imports what it serves with meanwhile. That is for `serve`.
The single roles are started together on the same cores, as containers are: a second process each would make them wait
for one another, a quarter longer in all.
"""

from __future__ import annotations

import os
import pickle
import signal
import traceback
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

from portside.problems import Problem
from portside.settings.settings import Role, Settings


def begin_reading(role: Role, path: Path | None, flags: Mapping[str, Any]) -> Callable[[], Settings]:
    """Begins to read settings; the arguments are those of `Reading`.

    Returns:
        what waits for them and returns them; it raises Problem when they cannot be used.
    """
    if role is Role.SERVE:
        return Reading(role, path, flags).wait
    return partial(_load, role, path, flags)


class Reading:
    """Settings that a child process is reading.

    Args:
        role: which parts are to run.
        path: the file; None for what the environment names, if anything.
        flags: what the command line gave; see `loading.load_settings`.
    """

    def __init__(self, role: Role, path: Path | None, flags: Mapping[str, Any]) -> None:
        self._pipe, writing = os.pipe()
        self._child = os.fork()
        if self._child == 0:
            _read(writing, role, path, flags)
        os.close(writing)

    def wait(self) -> Settings:
        """Returns them; to be called once.

        Raises:
            Problem: there are mistakes in them, or the child was killed.
        """
        with os.fdopen(self._pipe, "rb") as pipe:
            written = pipe.read()
        _, status = os.waitpid(self._child, 0)
        if not written:
            ended = f"by signal {signal.Signals(os.WTERMSIG(status)).name}" if os.WIFSIGNALED(status) else "early"
            raise Problem(f"the process that read the settings was ended {ended}: free memory, and start it again")
        outcome = pickle.loads(written)  # noqa: S301 - this program's own child wrote it
        if isinstance(outcome, Settings):
            return outcome
        raise outcome


def _read(writing: int, role: Role, path: Path | None, flags: Mapping[str, Any]) -> NoReturn:
    """The child's whole life; nothing of the parent's is flushed or ended with it."""
    try:
        with os.fdopen(writing, "wb") as pipe:
            pipe.write(pickle.dumps(_outcome(role, path, flags)))
    finally:
        os._exit(0)


def _outcome(role: Role, path: Path | None, flags: Mapping[str, Any]) -> Settings | Exception:
    try:
        return _load(role, path, flags)
    except Problem as problem:
        return Problem(str(problem))
    except Exception:  # noqa: BLE001 - told where it can be seen: in the parent
        return RuntimeError(f"reading the settings failed:\n{traceback.format_exc()}")


def _load(role: Role, path: Path | None, flags: Mapping[str, Any]) -> Settings:
    from portside.settings.loading import load_settings, settings_path  # noqa: PLC0415 - in a child, if there is one

    return load_settings(role, path or settings_path(os.environ), os.environ, flags)
