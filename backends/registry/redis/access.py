"""How Redis is reached: one server, the one that Sentinels name, or a cluster; TLS."""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable
from dataclasses import replace

from redis.exceptions import ConnectionError as Disconnected

from backends.registry.redis.connections import Connections, Redis, Refused, Unreachable
from backends.registry.redis.settings import RedisSettings, RedisTls

SENTINEL_PORT = 26379


def open_redis(settings: RedisSettings) -> Redis:
    """Returns what reaches Redis as configured; nothing is connected yet.

    Raises:
        OSError: a file of `settings.tls` cannot be read (ssl's own errors are among them).
    """
    if len(settings.addresses) > 1 and not settings.master_name:
        from backends.registry.redis.cluster import Cluster  # noqa: PLC0415 - much to import, and seldom wanted

        return Cluster(settings)
    context = None if settings.tls is None else _tls(settings.tls)
    find = _MasterFinder(settings, context) if settings.master_name else _always(settings.addresses[0])
    return Connections(settings, context, find)


class _MasterFinder:
    """Asks Sentinels where the server is that they call by a name."""

    def __init__(self, settings: RedisSettings, tls: ssl.SSLContext | None) -> None:
        self._name = settings.master_name
        alone = replace(
            settings,
            username=settings.sentinel_username,
            password=settings.sentinel_password,
            database=0,
            idle_connections=0,
        )
        self._sentinels = [
            Connections(replace(alone, addresses=(each,)), tls, _always(each), port=SENTINEL_PORT)
            for each in settings.addresses
        ]

    async def __call__(self) -> str:
        why = ""
        for sentinel in self._sentinels:
            try:
                answer = await sentinel.ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self._name)
            except (Unreachable, Refused) as error:
                why = str(error)
                continue
            match answer:
                case [bytes() as host, bytes() as port]:
                    return f"[{host.decode()}]:{port.decode()}"
                case _:
                    why = f"no Sentinel knows a master {self._name}"
        raise Disconnected(why)


def _always(address: str) -> Callable[[], Awaitable[str]]:
    async def find() -> str:
        return address

    return find


def _tls(settings: RedisTls) -> ssl.SSLContext:
    context = ssl.create_default_context() if not settings.root_cas else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    for each in settings.root_cas:
        context.load_verify_locations(each)
    if settings.certificate:
        context.load_cert_chain(settings.certificate, settings.key)
    return context
