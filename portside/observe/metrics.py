"""Metrics of all workers, summed: kept in shared files, read by whichever worker is asked.

Names are distribution's where it has the same thing. The client library's multiprocess mode keeps one file a worker in
a folder that the parent makes before the fork and removes at the end. A request costs a worker some additions in its
own memory; every quarter of a second, and when the page is asked for, they go into the files.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from bisect import bisect_left
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from time import perf_counter
from typing import TYPE_CHECKING

from aiohttp import web

from backends.storage.capabilities import Room
from portside.problems import Problem

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry, Histogram, Metric

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
Sample = tuple[str, Mapping[str, str], float]

VARS_PATH = "/debug/vars"
FOLDER = "PROMETHEUS_MULTIPROC_DIR"
FLUSH_SECONDS = 0.25
_SERVER = {"Server": "Portside"}  # instead of the library and its version
BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 60)
"""distribution's, and smaller ones."""
SIZES = tuple(float(2**power) for power in range(10, 32))
"""distribution's: 1 KiB to 2 GiB."""
STORAGE_BUCKETS = (0.0001, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
"""distribution's, and smaller ones: most of what is read is in memory."""
WHERE = ("listener", "backend", "handler")
ROOM = {
    "free_bytes": "Bytes that are left on the tightest volume of a storage.",
    "size_bytes": "Bytes that this volume has in all.",
    "free_files": "Inodes that are left on it.",
    "size_files": "Inodes that it has in all; 0 where the file system does not count them.",
    "low_room": "1 while new uploads are refused for want of room.",
}
METHODS = {name: name.lower() for name in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")}


class MetricsFolder:
    """The parent's hold on the shared files; made before the library is imported, which reads where they are.

    Raises:
        Problem: there is no room for temporary files.
    """

    def __init__(self) -> None:
        try:
            self._path = tempfile.mkdtemp(prefix="portside-metrics-")
        except OSError as error:
            raise Problem(
                f"the metrics need a folder for temporary files ({error.strerror}): give this user a writable /tmp,"
                " or turn them off with gateway.metrics.addr: ''"
            ) from None
        os.environ[FOLDER] = self._path
        import prometheus_client  # noqa: F401, PLC0415 - here, so that the workers share its memory

    def worker_ended(self, pid: int) -> None:
        """Takes a dead worker's gauges out; its counters go on counting."""
        from prometheus_client import multiprocess  # noqa: PLC0415 - must not be imported before the folder is there

        multiprocess.mark_process_dead(pid)  # type: ignore[no-untyped-call]

    def remove(self) -> None:
        """Removes the files."""
        shutil.rmtree(self._path, ignore_errors=True)


@dataclass(slots=True)
class _Tally:
    """What was counted since the last time under one set of labels."""

    requests: int = 0
    seconds: float = 0.0
    received: int = 0
    sent: int = 0
    buckets: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS) + 1))
    received_sizes: list[int] = field(default_factory=lambda: [0] * (len(SIZES) + 1))
    sent_sizes: list[int] = field(default_factory=lambda: [0] * (len(SIZES) + 1))


class Times:
    """What was measured of one action since the last time.

    Attributes:
        seconds: in all.
        buckets: how many took how long, by `STORAGE_BUCKETS`.
    """

    __slots__ = ("buckets", "seconds")

    def __init__(self) -> None:
        self.seconds = 0.0
        self.buckets = [0] * (len(STORAGE_BUCKETS) + 1)

    def add(self, began: float) -> None:
        """Takes note of an action that ends now."""
        seconds = perf_counter() - began
        self.seconds += seconds
        self.buckets[bisect_left(STORAGE_BUCKETS, seconds)] += 1


class Metrics:
    """What is counted about requests, in this worker."""

    def __init__(self) -> None:
        from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram  # noqa: PLC0415 - see MetricsFolder

        own = self._own = CollectorRegistry()
        self._requests = Counter(
            "registry_http_requests_total",
            "Requests answered.",
            (*WHERE, "code", "method"),
            registry=own,
        )
        self._seconds = Histogram(
            "registry_http_request_duration_seconds",
            "Time from a request's head to the end of its answer.",
            (*WHERE, "method"),
            buckets=BUCKETS,
            registry=own,
        )
        self._received, self._sent = (
            Histogram(
                f"registry_http_{what}_size_bytes", f"Bytes of bodies {done}.", WHERE, buckets=SIZES, registry=own
            )
            for what, done in (("request", "received"), ("response", "sent"))
        )
        self._flying = Gauge(
            "registry_http_in_flight_requests",
            "Requests in progress.",
            ("listener",),
            registry=own,
            multiprocess_mode="livesum",
        )
        self._routes = Counter(
            "portside_route_total",
            "Decisions of the proxy: where to, for which generation of clients, and why.",
            ("backend", "generation", "why"),
            registry=own,
        )
        self._storage_seconds = Histogram(
            "registry_storage_action_seconds",
            "Time that storage took, without large files.",
            ("driver", "action"),
            buckets=STORAGE_BUCKETS,
            registry=own,
        )
        self._room = {
            name: Gauge(f"portside_storage_{name}", text, ("storage",), registry=own, multiprocess_mode="mostrecent")
            for name, text in ROOM.items()
        }
        self._answered_again = Counter(
            "portside_answered_again_total",
            "Requests to which an answer was given again that had been made before.",
            registry=own,
        )
        self._purged = Counter(
            "portside_purged_total",
            "Abandoned uploads and temporary files that were taken away.",
            ("kind",),
            registry=own,
        )
        self._purged_bytes = Counter("portside_purged_bytes_total", "Bytes that they had.", ("kind",), registry=own)
        self._indexed = Counter(
            "portside_index_manifests_total",
            "Stored manifests that were looked at to make the index of referrers.",
            ("referrer",),
            registry=own,
        )
        self._storage: dict[tuple[str, str], Times] = {}
        self._tallies: dict[tuple[str, str, str, int, str], _Tally] = {}
        self._decided: dict[tuple[str, str, str], int] = {}
        self._under_way: dict[str, int] = {}
        self._again = 0
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, listener: str) -> None:
        """Counts a request as in progress."""
        self._under_way[listener] = self._under_way.get(listener, 0) + 1
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(FLUSH_SECONDS, self.flush)

    def end(
        self,
        listener: str,
        backend: str,
        status: int,
        method: str,
        *,
        seconds: float,
        sent: int,
        received: int = 0,
        handler: str = "",
        decided: tuple[str, str] | None = None,
    ) -> None:
        """Counts a request that has ended; all labels are from small closed sets.

        Args:
            listener: where it came in.
            backend: who answered.
            status: of the answer.
            method: of the request; strange ones count as `other`.
            seconds: from its head to the end of the handler.
            sent: bytes of the answer's body.
            received: bytes of the request's body.
            handler: what it was about (`request_context.HANDLER`); "" where no route of ours was found.
            decided: the proxy's decision: the client's generation, and why.
        """
        self._under_way[listener] -= 1
        tally = self._tally((listener, backend, handler or "other", status, METHODS.get(method, "other")))
        tally.requests += 1
        tally.seconds += seconds
        tally.received += received
        tally.sent += sent
        tally.buckets[bisect_left(BUCKETS, seconds)] += 1
        tally.received_sizes[bisect_left(SIZES, received)] += 1
        tally.sent_sizes[bisect_left(SIZES, sent)] += 1
        if decided is not None:
            route = (backend, *decided)
            self._decided[route] = self._decided.get(route, 0) + 1
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(FLUSH_SECONDS, self.flush)

    def counting(
        self,
        listener: str,
        backend: str,
        status: int,
        method: str,
        *,
        sent: int,
        handler: str = "",
        decided: tuple[str, str] | None = None,
        is_passed_on: bool = False,
    ) -> Callable[[float], None]:
        """Returns what counts a request without a body that comes again and again, with what is said of it to `end`.

        Where it `is_passed_on` to a registry elsewhere, it is not among those that are answered again here. What is
        returned is called with the seconds from its head to the end of the handler.
        """
        tally = self._tally((listener, backend, handler or "other", status, METHODS.get(method, "other")))
        nothing, size = bisect_left(SIZES, 0), bisect_left(SIZES, sent)
        route = None if decided is None else (backend, *decided)
        decisions = self._decided
        again = 0 if is_passed_on else 1

        def count(seconds: float) -> None:
            self._again += again
            tally.requests += 1
            tally.seconds += seconds
            tally.sent += sent
            tally.buckets[bisect_left(BUCKETS, seconds)] += 1
            tally.received_sizes[nothing] += 1
            tally.sent_sizes[size] += 1
            if route is not None:
                decisions[route] = decisions.get(route, 0) + 1
            if self._timer is None:
                self._timer = asyncio.get_running_loop().call_later(FLUSH_SECONDS, self.flush)

        return count

    def _tally(self, key: tuple[str, str, str, int, str]) -> _Tally:
        tally = self._tallies.get(key)
        if tally is None:
            tally = self._tallies[key] = _Tally()
        return tally

    def set_room(self, storage: str, room: Room, *, low: bool) -> None:
        """Tells how much room the tightest volume of a storage has."""
        values = (room.free_bytes, room.total_bytes, room.free_files, room.total_files, int(low))
        for name, value in zip(ROOM, values, strict=True):
            self._room[name].labels(storage).set(value)

    def count_purged(self, kind: str, size: int) -> None:
        """Counts something abandoned that was taken away: its kind, and its size in bytes."""
        self._purged.labels(kind).inc()
        self._purged_bytes.labels(kind).inc(size)

    def count_indexed(self, is_referrer: bool) -> None:  # noqa: FBT001 - as the indexer calls it
        """Counts a stored manifest that was looked at for the index of referrers."""
        self._indexed.labels("yes" if is_referrer else "no").inc()

    def time_storage(self, driver: str, action: str) -> Times:
        """Returns where the times of one action of a driver are kept until they are written down."""
        return self._storage.setdefault((driver, action), Times())

    @property
    def registry(self) -> CollectorRegistry:
        """Where further metrics of this worker belong."""
        return self._own

    def collect(self) -> Iterable[Metric]:
        """Returns what this worker has counted up to the last flush."""
        return self._own.collect()

    def flush(self) -> None:
        """Writes what was counted since the last time into this worker's file."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for (*where, status, method), tally in self._tallies.items():
            if not tally.requests:
                continue
            self._requests.labels(*where, str(status), method).inc(tally.requests)
            _observe(self._seconds.labels(*where, method), tally.buckets, tally.seconds)
            _observe(self._received.labels(*where), tally.received_sizes, tally.received)
            _observe(self._sent.labels(*where), tally.sent_sizes, tally.sent)
            tally.requests, tally.seconds, tally.received, tally.sent = 0, 0.0, 0, 0
        for key, taken in self._storage.items():
            if any(taken.buckets):
                _observe(self._storage_seconds.labels(*key), taken.buckets, taken.seconds)
                taken.seconds = 0.0
        for route, times in self._decided.items():
            self._routes.labels(*route).inc(times)
        self._decided.clear()
        self._answered_again.inc(self._again)
        self._again = 0
        for listener, number in self._under_way.items():
            self._flying.labels(listener).set(number)


def _observe(histogram: Histogram, buckets: list[int], total: float) -> None:
    """Observes many at once, and empties the buckets: the library does it one by one, for three microseconds each."""
    for bucket, times in zip(histogram._buckets, buckets, strict=True):  # noqa: SLF001 - the library has no public method for it
        if times:
            bucket.inc(times)
    histogram._sum.inc(total)  # noqa: SLF001 - as above
    buckets[:] = [0] * len(buckets)


def metrics_page(path: str, metrics: Metrics | None, pages: Mapping[str, Handler]) -> Handler:
    """Returns the handler of the metrics listener.

    Args:
        path: where the metrics are.
        metrics: this worker's; None when nothing is counted.
        pages: what else is there, by its path.
    """

    async def page(request: web.BaseRequest) -> web.StreamResponse:
        asked = request.raw_path.partition("?")[0]
        if asked == path and metrics is not None:
            metrics.flush()
            headers = {"Content-Type": "text/plain; version=0.0.4; charset=utf-8", **_SERVER}
            return web.Response(body=await asyncio.to_thread(_summed), headers=headers)
        if asked in pages:
            return await pages[asked](request)
        *others, last = (path, *pages) if metrics is not None else pages
        here = f"{', '.join(others)} and {last}" if others else last
        return web.Response(status=404, text=f"here are {here}\n", headers=_SERVER)

    return page


def summed_samples() -> Iterator[Sample]:
    """Yields what all workers have written down, summed: name, labels, value; it reads files."""
    for metric in _all_workers().collect():
        for sample in metric.samples:
            yield sample.name, sample.labels, sample.value


def _summed() -> bytes:
    from prometheus_client import generate_latest  # noqa: PLC0415 - see MetricsFolder

    return generate_latest(_all_workers())


def _all_workers() -> CollectorRegistry:
    from prometheus_client import CollectorRegistry, multiprocess  # noqa: PLC0415 - see MetricsFolder

    registry = CollectorRegistry()
    multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return registry
