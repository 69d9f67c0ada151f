"""Puts the parts of a role together, in each worker, and owns their life: the only place that knows them all."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

from backends.v1.registry import Registry as V1Registry

from backends.storage.driver import PathNotFound, StorageDriver, StorageError
from backends.storage.open import StorageSettings, open_storage
from backends.v2.registry import Registry as V2Registry
from portside.access import AccessLog
from portside.logging import Log
from portside.metrics import Metrics, metrics_page
from portside.observing import Handler, observed
from portside.problems import Problem
from portside.settings import Role, Settings
from proxy.forwarding import Forwarder
from proxy.proxy import InProcess, Proxy, Upstream
from proxy.routing import Backend


@dataclass(slots=True)
class Parts:
    """What a worker has built: a handler for each listener, and how to let go of it all."""

    handlers: Mapping[str, Handler]
    proxy: Proxy | None
    drivers: list[StorageDriver]
    access: AccessLog | None
    log: Log

    async def close(self) -> None:
        """Lets go of connections, files and the log, in this order; called after the last request."""
        if self.proxy is not None:
            await self.proxy.close()
        for driver in self.drivers:
            await driver.close()
        if self.access is not None:
            await self.access.stop()
        await asyncio.to_thread(self.log.stop)


async def build(settings: Settings, *, version: str) -> Parts:
    """Builds what the role needs.

    Raises:
        Problem: the storage cannot be opened.
    """
    log = Log(settings.log, version=version)
    log.start()
    drivers: list[StorageDriver] = []
    registries = _registries(settings, drivers)
    handlers: dict[str, Handler] = {backend.value: handle for backend, handle in registries.items()}
    proxy = None
    if settings.role in {Role.SERVE, Role.PROXY}:
        upstreams: dict[Backend, Upstream] = {backend: InProcess(handle) for backend, handle in registries.items()}
        for backend, elsewhere in ((Backend.V1, settings.proxy.v1), (Backend.V2, settings.proxy.v2)):
            if elsewhere is not None:
                upstreams[backend] = Forwarder(backend, elsewhere)
        proxy = Proxy(settings.proxy, upstreams)
        handlers["proxy"] = proxy.handle
    access = AccessLog() if settings.log.access else None
    metrics = Metrics()
    faces = {name: observed(handle, name, access=access, metrics=metrics) for name, handle in handlers.items()}
    faces["metrics"] = metrics_page(lambda: _storage_wrong(drivers))
    return Parts(faces, proxy, drivers, access, log)


def _registries(settings: Settings, drivers: list[StorageDriver]) -> dict[Backend, Handler]:
    wanted = {
        Role.SERVE: {
            backend
            for backend, elsewhere in ((Backend.V1, settings.proxy.v1), (Backend.V2, settings.proxy.v2))
            if elsewhere is None
        },
        Role.PROXY: set[Backend](),
        Role.V1: {Backend.V1},
        Role.V2: {Backend.V2},
    }[settings.role]
    if not wanted:
        return {}
    driver = _open(settings.storage, drivers)
    registries: dict[Backend, Handler] = {}
    if Backend.V2 in wanted:
        registries[Backend.V2] = V2Registry(driver, settings.v2).handle
    if Backend.V1 in wanted:
        own = driver if settings.v1_storage == settings.storage else _open(settings.v1_storage, drivers)
        registries[Backend.V1] = V1Registry(own, settings.v1).handle
    return registries


def _open(settings: StorageSettings, drivers: list[StorageDriver]) -> StorageDriver:
    try:
        driver = open_storage(settings)
    except StorageError as error:
        raise Problem(str(error)) from None
    drivers.append(driver)
    return driver


async def _storage_wrong(drivers: list[StorageDriver]) -> str:
    for driver in drivers:
        try:
            await driver.stat("/")
        except PathNotFound:
            continue
        except StorageError as error:
            return str(error)
    return ""
