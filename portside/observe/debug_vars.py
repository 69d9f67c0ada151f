"""`/debug/vars` on the metrics listener: Go's expvar as distribution fills it, as far as it means something here.

Invariant: no secret stands on it, though nobody must log in to read it. distribution shows here what is configured of
each endpoint, its `Authorization` too; here a header has only its name, and a URL neither user nor query.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aiohttp import web

from backends.http.masking import MASK, masked
from portside.observe.metrics import Metrics, Sample, summed_samples

if TYPE_CHECKING:
    from backends.notify.settings import EndpointSettings

_HEADERS = {"Server": "Portside", "Content-Type": "application/json; charset=utf-8", "Cache-Control": "no-store"}
_NANOSECONDS = 1_000_000_000
_EVENTS = ("Events", "Successes", "Failures", "Errors")
_CACHE = {"Request": "Requests", "Hit": "Hits", "Miss": "Misses"}


@dataclass(frozen=True, slots=True)
class Shown:
    """What is said beside the figures.

    Attributes:
        version: the program's.
        instance: the id of this start.
        endpoints: of notifications.
    """

    version: str
    instance: str
    endpoints: tuple[EndpointSettings, ...]


async def show(_: web.BaseRequest, shown: Shown, metrics: Metrics | None) -> web.StreamResponse:
    """Answers a request.

    Args:
        shown: what is said beside the figures.
        metrics: this worker's; None when nothing is counted, then all figures are 0.
    """
    if metrics is not None:
        metrics.flush()
    return web.Response(headers=_HEADERS, body=await asyncio.to_thread(_body, shown, counts=metrics is not None))


def _body(shown: Shown, *, counts: bool) -> bytes:
    samples = list(summed_samples()) if counts else []
    page = {
        "cmdline": [masked(argument) for argument in sys.argv],
        "memstats": _memory(),
        "portside": {"version": shown.version, "instance": shown.instance, "pid": os.getpid()},
        "registry": {
            "cache": {"storage": {"blobdescriptor": _cache(samples)}},
            "notifications": {"endpoints": [_endpoint(each, samples) for each in shown.endpoints] or None},
        },
    }
    return json.dumps(page, indent=1).encode() + b"\n"


def _memory() -> dict[str, Any]:
    """What Go's `memstats` has and this process has too; only of the worker that answers."""
    with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123 - a file of the kernel's
        pages = int(file.read().split()[1])
    generations = gc.get_stats()
    return {
        "Sys": pages * os.sysconf("SC_PAGE_SIZE"),
        "NumGC": sum(each["collections"] for each in generations),
        "EnableGC": gc.isenabled(),
    }


def _cache(samples: Iterable[Sample]) -> dict[str, int]:
    found = {
        _CACHE[labels["type"]]: int(value)
        for name, labels, value in samples
        if name == "registry_storage_cache_total" and labels["type"] in _CACHE
    }
    return {name: found.get(name, 0) for name in _CACHE.values()} if found else {}


def _endpoint(endpoint: EndpointSettings, samples: Iterable[Sample]) -> dict[str, Any]:
    """Returns what distribution shows of an endpoint, with its names; what may be a secret is masked."""
    own = [(name, labels, int(value)) for name, labels, value in samples if labels.get("endpoint") == endpoint.name]
    events = {labels["type"]: value for name, labels, value in own if name == "registry_notifications_events_total"}
    statuses = {labels["code"]: value for name, labels, value in own if name == "registry_notifications_status_total"}
    pending = sum(value for name, _, value in own if name == "registry_notifications_pending_total")
    return {
        "name": endpoint.name,
        "url": endpoint.shown_url,
        "Headers": {name: [MASK] * len(values) for name, values in endpoint.headers.items()},
        "Timeout": int(endpoint.timeout_seconds * _NANOSECONDS),
        "Threshold": endpoint.threshold,
        "Backoff": int(endpoint.backoff_seconds * _NANOSECONDS),
        "IgnoredMediaTypes": sorted(endpoint.ignored_media_types),
        "Ignore": {"MediaTypes": None, "Actions": sorted(endpoint.ignored_actions)},
        "Metrics": {"Pending": pending, **{name: events.get(name, 0) for name in _EVENTS}, "Statuses": statuses},
    }
