"""Puts the parts of a role together, in each worker, and owns their life: the only place that knows them all."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from backends.http.configured_headers import ConfiguredHeaders
from backends.storage.driver import StorageError
from backends.storage.storage import Storage
from portside.observe.access_log import AccessLog, open_access_log
from portside.observe.checks import make_health
from portside.observe.health import Health
from portside.observe.health_page import health_page
from portside.observe.logging import Log, set_level
from portside.observe.metrics import VARS_PATH, Metrics, metrics_page
from portside.observe.requests import Handler, observed
from portside.observe.room import measure_room, watch_room
from portside.observe.voice import Voice
from portside.problems import Problem
from portside.server.grammar import refuse
from portside.settings.settings import Role, Settings
from proxy.routing import Backend
from proxy.settings import HEALTH_PATH

if TYPE_CHECKING:
    from aiohttp.web import BaseRequest, StreamResponse

    from backends.registry.store import Store
    from backends.v1.mirror.mirror import Mirror
    from portside.access_control import Access, PreparedAccess
    from portside.caching import Caching
    from portside.notifying import Notifications
    from portside.settings.changes import ServiceChange
    from portside.v1_index import IndexAccess
    from proxy.forwarding import Forwarder
    from proxy.proxy import Proxy, Upstream


@dataclass(slots=True)
class Parts:
    """What a worker has built: a handler for each listener, and how to let go of it all."""

    handlers: Mapping[str, Handler]
    refusals: Mapping[str, Handler]
    proxy: Proxy | None
    storages: list[Storage]
    store: Store | None
    headers: ConfiguredHeaders
    access: AccessLog | None
    log: Log
    health: Health
    watching: Sequence[asyncio.Task[Any]]
    notifications: Notifications | None
    caching: Caching | None
    access_control: Access | None
    index: IndexAccess | None
    mirror: Mirror | None

    def change(self, values: ServiceChange) -> None:
        """Takes over what was reloaded."""
        set_level(values.level)
        self.headers.change(values.headers)
        if self.access is not None:
            self.access.tell(requests=values.tells_requests)
        if self.access_control is not None:
            self.access_control.reread()

    async def drain(self) -> None:
        """Has those asked again later who wait for what takes long, so that they do not hold up the end."""
        if self.store is not None:
            await self.store.drain()

    async def close(self) -> None:
        """Lets go of connections, files and the log, in this order; called after the last request."""
        for task in self.watching:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        await self.health.close()
        if self.caching is not None:
            await self.caching.close()
        if self.proxy is not None:
            await self.proxy.close()
        if self.access_control is not None:
            await self.access_control.close()
        if self.index is not None:
            await self.index.close()
        if self.mirror is not None:
            await self.mirror.close()
        if self.store is not None:
            await self.store.close()
        if self.notifications is not None:
            await self.notifications.close()
        for storage in self.storages:
            await storage.close()
        if self.access is not None:
            await self.access.stop()
        await asyncio.to_thread(self.log.stop)


async def build(
    settings: Settings,
    *,
    version: str,
    instance: str,
    started: float,
    voice: Voice,
    prepared: PreparedAccess | None = None,
) -> Parts:
    """Builds what the role needs.

    Args:
        settings: what to build.
        version: the program's, for the log.
        instance: one id for all workers, for the log.
        started: when the program was, in seconds since 1970; the same for a worker that replaces another.
        voice: which of the workers speaks for all.
        prepared: what the parent has made for access control; None where there is none.

    Raises:
        Problem: the storage cannot be opened, or an upstream's CA cannot be read.
    """
    log = Log(settings.log, version=version, instance=instance)
    metrics = Metrics() if settings.metrics_path else None
    storages: list[Storage] = []
    registries: dict[Backend, Handler] = {}
    background: list[Callable[[], Coroutine[Any, Any, None]]] = []
    store, notifications, caching, control, index, mirror = None, None, None, None, None, None
    if settings.roots:
        from portside import registries as here  # noqa: PLC0415 - not where requests are only forwarded

        storages = here.open_places(settings, metrics)
        notifications = await _notifications(settings, metrics, instance=instance)
        caching = _caching(settings, storages, metrics)
        facts = caching.facts if caching is not None else None
        store = here.make_store(settings, storages, notifications, facts, metrics)
        control = _access(settings, prepared, storages[0], metrics, voice)
        index = _index(settings, control, metrics)
        mirror = here.make_mirror(settings, store)
        registries = here.make_registries(settings, store, control, index, mirror)
        background += [purger.watch for purger in here.make_purgers(settings, storages, metrics)]
        background += [indexer.watch for indexer in here.make_indexers(settings, storages, metrics, started=started)]
        background += [reader.watch for reader in here.make_layer_readers(settings, store, started=started)]
    elif settings.access is not None and _asks_for_others(settings):
        from backends.storage.factory import open_memory  # noqa: PLC0415 - few proxies ask clients themselves

        control = _access(settings, prepared, open_memory(), metrics, voice)
    handlers = _registries_alone(settings, registries)
    headers = ConfiguredHeaders(settings.headers)
    proxy = None
    elsewhere: dict[Backend, Forwarder] = {}
    if settings.role in {Role.SERVE, Role.PROXY}:
        from proxy.proxy import InProcess, Proxy  # noqa: PLC0415 - not in a registry by itself

        elsewhere = _elsewhere(settings)
        in_process: dict[Backend, Upstream] = {backend: InProcess(handle) for backend, handle in registries.items()}
        proxy = Proxy(settings.proxy, in_process | elsewhere | _checked(settings, elsewhere, control), headers=headers)
        handlers["proxy"] = proxy.handle
    log.start()
    access = open_access_log(settings.log, version=version, instance=instance) if settings.log.access else None
    named = _named(storages)
    mark = sha256(instance.encode()).hexdigest()
    health = make_health(
        settings.health,
        named,
        elsewhere,
        writes=not settings.gates.read_only,
        voice=voice,
        redis=caching.redis if caching is not None else None,
        more=[
            *([notifications.check()] if notifications is not None else ()),
            *(control.checks() if control is not None else ()),
        ],
        mark=mark,
    )
    if settings.health.configured:
        from portside.observe.stopping import while_healthy  # noqa: PLC0415 - seldom wanted

        handlers = {name: while_healthy(handle, health, mark=mark) for name, handle in handlers.items()}
    page = health_page(health, private=False)
    faces = {
        name: observed(handle, name, access=access, metrics=metrics, headers=headers, health=page)
        for name, handle in handlers.items()
    }
    refusals: dict[str, Handler] = {
        name: observed(refuse, name, access=access, metrics=metrics, headers=headers) for name in handlers
    }
    refusals["metrics"] = refuse
    variables = _variables(settings, metrics, version=version, instance=instance)
    pages = {HEALTH_PATH: health_page(health, private=True), VARS_PATH: variables}
    faces["metrics"] = metrics_page(settings.metrics_path, metrics, pages)
    await measure_room(named, metrics)  # before the first request: a restart does not forget that room is low
    if storages:
        background.append(partial(watch_room, named, metrics))
    if storages or settings.health.configured:  # a proxy asks the registries elsewhere when it is asked
        background.append(health.watch)
    if notifications is not None:
        background.append(notifications.watch)
    if control is not None:
        background.append(control.watch)
    watching = [asyncio.create_task(work()) for work in background]
    return Parts(
        faces,
        refusals,
        proxy,
        storages,
        store,
        headers,
        access,
        log,
        health,
        watching,
        notifications,
        caching,
        control,
        index,
        mirror,
    )


def _variables(settings: Settings, metrics: Metrics | None, *, version: str, instance: str) -> Handler:
    """Returns the handler of `/debug/vars`."""

    async def page(request: BaseRequest) -> StreamResponse:
        from portside.observe.debug_vars import Shown, show  # noqa: PLC0415 - seldom asked for

        endpoints = settings.notifications.endpoints if settings.notifications is not None else ()
        return await show(request, Shown(version, instance, tuple(endpoints)), metrics)

    return page


async def _notifications(settings: Settings, metrics: Metrics | None, *, instance: str) -> Notifications | None:
    """Returns what tells the configured endpoints; None where there is none, or nothing here to tell."""
    if settings.notifications is None or not settings.notifications.endpoints or not settings.roots:
        return None
    from portside.notifying import NoMetrics, Notifications  # noqa: PLC0415 - only where an endpoint is configured
    from portside.observe.notification_metrics import NotificationMetrics  # noqa: PLC0415

    observer = NotificationMetrics(metrics.registry) if metrics is not None else NoMetrics()
    writes = not settings.gates.read_only
    try:
        made = Notifications(
            settings.notifications, settings.roots[0], writes=writes, instance=instance, observer=observer
        )
    except StorageError as error:
        raise Problem(str(error)) from None
    await made.prepare()
    return made


def _access(
    settings: Settings, prepared: PreparedAccess | None, storage: Storage, metrics: Metrics | None, voice: Voice
) -> Access | None:
    """Returns the access control that the settings ask for; None where everybody may do everything."""
    if settings.access is None:
        return None
    from portside.access_control import Access  # noqa: PLC0415 - few have it
    from portside.observe.auth_metrics import AuthMetrics  # noqa: PLC0415

    if prepared is None:
        raise AssertionError("access control that the parent has not prepared")  # never serve without it
    observer = AuthMetrics(metrics.registry) if metrics is not None else None
    return Access(
        settings.access,
        prepared,
        storage,
        writes=not settings.gates.read_only,
        prefix=settings.v2.prefix,
        observer=observer,
        speaks=voice.is_ours,
    )


def _index(settings: Settings, control: Access | None, metrics: Metrics | None) -> IndexAccess | None:
    """Returns what the v1 registry asks who may do what; None where it is its own index."""
    if settings.v1.index is None:
        return None
    from portside.v1_index import IndexAccess  # noqa: PLC0415 - few have one

    if control is not None:
        return IndexAccess(settings.v1.index, control.rules, control.observer)
    if metrics is None:
        return IndexAccess(settings.v1.index, None, None)
    from portside.observe.auth_metrics import AuthMetrics  # noqa: PLC0415 - as above

    return IndexAccess(settings.v1.index, None, AuthMetrics(metrics.registry))


def _caching(settings: Settings, storages: Sequence[Storage], metrics: Metrics | None) -> Caching | None:
    """Returns the cache that the settings ask for; None where there is none, or no manifests here."""
    if settings.cache is None or not settings.runs_v2:
        return None
    from portside.caching import Caching  # noqa: PLC0415 - few registries have a cache
    from portside.observe.cache_metrics import CacheMetrics  # noqa: PLC0415

    count = CacheMetrics(metrics.registry).count if metrics is not None else None
    return Caching(settings.cache, storages[0], writes=not settings.gates.read_only, count=count)


def _named(storages: Sequence[Storage]) -> dict[str, Storage]:
    """Returns each place for bytes by what health and metrics call it; they are in the order of `Settings.roots`."""
    names = ("storage",) if len(storages) == 1 else ("v2 storage", "v1 storage")
    return dict(zip(names, storages, strict=False))


def _registries_alone(settings: Settings, registries: Mapping[Backend, Handler]) -> dict[str, Handler]:
    """Returns what answers at the registries' own listeners, where a proxy in another process may ask."""
    key = _certificate_key(settings)
    if key is None:
        return {backend.value: handle for backend, handle in registries.items()}
    from portside.told_certificates import told  # noqa: PLC0415 - where it is wanted

    return {backend.value: told(handle, backend.value, key) for backend, handle in registries.items()}


def _certificate_key(settings: Settings) -> bytes | None:
    if not settings.certificate_secret:
        return None
    from backends.http.certificate_header import derive_key  # noqa: PLC0415 - where it is wanted

    return derive_key(settings.certificate_secret)


def _asks_for_others(settings: Settings) -> bool:
    """Whether clients are asked here for a registry elsewhere."""
    return any(each is not None and each.credentials is not None for each in (settings.proxy.v1, settings.proxy.v2))


def _checked(
    settings: Settings, elsewhere: Mapping[Backend, Forwarder], control: Access | None
) -> dict[Backend, Upstream]:
    """Returns the registries elsewhere that clients are let into by this process, where there are some."""
    if not _asks_for_others(settings):
        return {}
    from portside.registries import make_nothing, v2_gate  # noqa: PLC0415 - few proxies ask clients themselves

    if control is None:
        raise AssertionError("credentials for whoever asks")  # never serve so
    nothing = make_nothing(settings)
    found: dict[Backend, Upstream] = {}
    if settings.proxy.v1 is not None and settings.proxy.v1.credentials is not None:
        from portside.checked_v1_upstream import check_v1_upstream, may_touch_image  # noqa: PLC0415 - as above

        gate = control.gate("v1", may_touch_image)
        found[Backend.V1] = check_v1_upstream(
            elsewhere[Backend.V1], settings.v1, access=gate, nothing=nothing, tokens=control.v1_tokens
        )
    if settings.proxy.v2 is not None and settings.proxy.v2.credentials is not None:
        from portside.checked_v2_upstream import check_v2_upstream  # noqa: PLC0415 - as above

        found[Backend.V2] = check_v2_upstream(
            elsewhere[Backend.V2], settings.v2, access=v2_gate(control), nothing=nothing
        )
    return found


def _elsewhere(settings: Settings) -> dict[Backend, Forwarder]:
    upstreams: dict[Backend, Forwarder] = {}
    for backend, elsewhere in ((Backend.V1, settings.proxy.v1), (Backend.V2, settings.proxy.v2)):
        if elsewhere is None:
            continue
        from backends.auth.followed_file import UnusableFile  # noqa: PLC0415 - as below
        from proxy.forwarding import Forwarder  # noqa: PLC0415 - slow to import, and seldom is a registry elsewhere

        key = _certificate_key(settings) if elsewhere.credentials is None else None
        files = None
        if elsewhere.files:
            from portside.shared_files import SharedFiles  # noqa: PLC0415 - it has threads and a storage's imports

            files = SharedFiles(elsewhere.files, key=f"gateway.{backend.value}.files")
        try:
            upstreams[backend] = Forwarder(backend, elsewhere, certificate_key=key, files=files)
        except UnusableFile as error:
            raise Problem(str(error)) from None
        except OSError as error:  # ssl's own errors are among them
            raise Problem(
                f"gateway.{backend.value}.ca: {elsewhere.ca} cannot be used ({error.strerror or error});"
                " name a PEM file that holds the CA of the registry"
            ) from None
    return upstreams
