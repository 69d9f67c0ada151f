"""Two servers over the same files, of which one gives answers again, and connections to both that see the same bytes.

The connections are transports in memory, so that a test decides what comes in one piece, when the client takes nothing,
and how far a server has come before the next piece.
"""

from __future__ import annotations

import asyncio
import os
import re
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from typing_extensions import override

from backends.http.configured_headers import ConfiguredHeaders
from backends.registry.store import Store
from backends.storage.factory import open_folder
from backends.storage.storage import Storage
from backends.v2.registry import Registry
from backends.v2.settings import V2Settings
from portside.observe.access_log import AccessLog
from portside.observe.metrics import Metrics
from portside.observe.requests import observed
from portside.server.connection import Connection
from portside.server.draining import DrainingServer
from portside.server.grammar import refuse
from portside.server.opening import Opening

PEER = ("192.0.2.7", 50000)
HIGH_WATER = 4 * 1024
SETTLE_SECONDS = 20.0
_AGAIN = "portside_answered_again_total"


class MemoryTransport(asyncio.Transport):
    """A plain connection whose client sends what a test says, and takes everything, or nothing."""

    def __init__(self, connection: Connection | Opening) -> None:
        super().__init__()
        self.connection: Any = connection
        self._loop = asyncio.get_running_loop()
        self._waiting: list[bytes] = []
        self._is_reading = True
        self._is_closing = False
        self._is_lost = False
        self._unsent = bytearray()
        self._has_ended = False
        self.takes = True
        self.sent = bytearray()
        self.most_unsent = 0
        self._is_paused = False
        self._socket, self._client = socket.socketpair()
        connection.connection_made(self)

    # what the client does

    def send(self, piece: bytes) -> None:
        """Sends a piece, which is received as it is."""
        self._waiting.append(piece)
        self._deliver()

    def end(self) -> None:
        """Ends the client's side."""
        if self._is_lost or self._has_ended:
            return
        self._client.shutdown(socket.SHUT_WR)
        self._has_ended = True
        self._deliver()

    def take(self, *, everything: bool) -> None:
        """Begins to take what it is sent, or stops."""
        self.takes = everything
        if everything and self._unsent:
            self.sent += self._unsent
            self._unsent.clear()
            if self._is_paused:
                self._is_paused = False
                self.connection.resume_writing()
            if self._is_closing:
                self._loop.call_soon(self._lose)

    @property
    def fate(self) -> str:
        """What became of the connection."""
        return "closed" if self._is_closing or self._is_lost else "open"

    def _deliver(self) -> None:
        while self._waiting and self._is_reading and not self._is_closing:
            self.connection.data_received(self._waiting.pop(0))
        if self._has_ended and not self._waiting and self._is_reading and not self._is_closing:
            self._has_ended = False
            if not self.connection.eof_received():
                self.close()

    # what the server does

    @override
    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.connection = protocol

    @override
    def get_protocol(self) -> asyncio.BaseProtocol:
        return self.connection  # type: ignore[no-any-return] # one of both

    @override
    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    @override
    def write(self, data: bytes | bytearray | memoryview) -> None:
        if self.takes:
            self.sent += data
            return
        self._unsent += data
        self.most_unsent = max(self.most_unsent, len(self._unsent))
        if len(self._unsent) > HIGH_WATER and not self._is_paused:
            self._is_paused = True
            self.connection.pause_writing()

    @override
    def get_write_buffer_size(self) -> int:
        return len(self._unsent)

    @override
    def pause_reading(self) -> None:
        self._is_reading = False

    @override
    def resume_reading(self) -> None:
        self._is_reading = True
        self._loop.call_soon(self._deliver)

    @override
    def is_closing(self) -> bool:
        return self._is_closing

    @override
    def close(self) -> None:
        if not self._is_closing:
            self._is_closing = True
            if not self._unsent:
                self._loop.call_soon(self._lose)

    @override
    def abort(self) -> None:
        self._is_closing = True
        self._loop.call_soon(self._lose)

    def _lose(self) -> None:
        if not self._is_lost:
            self._is_lost = True
            self.connection.connection_lost(None)
            self._socket.close()
            self._client.close()

    @override
    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return {"peername": PEER, "socket": self._socket}.get(name, default)


class _Lines(AccessLog):
    """An access log whose lines a test takes."""

    def __init__(self) -> None:
        super().__init__(os.open(os.devnull, os.O_WRONLY))
        self.taken: list[str] = []

    @override
    def _add(self, text: str) -> None:
        self.taken.append(text)


@dataclass(slots=True)
class Played:
    """What became of a connection, without times."""

    sent: bytes
    fate: str
    lines: list[str]
    counted: dict[str, float]
    requests: int
    most_unsent: int


class Side:
    """One server."""

    def __init__(self, folder: Path, *, kept_bytes: int) -> None:
        self.storage: Storage = open_folder(folder)
        self._log, self._metrics = _Lines(), Metrics()
        handle = Registry(Store(self.storage), V2Settings()).handle

        def around(handler: Any) -> Any:
            return observed(handler, "v2", access=self._log, metrics=self._metrics, headers=ConfiguredHeaders({}))

        self.server = DrainingServer(
            around(handle),
            refusal=around(refuse),
            kept_bytes=kept_bytes,
            auto_decompress=False,
            access_log=None,
            keepalive_timeout=90.0,
        )
        self._before: dict[str, float] = {}
        self._asked = 0
        self.again = 0

    def open(self) -> MemoryTransport:
        """Opens a connection."""
        self._take()
        return MemoryTransport(self.server())

    async def settle(self, transport: MemoryTransport) -> None:
        """Waits until the server has done all that it can do by itself."""
        deadline = asyncio.get_running_loop().time() + SETTLE_SECONDS
        quiet = 0
        while quiet < 4:
            await asyncio.sleep(0)
            connection = transport.connection
            if isinstance(connection, Opening):
                quiet += 1
                continue
            task = connection._task_handler
            waits = connection._waiter is not None and not connection._waiter.done()
            is_done = transport.fate == "closed" or task is None or task.done() or waits or connection.writing_paused
            is_done = is_done or not connection.has_whole_requests()
            quiet = quiet + 1 if is_done else 0
            if not is_done:
                await asyncio.sleep(0.0005)
            assert asyncio.get_running_loop().time() < deadline, "it never settles"

    def played(self, transport: MemoryTransport) -> Played:
        """Returns what became of the last connection."""
        if isinstance(transport.connection, Connection):
            transport.connection.close_if_finished()  # as it is looked for every two seconds
        lines, counted, requests = self._take()
        sent = re.sub(rb"\r\nDate: [^\r]*|[0-9a-f]{8}-[0-9a-f-]{27}|_state=[^\r]*", b"", bytes(transport.sent))
        return Played(sent, transport.fate, lines, counted, requests, transport.most_unsent)

    def _take(self) -> tuple[list[str], dict[str, float], int]:
        self._metrics.flush()
        counts = {
            f"{sample.name}{sorted(sample.labels.items())}": sample.value
            for metric in self._metrics.collect()
            for sample in metric.samples
            if not re.search("_created$|duration_seconds_(sum|bucket)$", sample.name)
        }
        new = {name: value - self._before.get(name, 0.0) for name, value in counts.items()}
        self._before = counts
        lines, self._log.taken = self._log.taken, []
        masked = [re.sub(r"\[[^]]*\]|\" \d+\.\d{4} ", "", line) for line in lines]
        requests, self._asked = self.server.requests_count - self._asked, self.server.requests_count
        self.again += int(next((value for name, value in new.items() if name.startswith(_AGAIN)), 0))
        told = {name: value for name, value in new.items() if value and not name.startswith(_AGAIN)}
        return masked, told, requests

    async def learn(self, heads: list[bytes]) -> None:
        """Sends requests until the answers to all of them would be given again."""
        kept = self.server.kept_answers(PEER[0], is_secure=False)
        assert kept is not None
        transport = self.open()
        for _ in range(400):
            missing = [head for head in heads if kept.find(head) is None]
            if not missing:
                break
            for head in missing:
                if transport.fate == "closed":
                    transport = self.open()
                transport.send(head)
                await self.settle(transport)
            await asyncio.sleep(0.01)
        else:
            raise AssertionError("not all answers are kept")
        transport.close()
        await asyncio.sleep(0)

    async def close(self) -> None:
        """Lets go of everything."""
        await self.storage.close()
        await self._log.stop()
