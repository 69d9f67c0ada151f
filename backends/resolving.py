"""Looking up a name in threads of one's own, never twice at the same time.

The event loop's own threads would be waited for at the end, and a lookup that no name server answers takes ten seconds.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence

from aiohttp.abc import AbstractResolver, ResolveResult
from typing_extensions import override

from backends.thread_pool import ThreadPool


class OwnResolver(AbstractResolver):
    """aiohttp's interface to the system's resolver.

    A lookup cannot be stopped. Whoever asks again while it lasts waits for the same one, so at most one thread hangs
    for a name.

    Args:
        threads: how many names are looked up at once, at most.
    """

    def __init__(self, threads: int = 2) -> None:
        self._threads = ThreadPool(threads, thread_name_prefix="names")
        self._asking: dict[tuple[str, int, int], asyncio.Future[Sequence[ResolveResult]]] = {}

    @override
    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        question = (host, port, family)
        asking = self._asking.get(question)
        if asking is None:
            asking = asyncio.get_running_loop().run_in_executor(self._threads, _look_up, *question)
            self._asking[question] = asking
            asking.add_done_callback(lambda done: self._answered(question, done))
        return list(await asyncio.shield(asking))

    def _answered(self, question: tuple[str, int, int], done: asyncio.Future[Sequence[ResolveResult]]) -> None:
        self._asking.pop(question, None)
        if not done.cancelled():
            done.exception()  # whoever waited has it

    @override
    async def close(self) -> None:
        """Waits for nothing: a process ends without the threads that hang."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def _look_up(host: str, port: int, family: int) -> Sequence[ResolveResult]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, family=family, flags=socket.AI_ADDRCONFIG)
    return [
        ResolveResult(
            hostname=host,
            # With its scope, which a link-local IPv6 address needs.
            host=socket.getnameinfo(address, socket.NI_NUMERICHOST | socket.NI_NUMERICSERV)[0],
            port=port,
            family=family_found,
            proto=protocol,
            flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
        )
        for family_found, _, protocol, _, address in found
    ]
