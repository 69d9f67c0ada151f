"""Metrics of all workers, summed: counters in shared files, read by whichever worker is asked.

Names are distribution's where it has the same thing. The client library's multiprocess mode keeps one file a worker in
a folder that the parent makes before the fork and removes at the end.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from aiohttp import web

if TYPE_CHECKING:
    from prometheus_client import Counter, Histogram

FOLDER = "PROMETHEUS_MULTIPROC_DIR"
BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60)


class MetricsFolder:
    """The parent's hold on the shared files."""

    def __init__(self) -> None:
        self._path = tempfile.mkdtemp(prefix="portside-metrics-")
        os.environ[FOLDER] = self._path

    def worker_ended(self, pid: int) -> None:
        """Takes a dead worker's gauges out; its counters go on counting."""
        from prometheus_client import multiprocess  # noqa: PLC0415 - must not be imported before the folder is there

        multiprocess.mark_process_dead(pid)  # type: ignore[no-untyped-call]

    def remove(self) -> None:
        """Removes the files."""
        shutil.rmtree(self._path, ignore_errors=True)


class Metrics:
    """What is counted about requests, in this worker."""

    def __init__(self) -> None:
        from prometheus_client import Counter, Gauge, Histogram  # noqa: PLC0415 - reads the folder when imported

        self._requests = Counter(
            "registry_http_requests_total", "Requests answered.", ("listener", "backend", "code", "method")
        )
        self._seconds = Histogram(
            "registry_http_request_duration_seconds",
            "Time from a request's head to the end of its answer.",
            ("listener", "backend"),
            buckets=BUCKETS,
        )
        self._sent = Counter(
            "registry_http_response_size_bytes_total", "Bytes of bodies sent.", ("listener", "backend")
        )
        self._flying = Gauge(
            "registry_http_in_flight_requests", "Requests under way.", ("listener",), multiprocess_mode="livesum"
        )
        self._counters: dict[tuple[str, str, int, str], Counter] = {}
        self._others: dict[tuple[str, str], tuple[Histogram, Counter]] = {}
        self.in_flight = {name: self._flying.labels(name) for name in ("proxy", "v1", "v2", "metrics")}

    def count(self, listener: str, backend: str, status: int, method: str, *, seconds: float, sent: int) -> None:
        """Counts one request; labels are from small closed sets."""
        method = method if method in _METHODS else "other"
        key = (listener, backend, status, method)
        counter = self._counters.get(key)
        if counter is None:
            counter = self._counters[key] = self._requests.labels(listener, backend, str(status), method)
        counter.inc()
        pair = self._others.get((listener, backend))
        if pair is None:
            pair = (self._seconds.labels(listener, backend), self._sent.labels(listener, backend))
            self._others[listener, backend] = pair
        pair[0].observe(seconds)
        if sent:
            pair[1].inc(sent)


_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


def metrics_page(healthy: Callable[[], Awaitable[str]]) -> Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]:
    """Returns the handler of the metrics listener: `/metrics` and `/debug/health`.

    Args:
        healthy: returns "" or what is wrong.
    """

    async def page(request: web.BaseRequest) -> web.StreamResponse:
        path = request.raw_path.partition("?")[0]
        if path == "/metrics":
            from prometheus_client import CollectorRegistry, generate_latest, multiprocess  # noqa: PLC0415 - as above

            registry = CollectorRegistry()
            multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
            headers = {"Content-Type": "text/plain; version=0.0.4; charset=utf-8"}
            return web.Response(body=generate_latest(registry), headers=headers)
        if path == "/debug/health":
            wrong = await healthy()
            body = b"{}\n" if not wrong else f'{{"storage": "{wrong}"}}\n'.encode()
            return web.Response(
                status=503 if wrong else 200, body=body, headers={"Content-Type": "application/json; charset=utf-8"}
            )
        return web.Response(status=404, text="here are /metrics and /debug/health\n")

    return page
