"""A worker process, from the fork to its end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from backends.thread_pool import ThreadPool
from portside.problems import Problem
from portside.server.allocator import keep_large_buffers
from portside.server.listening import BoundListener
from portside.server.serving import Build, serve_here
from portside.server.signals import SIGNALS, WITHOUT_EFFECT
from portside.tls.contexts import ReloadingContext

_log = logging.getLogger("portside.workers")


@dataclass(frozen=True, slots=True)
class Pipes:
    """A worker's ends: to say something to the parent, to hear what changes, and one that closes with the parent."""

    saying: int
    changes: int
    parent: int


def work(
    bound: Sequence[BoundListener],
    contexts: Sequence[ReloadingContext | None],
    build: Build,
    drain_seconds: float,
    pipes: Pipes,
) -> int:
    """A worker's whole life; returns its exit status."""
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, *WITHOUT_EFFECT):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    keep_large_buffers()
    direct = logging.getLogger().handlers[:]

    def tell(word: str) -> None:
        with contextlib.suppress(BrokenPipeError):  # the parent has gone
            os.write(pipes.saying, word.encode())

    try:
        with asyncio.Runner(loop_factory=loop_factory()) as runner:
            runner.get_loop().set_default_executor(ThreadPool(thread_name_prefix="asyncio"))
            runner.run(
                serve_here(
                    bound,
                    contexts,
                    build,
                    drain_seconds=drain_seconds,
                    ready=lambda: tell("ready"),
                    parent=pipes.parent,
                    changes=pipes.changes,
                    ending=lambda busy: tell(str(busy)),
                )
            )
    except Problem as problem:
        tell(str(problem))
        return 1
    except BaseException:  # noqa: BLE001 - the process ends here: its last word is the traceback
        logging.getLogger().handlers[:] = direct  # a thread would have no time to write it
        _log.critical("a worker failed", exc_info=True)
        return 1
    return 0


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    """Returns what makes event loops. Called before the fork too, so that the workers share uvloop's memory."""
    try:
        import uvloop  # noqa: PLC0415 - where it installs
    except ImportError:
        return asyncio.new_event_loop
    return uvloop.new_event_loop
