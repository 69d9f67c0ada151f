"""A Redis cluster: several nodes, each with some of the keys."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from redis.asyncio import RedisCluster
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisClusterException, RedisError, ResponseError
from typing_extensions import override

from backends.registry.redis.connections import PORT, Redis, Refused, Unreachable, Word, explain, split_address
from backends.registry.redis.settings import RedisSettings


class Cluster(Redis):
    """A Redis cluster: the library knows its nodes, which of them has a key, and keeps the connections."""

    def __init__(self, settings: RedisSettings) -> None:
        nodes = [ClusterNode(*split_address(each, PORT)) for each in settings.addresses]
        tls: dict[str, Any] = {}
        if settings.tls is not None:
            tls = {
                "ssl": True,
                "ssl_ca_data": "\n".join(Path(each).read_text() for each in settings.tls.root_cas) or None,
                "ssl_certfile": settings.tls.certificate or None,
                "ssl_keyfile": settings.tls.key or None,
            }
        self._client = RedisCluster(
            startup_nodes=nodes,
            username=settings.username or None,
            password=settings.password or None,
            client_name=settings.client_name or None,
            protocol=settings.protocol,
            max_connections=settings.connections,
            socket_timeout=settings.read_seconds,
            socket_connect_timeout=settings.connect_seconds,
            retry=Retry(NoBackoff(), 1),  # a node that has gone: its keys are elsewhere
            **tls,
        )
        self._seconds = settings.connect_seconds * len(nodes) + settings.write_seconds + settings.read_seconds

    @override
    async def ask(self, *command: Word) -> object:
        try:
            async with asyncio.timeout(self._seconds):
                answer: object = await self._client.execute_command(*command)
        except ResponseError as error:
            raise Refused(str(error)[:200]) from error
        except TimeoutError as error:
            raise Unreachable(f"it has not answered within {self._seconds:g} s") from error
        except (RedisError, RedisClusterException, OSError) as error:
            raise Unreachable(explain(error)) from error
        except Exception as error:
            raise Unreachable(f"it does not speak Redis's protocol ({type(error).__name__})") from error
        return answer

    @override
    async def close(self) -> None:
        await self._client.aclose()
