"""Registries spoken by hand: a server that says byte for byte what a test tells it to, on TCP or on a unix socket.

No HTTP library is between the test and the wire, so what the proxy sends is seen as it came, and answers may be as
broken as real ones are.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Head:
    """The first lines of a message as they came.

    Attributes:
        line: request or status line.
        headers: names and values in order.
    """

    line: str
    headers: tuple[tuple[str, str], ...]

    @property
    def method(self) -> str:
        return self.line.split(" ")[0]

    @property
    def target(self) -> str:
        return self.line.split(" ")[1]

    @property
    def status(self) -> int:
        return int(self.line.split(" ")[1])

    def values(self, name: str) -> list[str]:
        """All values of a header, in order."""
        return [value for key, value in self.headers if key.lower() == name.lower()]

    def value(self, name: str) -> str | None:
        """The only value of a header; None when there is none."""
        found = self.values(name)
        assert len(found) < 2, found
        return found[0] if found else None


class Peer:
    """One connection, from either end."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def read_head(self) -> Head:
        """Reads the head of a message.

        Raises:
            asyncio.IncompleteReadError: the other side closed.
        """
        text = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        line, *fields = text[:-4].split("\r\n")
        return Head(line, tuple((field.partition(":")[0], field.partition(":")[2].strip(" ")) for field in fields))

    async def read_body(self, head: Head, *, of: str = "GET") -> bytes:
        """Reads the body that belongs to a head; `of` is the method that an answer belongs to.

        Raises:
            asyncio.IncompleteReadError: it broke off.
        """
        if of == "HEAD" or head.line.split(" ")[1] in {"204", "304"}:
            return b""
        if (head.value("Transfer-Encoding") or "").lower() == "chunked":
            return b"".join([chunk async for chunk in self._chunks()])
        length = head.value("Content-Length")
        if length is not None:
            return await self.reader.readexactly(int(length))
        return await self.reader.read() if head.line.startswith("HTTP/") else b""

    async def _chunks(self) -> AsyncIterator[bytes]:
        while size := int((await self.reader.readuntil(b"\r\n")).split(b";")[0], 16):
            yield await self.reader.readexactly(size)
            await self.reader.readexactly(2)
        while (await self.reader.readuntil(b"\r\n")) != b"\r\n":
            pass

    async def send(self, *parts: bytes | str) -> None:
        """Sends what is given, as it is."""
        self.writer.write(b"".join(part.encode("latin-1") if isinstance(part, str) else part for part in parts))
        await self.writer.drain()

    async def answer(self, status: str, *headers: str, body: bytes = b"") -> None:
        """Sends a whole answer with a length."""
        lines = [f"HTTP/1.1 {status}", *headers, f"Content-Length: {len(body)}", "", ""]
        await self.send("\r\n".join(lines), body)

    async def other_side_closed(self, *, within_s: float = 5.0) -> None:
        """Waits until the other side has closed or reset the connection; what still comes is thrown away."""
        async with asyncio.timeout(within_s):
            with contextlib.suppress(ConnectionError):
                while await self.reader.read(65536):
                    pass

    async def close(self) -> None:
        self.writer.close()
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            await self.writer.wait_closed()

    def leave(self) -> None:
        """Goes away with a reset: after a mere close a server waits, since a client may shut down its side only."""
        self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    def reset(self) -> None:
        """Breaks the connection off."""
        self.writer.transport.abort()


Conversation = Callable[[Peer], Awaitable[None]]


@dataclass(slots=True)
class RunningUpstream:
    """A registry that listens.

    Attributes:
        address: as the proxy's settings take it.
        connections: how many there have been.
        failures: what went wrong in conversations that did not end by the other side's closing.
    """

    address: str
    connections: int = 0
    failures: list[BaseException] = field(default_factory=list)


Registry = Callable[[Conversation], contextlib.AbstractAsyncContextManager[RunningUpstream]]
"""Starts a registry that has the same conversation on each connection."""


@contextlib.asynccontextmanager
async def spoken_by_hand(
    converse: Conversation, *, unix: Path | None = None, tls: ssl.SSLContext | None = None
) -> AsyncIterator[RunningUpstream]:
    """Runs a registry that has the same conversation on each connection.

    Raises:
        AssertionError: at the end, when a conversation's own assertions failed.
    """
    running = RunningUpstream("")
    tasks: set[asyncio.Task[None]] = set()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        running.connections += 1
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        peer = Peer(reader, writer)
        try:
            await converse(peer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the proxy closed a connection that it had no more use for
        except (AssertionError, TimeoutError) as failure:
            running.failures.append(failure)
        finally:
            tasks.discard(task)
            await peer.close()

    if unix is not None:
        server = await asyncio.start_unix_server(accept, unix)
        running.address = f"unix:{unix}"
    else:
        server = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=tls)
        port = server.sockets[0].getsockname()[1]
        running.address = f"https://localhost:{port}" if tls else f"http://127.0.0.1:{port}"
    try:
        yield running
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.wait_closed()
    assert not running.failures, running.failures
