"""What is relied on of aiohttp that is its own business: that it is there, and means what it is taken for (ADR 34)."""

from __future__ import annotations

import asyncio
import inspect
from importlib.metadata import version

import pytest
from aiohttp import HttpVersion11, web
from aiohttp.base_protocol import BaseProtocol
from aiohttp.http_parser import HttpRequestParser
from aiohttp.http_writer import StreamWriter
from aiohttp.streams import EMPTY_PAYLOAD
from aiohttp.web_protocol import RequestHandler
from typing_extensions import override

READ = (
    "_close",
    "_force_close",
    "_keepalive_handle",
    "_keepalive_timeout",
    "_messages",
    "_next_keepalive_close_time",
    "_payload_parser",
    "_request_count",
    "_request_in_progress",
    "_waiter",
)
OF_EVERY_PROTOCOL = ("_buffer_paused", "_loop", "_paused", "_reading_paused", "_upgraded", "transport")


def test_it_is_the_version_that_was_read() -> None:
    assert version("aiohttp").startswith("3.14.")


@pytest.mark.parametrize("name", READ)
def test_a_connection_has_what_is_read_of_it(name: str) -> None:
    assert name in RequestHandler.__slots__


@pytest.mark.parametrize("name", OF_EVERY_PROTOCOL)
def test_every_protocol_has_what_is_read_of_it(name: str) -> None:
    assert name in BaseProtocol.__slots__


def test_what_is_sent_passes_two_methods() -> None:
    source = inspect.getsource(StreamWriter)
    assert source.count("transport.write(") == 2
    assert source.count("transport.writelines(") == 1
    for name in ("_write", "_writelines"):
        assert "transport.write" in inspect.getsource(getattr(StreamWriter, name))


class _Transport(asyncio.Transport):
    """Takes everything, and notes it."""

    def __init__(self) -> None:
        super().__init__()
        self.sent = bytearray()

    @override
    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.sent += data

    @override
    def is_closing(self) -> bool:
        return False

    @override
    def close(self) -> None:
        pass


async def _settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_a_connection_waits_for_a_request_exactly_while_it_has_a_waiter_that_is_not_done() -> None:
    go_on = asyncio.Event()

    async def handle(_: web.BaseRequest) -> web.Response:
        await go_on.wait()
        return web.Response(text="done")

    connection = web.Server(handle)()
    transport = _Transport()
    connection.connection_made(transport)
    assert connection._waiter is None
    await _settle()
    assert connection._waiter is not None
    assert not connection._waiter.done()
    connection.data_received(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    assert connection._waiter.done()
    message, body = connection._messages[-1]
    assert body is EMPTY_PAYLOAD
    assert message.version is HttpVersion11
    assert (message.should_close, message.upgrade) == (False, False)
    assert not message.chunked
    await _settle()
    assert connection._waiter is None
    before = connection._next_keepalive_close_time
    go_on.set()
    await _settle()
    assert connection._waiter is not None
    assert not connection._waiter.done()
    assert not connection._messages
    assert connection._next_keepalive_close_time >= before
    assert connection._keepalive_handle is not None
    assert transport.sent.endswith(b"\r\n\r\ndone")
    connection.force_close()
    assert connection._waiter.done()
    connection.connection_lost(None)


@pytest.mark.parametrize(
    ("rest", "is_body"),
    [
        ("Content-Length: 1\r\n", True),
        ("Transfer-Encoding: chunked\r\n", True),
        ("Content-Length: 0\r\n", False),
        ("", False),
    ],
)
async def test_a_request_without_a_body_has_the_one_empty_payload(rest: str, *, is_body: bool) -> None:
    loop = asyncio.get_running_loop()
    parser = HttpRequestParser(BaseProtocol(loop), loop, 65536)
    ((_, body),), upgraded, tail = parser.feed_data(f"GET / HTTP/1.1\r\nHost: x\r\n{rest}\r\n".encode())
    assert (body is EMPTY_PAYLOAD) is not is_body
    assert (upgraded, tail) == (False, b"")
