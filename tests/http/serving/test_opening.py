"""A connection before its first byte: no protocol of aiohttp yet, but closed, counted and drained like all others."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import ssl
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from aiohttp import web

from portside.server.connection import Connection
from portside.server.draining import DrainingServer
from portside.server.opening import Opening
from portside.tls.contexts import CertificateChain, TlsSettings, build_context
from tests.support.certificate import CertificateFiles, make_certificate
from tests.support.served import running_server

KEEPALIVE_SECONDS = 1.5
SOON_SECONDS = 5.0
"""What happens within so long was not waited for, on a machine however busy: all else takes 8 s and more."""

REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Served:
    """A server in this loop.

    Attributes:
        trust: what clients speak TLS with; None for plain HTTP.
    """

    server: DrainingServer
    port: int
    trust: ssl.SSLContext | None

    @contextlib.asynccontextmanager
    async def client(self) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        name = None if self.trust is None else "localhost"
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, ssl=self.trust, server_hostname=name)
        try:
            yield reader, writer
        finally:
            writer.transport.abort()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def wait_until_open(self, *kinds: type) -> None:
        """Waits until what is open is of these kinds."""
        for _ in range(500):
            if self.kinds() == list(kinds):
                return
            await asyncio.sleep(0.01)
        raise AssertionError(self.kinds())

    def keep(self, head: bytes, body: bytes, *, closes: bool = False) -> list[str]:
        """Keeps an answer; returns the addresses of clients to which it was given again."""
        told: list[str] = []
        kept = self.server.kept_answers("127.0.0.1", is_secure=self.trust is not None)
        assert kept is not None
        parts = b"HTTP/1.1 200 OK\r\nDate: ", b"\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
        kept.keep(head, parts, closes=closes, questions=(), tells=(lambda peer, _: told.append(peer),))
        return told

    def kinds(self) -> list[type]:
        """What is open, as the server sees it."""
        return [type(each) for each in self.server._open]


@contextlib.asynccontextmanager
async def serving(kind: str, folder: Path, *, keepalive_timeout: float) -> AsyncIterator[Served]:
    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(body=await request.read() or b"hello")

    server = DrainingServer(handler, keepalive_timeout=keepalive_timeout, send_seconds=0.4, kept_bytes=1 << 20)
    own = trust = None
    if kind == "tls":
        files = make_certificate(folder)
        own = build_context(TlsSettings((CertificateChain(files.chain, files.key),)))
        trust = ssl.create_default_context(cafile=str(files.ca))
    listening = await asyncio.get_running_loop().create_server(server, "127.0.0.1", 0, ssl=own)
    listening.sockets[0].setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)  # which connections inherit
    yield Served(server, listening.sockets[0].getsockname()[1], trust)
    listening.close()
    await server.shutdown(0.1)


@pytest.fixture(params=["plain", "tls"])
async def served(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Served]:
    async with serving(request.param, tmp_path, keepalive_timeout=60) as found:
        yield found


@pytest.fixture(params=["plain", "tls"])
async def impatient(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Served]:
    async with serving(request.param, tmp_path, keepalive_timeout=KEEPALIVE_SECONDS) as found:
        yield found


half_closed = pytest.mark.parametrize("served", ["plain"], indirect=True)
"""TLS connections cannot be."""


async def test_a_client_that_says_nothing_costs_no_protocol_and_one_that_speaks_gets_it(served: Served) -> None:
    async with asyncio.timeout(10), served.client() as (reader, writer):
        await served.wait_until_open(Opening)
        assert served.server.connections == []
        writer.write(REQUEST[:7])
        await served.wait_until_open(Connection)
        for each in REQUEST[7:]:
            writer.write(bytes((each,)))
            await asyncio.sleep(0)
        assert (await reader.readuntil(b"hello")).startswith(b"HTTP/1.1 200 OK\r\n")
        writer.write(REQUEST.replace(b"GET", b"HEAD"))
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 OK\r\n")
    await served.wait_until_open()


async def test_a_first_piece_may_be_more_than_a_request(served: Served) -> None:
    post = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nworld"
    async with asyncio.timeout(10), served.client() as (reader, writer):
        writer.write(post + REQUEST)
        assert (await reader.readuntil(b"world")).startswith(b"HTTP/1.1 200 OK\r\n")
        assert (await reader.readuntil(b"hello")).startswith(b"HTTP/1.1 200 OK\r\n")


async def test_a_client_that_says_nothing_is_closed_in_time(impatient: Served) -> None:
    async with asyncio.timeout(30), impatient.client() as (reader, _):
        begun = time.monotonic()
        assert await reader.read() == b""
        assert KEEPALIVE_SECONDS - 0.1 < time.monotonic() - begun < KEEPALIVE_SECONDS + SOON_SECONDS
    await impatient.wait_until_open()


async def test_it_is_closed_at_once_when_its_certificate_is_no_longer_good(served: Served) -> None:
    async with asyncio.timeout(10), served.client() as (reader, _):
        await served.wait_until_open(Opening)
        served.server.part()
        begun = time.monotonic()
        assert await reader.read() == b""
        assert time.monotonic() - begun < SOON_SECONDS


async def test_one_that_has_just_come_may_still_ask_while_others_are_drained(served: Served) -> None:
    async with asyncio.timeout(10), served.client() as (reader, writer), served.client() as (silent, _):
        await served.wait_until_open(Opening, Opening)
        draining = asyncio.create_task(served.server.drain(8, arriving=lambda: False))
        await asyncio.sleep(0.1)
        writer.write(REQUEST)
        answer = await reader.read()
        assert answer.endswith(b"hello")
        assert b"\r\nConnection: close\r\n" in answer
        assert await silent.read() == b""
        await draining
    assert served.kinds() == []


async def test_one_that_hangs_up_is_forgotten(served: Served) -> None:
    async with served.client():
        await served.wait_until_open(Opening)
    async with asyncio.timeout(10):
        await served.wait_until_open()


@half_closed
async def test_one_that_has_said_all_it_has_to_say_gets_its_answer(served: Served) -> None:
    async with asyncio.timeout(10), served.client() as (reader, writer), served.client() as (silent, writer_too):
        writer.write(REQUEST)
        writer.write_eof()
        assert (await reader.read()).endswith(b"hello")
        writer_too.write_eof()
        assert await silent.read() == b""


KNOWN = b"GET /known HTTP/1.1\r\nHost: localhost\r\n\r\n"


async def test_what_is_known_is_answered_without_a_protocol(served: Served) -> None:
    told = served.keep(KNOWN, b"known")
    async with asyncio.timeout(10), served.client() as (reader, writer):
        for _ in range(3):
            writer.write(KNOWN)
            assert (await reader.readuntil(b"known")).startswith(b"HTTP/1.1 200 OK\r\n")
        assert (served.kinds(), told) == ([Opening], ["127.0.0.1"] * 3)
        writer.write(KNOWN + KNOWN)  # two are not one
        await reader.readuntil(b"hello")
        await reader.readuntil(b"hello")
        assert served.kinds() == [Connection]
        assert len(told) == 3
    served.server.forget_answers()
    async with asyncio.timeout(10), served.client() as (reader, writer):
        writer.write(KNOWN)
        await reader.readuntil(b"hello")


async def test_a_known_request_that_is_the_last_ends_the_connection(served: Served) -> None:
    told = served.keep(KNOWN, b"known", closes=True)
    async with asyncio.timeout(10), served.client() as (reader, writer):
        begun = time.monotonic()
        writer.write(KNOWN)
        assert (await reader.read()).endswith(b"known")
        assert time.monotonic() - begun < SOON_SECONDS
    await served.wait_until_open()
    assert told == ["127.0.0.1"]


async def test_each_answer_moves_the_time_on_after_which_a_silent_one_is_closed(impatient: Served) -> None:
    impatient.keep(KNOWN, b"known")
    async with asyncio.timeout(30), impatient.client() as (reader, writer):
        begun = time.monotonic()
        while time.monotonic() < begun + 2 * KEEPALIVE_SECONDS:
            writer.write(KNOWN)
            await reader.readuntil(b"known")
            await asyncio.sleep(0.1)
        assert await reader.read() == b""
        assert 2.9 * KEEPALIVE_SECONDS < time.monotonic() - begun < 3 * KEEPALIVE_SECONDS + SOON_SECONDS


async def ask_what_is_known(peer: tuple[asyncio.StreamReader, asyncio.StreamWriter]) -> None:
    peer[1].write(KNOWN)
    await peer[0].readuntil(b"known")


async def test_one_that_was_answered_is_closed_with_its_certificate(served: Served) -> None:
    served.keep(KNOWN, b"known")
    async with asyncio.timeout(10), served.client() as peer:
        await ask_what_is_known(peer)
        begun = time.monotonic()
        served.server.part()
        assert await peer[0].read() == b""
        assert time.monotonic() - begun < SOON_SECONDS


async def test_one_that_was_answered_is_not_waited_for_at_the_end(served: Served) -> None:
    served.keep(KNOWN, b"known")
    async with asyncio.timeout(10), served.client() as peer:
        await ask_what_is_known(peer)
        begun = time.monotonic()
        draining = asyncio.create_task(served.server.drain(8, arriving=lambda: False))
        assert await peer[0].read() == b""
        assert time.monotonic() - begun < SOON_SECONDS
        await draining


async def test_one_that_reads_nothing_is_cut_off(served: Served) -> None:
    """What is being sent to it is bounded: nothing is answered while something is on its way."""
    told = served.keep(KNOWN, bytes(60_000))

    def ask_without_reading(raw: socket.socket) -> socket.socket:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        raw.settimeout(10)
        raw.connect(("127.0.0.1", served.port))
        asking = raw if served.trust is None else served.trust.wrap_socket(raw, server_hostname="localhost")
        for _ in range(7):
            time.sleep(0.05)  # so that each comes by itself
            asking.sendall(KNOWN)
        return asking

    async with asyncio.timeout(20):
        with socket.socket() as raw, await asyncio.to_thread(ask_without_reading, raw):
            await served.wait_until_open()
    # By TLS some 64 KiB may wait below it that it does not know of.
    assert len(told) == (1 if served.trust is None else 3)


async def test_one_that_reads_slowly_and_then_nothing_is_cut_off_too(impatient: Served) -> None:
    """Its time without a request passes while it is still being sent to, and what is left must not stay for ever."""
    impatient.keep(KNOWN, bytes(60_000))

    def begin(raw: socket.socket) -> socket.socket:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        raw.settimeout(10)
        raw.connect(("127.0.0.1", impatient.port))
        return raw if impatient.trust is None else impatient.trust.wrap_socket(raw, server_hostname="localhost")

    async with asyncio.timeout(20):
        with socket.socket() as raw, await asyncio.to_thread(begin, raw) as asking:
            await impatient.wait_until_open(Opening)
            (opening,) = impatient.server._open
            while not opening.has_unsent():
                await asyncio.to_thread(asking.sendall, KNOWN)
                await asyncio.sleep(0.01)
            assert impatient.kinds() == [Opening]
            for _ in range(20):  # progress, for longer than its time without a request
                await asyncio.to_thread(asking.recv, 1000)
                await asyncio.sleep(0.06)
            await impatient.wait_until_open()


@half_closed
async def test_a_known_request_of_one_that_has_said_all_it_has_to_say_is_answered(served: Served) -> None:
    served.keep(KNOWN, b"known")
    async with asyncio.timeout(10), served.client() as (reader, writer):
        writer.write(KNOWN)
        writer.write_eof()
        assert (await reader.read()).endswith(b"known")


@pytest.fixture
def files(tmp_path: Path) -> CertificateFiles:
    return make_certificate(tmp_path)


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_clients_that_only_shake_hands_do_not_keep_a_program_from_ending(
    tmp_path: Path, files: CertificateFiles, loop: str
) -> None:
    trust = ssl.create_default_context(cafile=str(files.ca))
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(running_server(tmp_path, loop=loop, tls={"chains": [(files.chain, files.key)]}))
        for _ in range(5):
            raw = stack.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=10))
            stack.enter_context(trust.wrap_socket(raw, server_hostname="localhost"))
        begun = time.monotonic()
        assert server.end(signal.SIGTERM) == 0
        assert time.monotonic() - begun < 5
        assert "Traceback" not in server.log()
