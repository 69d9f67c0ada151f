"""Worker processes: forked by a parent that owns the sockets, restarted when they die, drained on a signal.

The parent serves no requests. It waits for signals with `sigtimedwait`, so it works as PID 1 too, where unhandled
signals are ignored and orphans come to be reaped. `signals` says what each signal does, `working` what a worker does.
"""

from __future__ import annotations

import gc
import logging
import os
import resource
import select
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from portside.problems import Problem, ServingProblem
from portside.server.listening import BoundListener
from portside.server.reloading import send_change
from portside.server.serving import Build
from portside.server.signals import ENDING, SIGNALS, Terminal
from portside.server.working import Pipes, work
from portside.tls.contexts import ReloadingContext

if TYPE_CHECKING:
    from portside.server.proposals import Proposal

TICK_SECONDS = 1.0
TELL_SECONDS = 0.3
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
        said: a pipe on which it says "ready", or what keeps it from being so; when it ends, how many requests are at
            work.
        changes: a pipe on which the parent sends what changes.
    """

    pid: int
    started: float
    said: int
    changes: int


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
    on_tick: Callable[[], None] | None = None,
    on_reload: Callable[[], Proposal | None] | None = None,
) -> int:
    """Serves until SIGTERM, SIGINT or SIGQUIT; closes what was bound.

    Args:
        bound: what `listening.bind` returned.
        build: called in each worker, inside its event loop. A `Problem` that it raises ends everything.
        workers: how many processes, at least 1; each serves every listener.
        drain_seconds: how long requests in flight may go on after the first signal (docker kills after 10).
        on_ready: called in the parent once, when all workers accept.
        on_worker_end: called in the parent with the pid of each worker that ended (for metrics).
        on_tick: called in the parent about once a second.
        on_reload: called in the parent at SIGHUP; returns what is to change, or None.

    Returns:
        The exit status: 0 after a signal and a drain, 128 + n after a second signal, 1 when workers keep dying.

    Raises:
        Problem: the workers could not start, or TLS files cannot be loaded.
    """
    try:
        hooks = _Hooks(on_ready or _nothing, on_worker_end or _nothing, on_tick or _nothing, on_reload or _nothing)
        return _Group(bound, build, workers, drain_seconds, hooks).run()
    finally:
        for each in bound:
            each.close()


@dataclass(frozen=True, slots=True)
class _Hooks:
    """What the caller of `serve` has called, in the parent."""

    ready: Callable[[], None]
    worker_end: Callable[[int], None]
    tick: Callable[[], None]
    reload: Callable[[], Proposal | None]


def _nothing(*_: object) -> None:
    """Nothing is to be called."""


class _Group:
    """The parent's view of its workers."""

    def __init__(
        self,
        bound: Sequence[BoundListener],
        build: Build,
        count: int,
        drain_seconds: float,
        hooks: _Hooks,
    ) -> None:
        self._bound = bound
        self._contexts = [
            ReloadingContext(each.listener.tls) if each.listener.tls is not None else None for each in bound
        ]
        self._build = build
        self._count = count
        self._drain_seconds = drain_seconds
        self._hooks = hooks
        self._workers: dict[int, _Worker] = {}
        self._quick_deaths = 0
        self._accepting: set[int] = set()
        self._alive = os.pipe()
        self._terminal = Terminal()

    def run(self) -> int:
        """Starts the workers and waits for signals."""
        before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        try:
            _allow_many_files()
            # Not collected before: pages that it empties here fill again, and are shared no longer (see gc.freeze).
            gc.freeze()
            gc.enable()
            for _ in range(self._count):
                self._start()
            if self._wait_until_ready():
                self._hooks.ready()
            return self._supervise()
        finally:
            for pid in self._workers:
                os.kill(pid, signal.SIGKILL)
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def _start(self) -> None:
        said, saying = os.pipe()
        changes, changing = os.pipe()
        os.set_blocking(changing, False)
        sys.stdout.flush()
        sys.stderr.flush()
        pid = os.fork()
        if pid == 0:
            for end in (said, changing, self._alive[1], *(each.changes for each in self._workers.values())):
                os.close(end)
            pipes = Pipes(saying, changes, self._alive[0])
            os._exit(work(self._bound, self._contexts, self._build, self._drain_seconds, pipes))
        os.close(saying)
        os.close(changes)
        self._workers[pid] = _Worker(pid, time.monotonic(), said, changing)

    def _wait_until_ready(self) -> bool:
        """Waits for every worker's word.

        Returns:
            False when a signal came first.

        Raises:
            ServingProblem: a worker said what is wrong, or nothing.
        """
        deadline = time.monotonic() + START_SECONDS
        waiting = {worker.said: worker for worker in self._workers.values()}
        while waiting:
            if signal.sigpending() & ENDING:
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
            received = signal.sigtimedwait(SIGNALS, TICK_SECONDS)
            number = received.si_signo if received is not None else None
            if number in ENDING:
                return self._drain()
            if number == signal.SIGHUP:
                if self._terminal.closed():
                    _log.info("the terminal has closed")
                    return self._drain()
                self._reload()
            for death in self._reap():
                if not self._replace(death):
                    return 1
            self._hooks.tick()

    def _reload(self) -> None:
        """Takes over what has changed in the settings, in the parent and in each worker, or nothing of it."""
        proposal = self._hooks.reload()
        if proposal is None:
            return
        listeners = proposal.change.listeners
        try:
            contexts = [ReloadingContext(each.tls) if each.tls is not None else None for each in listeners]
        except Problem as problem:
            _log.error("the settings stay as they are: %s", problem)
            return
        self._bound = [replace(each, listener=listener) for each, listener in zip(self._bound, listeners, strict=True)]
        self._contexts = contexts
        proposal.accept()
        for worker in self._workers.values():
            if not send_change(worker.changes, proposal.change):
                _log.warning("worker %d cannot be sent the new settings; it is replaced", worker.pid)
                os.kill(worker.pid, signal.SIGTERM)

    def _replace(self, death: _Death) -> bool:
        """Starts another worker in place of one that died; False when they keep dying.

        One that was killed from outside (by a person, or for want of memory) is always replaced.
        """
        worker = death.worker
        recent = time.monotonic() - worker.started < QUICK_SECONDS
        quick = death.signal != signal.SIGKILL and (death.unready or recent)
        self._quick_deaths = self._quick_deaths + 1 if quick else 0
        how = f"by signal {death.signal}" if death.signal else death.said or "by itself"
        _log.warning("worker %d ended (%s); it is replaced", worker.pid, how)
        if self._quick_deaths >= QUICK_DEATHS:
            _log.error("workers keep dying as soon as they start; the lines above have the reason")
            return False
        if quick or death.unready:
            time.sleep(min(2.0, 0.1 * 2**self._quick_deaths))
        self._start()
        return True

    def _drain(self) -> int:
        """Lets requests in flight finish; a second signal, or too long, ends it at once."""
        deadline = time.monotonic() + self._drain_seconds + GRACE_SECONDS
        for pid in self._workers:
            os.kill(pid, signal.SIGTERM)
        for each in self._bound:
            each.close()
        busy = self._count_requests()
        if busy:
            _log.info(
                "stopping: %d %s still in progress and may take up to %g seconds; press Ctrl-C again to stop at once",
                busy,
                "request is" if busy == 1 else "requests are",
                self._drain_seconds,
            )
        while self._workers:
            left = deadline - time.monotonic()
            received = signal.sigtimedwait(SIGNALS, max(0.0, left)) if left > 0 else None
            if received is not None and received.si_signo == signal.SIGCHLD:
                self._reap()
            elif left <= 0 or (received is not None and received.si_signo in ENDING):
                for pid in self._workers:
                    os.kill(pid, signal.SIGKILL)
                self._workers.clear()
                if received is None:
                    return 0
                _log.warning("second signal: stopped at once; requests in progress are cut off")
                return 128 + received.si_signo
        return 0

    def _count_requests(self) -> int:
        """Adds up how many requests are in progress, by the workers that have just been sent SIGTERM."""
        deadline = time.monotonic() + TELL_SECONDS
        waiting = [worker.said for worker in self._workers.values() if worker.pid in self._accepting]
        count = 0
        while waiting and (left := deadline - time.monotonic()) > 0:
            for said in select.select(waiting, [], [], left)[0]:
                number = os.read(said, 64)
                count += int(number) if number.isdigit() else 0
                waiting.remove(said)
        return count

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
            said = "ready" if pid in self._accepting else os.read(worker.said, 65536).decode("utf-8", "replace")
            self._accepting.discard(pid)
            os.close(worker.said)
            os.close(worker.changes)
            self._hooks.worker_end(pid)
            killed = os.WTERMSIG(status) if os.WIFSIGNALED(status) else None
            deaths.append(_Death(worker, said != "ready", "" if said == "ready" else said, killed))


def _allow_many_files() -> None:
    """Every connection is an open file, and the usual limit of 1024 is soft."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, OPEN_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
