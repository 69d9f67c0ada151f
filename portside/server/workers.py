"""Worker processes: forked by a parent that owns the sockets, restarted when they die, drained on SIGTERM.

The parent serves nobody. It waits for signals with `sigtimedwait`, so it works as PID 1 too, where unhandled signals
are ignored and orphans come to be reaped.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import resource
import select
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from portside.problems import Problem, ServingProblem
from portside.server.allocator import keep_large_buffers
from portside.server.listening import BoundListener
from portside.server.serving import Build, serve_here
from portside.tls.contexts import ReloadingContext

SIGNALS = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGCHLD})
START_SECONDS = 60.0
QUICK_SECONDS = 2.0
QUICK_DEATHS = 5
GRACE_SECONDS = 1.5
OPEN_FILES = 65536

_log = logging.getLogger("portside.workers")


@dataclass(frozen=True, slots=True)
class _Worker:
    """A worker process.

    Attributes:
        started: by the monotonic clock.
        ready: a pipe on which it says "ready", or what keeps it from being so.
    """

    pid: int
    started: float
    ready: int


@dataclass(frozen=True, slots=True)
class _Death:
    """How a worker ended: before it was ready (with its reason, if it said one), or later, by a signal or a status."""

    worker: _Worker
    unready: bool
    said: str
    signal: int | None


def serve(
    bound: Sequence[BoundListener],
    build: Build,
    *,
    workers: int,
    drain_seconds: float = 8.0,
    on_ready: Callable[[], None] | None = None,
    on_worker_end: Callable[[int], None] | None = None,
) -> int:
    """Serves until SIGTERM or SIGINT; closes what was bound.

    Args:
        bound: what `listening.bind` returned.
        build: called in each worker, inside its event loop. A `Problem` that it raises ends everything.
        workers: how many processes, at least 1; each serves every listener.
        drain_seconds: how long requests in flight may go on after the first signal (docker kills after 10).
        on_ready: called in the parent once, when all workers accept.
        on_worker_end: called in the parent with the pid of each worker that ended (for metrics).

    Returns:
        The exit status: 0 after a signal and a drain, 128 + n after a second signal, 1 when workers keep dying.

    Raises:
        Problem: the workers could not start, or TLS files cannot be loaded.
    """
    try:
        group = _Group(bound, build, workers, drain_seconds, on_worker_end)
        return group.run(on_ready)
    finally:
        for each in bound:
            each.close()


class _Group:
    """The parent's view of its workers."""

    def __init__(
        self,
        bound: Sequence[BoundListener],
        build: Build,
        count: int,
        drain_seconds: float,
        on_worker_end: Callable[[int], None] | None,
    ) -> None:
        self._bound = bound
        self._contexts = [
            ReloadingContext(each.listener.tls) if each.listener.tls is not None else None for each in bound
        ]
        self._build = build
        self._count = count
        self._drain_seconds = drain_seconds
        self._on_worker_end = on_worker_end
        self._workers: dict[int, _Worker] = {}
        self._quick_deaths = 0
        self._accepting: set[int] = set()
        self._alive = os.pipe()

    def run(self, on_ready: Callable[[], None] | None) -> int:
        """Starts the workers and waits for signals."""
        before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        try:
            _allow_many_files()
            gc.collect()
            gc.freeze()
            for _ in range(self._count):
                self._start()
            if self._wait_until_ready() and on_ready is not None:
                on_ready()
            return self._supervise()
        finally:
            for pid in self._workers:
                os.kill(pid, signal.SIGKILL)
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def _start(self) -> None:
        reading, writing = os.pipe()
        sys.stdout.flush()
        sys.stderr.flush()
        pid = os.fork()
        if pid == 0:
            os.close(reading)
            os.close(self._alive[1])
            os._exit(_work(self._bound, self._contexts, self._build, self._drain_seconds, writing, self._alive[0]))
        os.close(writing)
        self._workers[pid] = _Worker(pid, time.monotonic(), reading)

    def _wait_until_ready(self) -> bool:
        """Waits for every worker's word.

        Returns:
            False when a signal came first.

        Raises:
            ServingProblem: a worker said what is wrong, or nothing.
        """
        deadline = time.monotonic() + START_SECONDS
        waiting = {worker.ready: worker for worker in self._workers.values()}
        while waiting:
            if signal.sigpending() & {signal.SIGTERM, signal.SIGINT}:
                return False
            for ready in select.select(list(waiting), [], [], 0.1)[0]:
                said = os.read(ready, 65536).decode("utf-8", "replace")
                if said != "ready":
                    raise ServingProblem(
                        said or "a worker process ended while it started; the log above has the reason"
                    )
                self._accepting.add(waiting.pop(ready).pid)
            if time.monotonic() > deadline:
                raise ServingProblem(f"the worker processes were not ready after {START_SECONDS:g} seconds")
        return True

    def _supervise(self) -> int:
        while True:
            received = signal.sigtimedwait(SIGNALS, 1.0)
            if received is not None and received.si_signo != signal.SIGCHLD:
                return self._drain()
            for death in self._reap():
                if not self._replace(death):
                    return 1

    def _replace(self, death: _Death) -> bool:
        """Starts another worker in place of one that died; False when they keep dying.

        One that was killed from outside (by a person, or for want of memory) is always replaced.
        """
        worker = death.worker
        recent = time.monotonic() - worker.started < QUICK_SECONDS
        quick = death.signal != signal.SIGKILL and (death.unready or recent)
        self._quick_deaths = self._quick_deaths + 1 if quick else 0
        how = f"by signal {death.signal}" if death.signal else death.said or "by itself"
        _log.warning("worker %d ended (%s); another one takes its place", worker.pid, how)
        if self._quick_deaths >= QUICK_DEATHS:
            _log.error("workers keep dying as soon as they start; the lines above have the reason")
            return False
        if quick or death.unready:
            time.sleep(min(2.0, 0.1 * 2**self._quick_deaths))
        self._start()
        return True

    def _drain(self) -> int:
        """Lets requests in flight finish; a second signal, or too long, ends it at once."""
        for pid in self._workers:
            os.kill(pid, signal.SIGTERM)
        for each in self._bound:
            each.close()
        deadline = time.monotonic() + self._drain_seconds + GRACE_SECONDS
        while self._workers:
            left = deadline - time.monotonic()
            received = signal.sigtimedwait(SIGNALS, max(0.0, left)) if left > 0 else None
            if received is not None and received.si_signo == signal.SIGCHLD:
                self._reap()
            elif received is not None or left <= 0:
                for pid in self._workers:
                    os.kill(pid, signal.SIGKILL)
                self._workers.clear()
                return 128 + received.si_signo if received is not None else 0
        return 0

    def _reap(self) -> list[_Death]:
        """Takes note of processes that ended, orphans that came to PID 1 included."""
        deaths: list[_Death] = []
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return deaths
            if pid == 0:
                return deaths
            worker = self._workers.pop(pid, None)
            if worker is None:
                continue
            said = "ready" if pid in self._accepting else os.read(worker.ready, 65536).decode("utf-8", "replace")
            self._accepting.discard(pid)
            os.close(worker.ready)
            if self._on_worker_end is not None:
                self._on_worker_end(pid)
            killed = os.WTERMSIG(status) if os.WIFSIGNALED(status) else None
            deaths.append(_Death(worker, said != "ready", "" if said == "ready" else said, killed))


def _work(
    bound: Sequence[BoundListener],
    contexts: Sequence[ReloadingContext | None],
    build: Build,
    drain_seconds: float,
    ready: int,
    parent: int,
) -> int:
    """A worker's whole life; returns its exit status."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to all; the parent says what to do
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    keep_large_buffers()
    direct = logging.getLogger().handlers[:]

    def tell(word: str) -> None:
        os.write(ready, word.encode())
        os.close(ready)

    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(
                serve_here(
                    bound,
                    contexts,
                    build,
                    drain_seconds=drain_seconds,
                    ready=lambda: tell("ready"),
                    parent=parent,
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


def _allow_many_files() -> None:
    """Every connection is an open file, and the usual limit of 1024 is soft."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, OPEN_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    try:
        import uvloop  # noqa: PLC0415 - where it installs
    except ImportError:
        return asyncio.new_event_loop
    return uvloop.new_event_loop
