"""A connection that reads bodies here, beside one that leaves them to aiohttp: the same requests, answers and end."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass

import pytest
from aiohttp import web
from hypothesis import given, settings
from hypothesis import strategies as st
from typing_extensions import override

from backends.http.receiving import RequestBody
from backends.model.errors import RegistryError
from portside.server.draining import DrainingServer

BUFFER = 64
LINGERING_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Fate:
    """What became of a connection.

    Attributes:
        handled: method, target and body of each request that was handled, or what was wrong with the body.
        sent: the answers, without their dates.
        is_closed: whether the server has closed it.
    """

    handled: tuple[str, ...]
    sent: bytes
    is_closed: bool


class Transport(asyncio.Transport):
    """Where a connection sends to; it can be told to read no more."""

    def __init__(self) -> None:
        super().__init__()
        self.sent = bytearray()
        self.is_paused = self.is_closed = False

    @override
    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.sent += data

    @override
    def get_write_buffer_size(self) -> int:
        return 0

    @override
    def pause_reading(self) -> None:
        self.is_paused = True

    @override
    def resume_reading(self) -> None:
        self.is_paused = False

    @override
    def is_closing(self) -> bool:
        return self.is_closed

    @override
    def close(self) -> None:
        self.is_closed = True

    @override
    def abort(self) -> None:
        self.is_closed = True


async def play(parts: Sequence[bytes], *, is_read_here: bool) -> Fate:
    """Has a connection receive parts, one after another, each after what the one before it has set off."""
    handled = []

    async def handle(request: web.BaseRequest) -> web.Response:
        body = RequestBody(request, idle_seconds=30)
        content = bytearray()

        def take(pieces: Sequence[bytes | bytearray | memoryview]) -> bool:
            for piece in pieces:
                content.extend(piece)
            return len(content) % 3 > 0

        try:
            match request.path:
                case "/poured":
                    while not await body.pour(take):  # noqa: ASYNC110 - what is awaited is the next piece
                        await asyncio.sleep(0)
                case "/unread":
                    pass
                case _:
                    async for chunk in body:
                        content.extend(chunk)
        except RegistryError as error:
            handled.append(f"{request.method} {request.path} {error.code.name}")
            response = web.Response(status=400, text="broken")
            response.force_close()
            return response
        handled.append(f"{request.method} {request.path} {bytes(content)!r}")
        return web.Response(text=f"{len(content)}")

    server = DrainingServer(
        handle,
        keepalive_timeout=90,
        auto_decompress=False,
        access_log=None,
        read_bufsize=BUFFER,
        lingering_time=LINGERING_SECONDS,
    )
    connection, transport = server._make(), Transport()
    connection.is_between = is_read_here
    connection.connection_made(transport)
    await settle()
    for part in parts:
        for _ in range(200):
            if not transport.is_paused:
                break
            await asyncio.sleep(0)
        if transport.is_paused or transport.is_closed:
            break
        connection.data_received(part)
        await settle()
    await asyncio.sleep(2 * LINGERING_SECONDS if any(b"/unread" in part for part in parts) else 0)
    fate = Fate(tuple(handled), re.sub(rb"\r\nDate: [^\r]*", b"", bytes(transport.sent)), transport.is_closed)
    connection.connection_lost(None)
    await settle()
    return fate


async def settle() -> None:
    for _ in range(30):
        await asyncio.sleep(0)


def both(parts: Sequence[bytes]) -> tuple[Fate, Fate]:
    async def run() -> tuple[Fate, Fate]:
        here, there = await asyncio.gather(play(parts, is_read_here=True), play(parts, is_read_here=False))
        return here, there

    return asyncio.run(run())


paths = st.sampled_from(["/read", "/poured"])
methods = st.sampled_from(["POST", "PUT", "PATCH"])
contents = st.binary(max_size=3 * BUFFER)


def head(method: str, path: str, *lines: str) -> bytes:
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: x", *lines, "", ""]).encode()


def chunked(pieces: Sequence[bytes]) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces if piece) + b"0\r\n\r\n"


requests = st.one_of(
    st.just(head("GET", "/read")),
    st.builds(lambda method, path: head(method, path, "Content-Length: 0"), methods, paths),
    st.builds(
        lambda method, path, content: head(method, path, f"Content-Length: {len(content)}") + content,
        methods,
        paths,
        contents,
    ),
    st.builds(
        lambda method, path, pieces: head(method, path, "Transfer-Encoding: chunked") + chunked(pieces),
        methods,
        paths,
        st.lists(contents, max_size=4),
    ),
    st.just(head("PUT", "/read", "Content-Length: 4", "Expect: 100-continue") + b"here"),
    st.just(head("POST", "/read", "Content-Length: 4", "Upgrade: websocket", "Connection: Upgrade") + b"here"),
)


def cut(text: bytes, places: Sequence[int]) -> list[bytes]:
    ends = sorted({place % (len(text) + 1) for place in places} - {0} | {len(text)})
    return [text[begin:end] for begin, end in zip([0, *ends], ends, strict=False)]


@settings(max_examples=150)
@given(
    st.lists(requests, max_size=4),
    st.sampled_from([b"", head("PUT", "/read", "Content-Length: 4", "Connection: close") + b"last"]),
    st.lists(st.integers(0, 5000), max_size=8),
)
def test_what_is_right_is_read_alike(several: list[bytes], last: bytes, places: list[int]) -> None:
    here, there = both(cut(b"".join(several) + last, places))
    assert here == there


change = st.tuples(
    st.sampled_from(["replace", "insert", "remove"]), st.integers(0, 5000), st.sampled_from(b"\r\n;: 0aZ\x00")
)


@settings(max_examples=200)
@given(
    st.lists(requests, min_size=1, max_size=3),
    st.lists(change, min_size=1, max_size=2),
    st.lists(st.integers(0, 5000), max_size=4),
)
def test_what_is_broken_breaks_alike(
    several: list[bytes], changes: list[tuple[str, int, int]], places: list[int]
) -> None:
    text = bytearray(b"".join(several))
    for kind, place, byte in changes:
        place %= len(text)  # noqa: PLW2901 - within
        if kind == "insert":
            text.insert(place, byte)
        elif kind == "replace":
            text[place] = byte
        else:
            del text[place]
    here, there = both(cut(bytes(text), places))
    assert here.handled == there.handled
    assert here.is_closed == there.is_closed
    assert re.findall(rb"HTTP/1.1 \d+", here.sent) == re.findall(rb"HTTP/1.1 \d+", there.sent)


@pytest.mark.parametrize("is_cut", [False, True])
def test_what_follows_the_last_request_is_not_answered(*, is_cut: bool) -> None:
    """aiohttp refuses even the last one when both came at once; it was whole, so it is answered."""
    last = head("PUT", "/read", "Content-Length: 4", "Connection: close") + b"last"
    more = head("GET", "/read")
    here, _ = both([last, more] if is_cut else [last + more])
    assert here.handled == ("PUT /read b'last'",)
    assert here.sent.count(b"HTTP/1.1 ") == 1
    assert here.is_closed


@pytest.mark.parametrize("number", [1, 3, 6])
def test_a_body_that_nobody_reads_ends_the_connection_alike(number: int) -> None:
    content = b"x" * BUFFER * number
    whole = head("PUT", "/unread", f"Content-Length: {len(content)}") + content
    half = head("PUT", "/unread", f"Content-Length: {len(content) + 1}") + content
    for text in (whole + head("GET", "/read"), half):
        here, there = both(cut(text, range(0, len(text), 50)))
        assert here == there


CHUNKED = head("PUT", "/read", "Transfer-Encoding: chunked")


@pytest.mark.parametrize(
    ("parts", "handled", "status"),
    [
        ([CHUNKED + b"zz\r\n"], (), b"400"),  # refused: nobody has been told of it
        ([CHUNKED + b"1\r\naXX"], (), b"400"),
        ([CHUNKED, b"zz\r\n"], ("PUT /read SIZE_INVALID",), b"400"),  # its handler has, and is told that it broke
        ([CHUNKED + b"1\r\na\r\n", b"zz\r\n"], ("PUT /read SIZE_INVALID",), b"400"),
    ],
)
def test_a_body_that_is_broken_at_once_is_refused_and_later_its_handler_is_told(
    parts: list[bytes], handled: tuple[str, ...], status: bytes
) -> None:
    here, there = both(parts)
    assert here.handled == there.handled == handled
    assert here.sent.startswith(b"HTTP/1.1 " + status)
    assert here.is_closed
    assert there.is_closed


@pytest.mark.parametrize("path", ["/read", "/poured"])
def test_what_looks_like_a_request_within_a_body_is_the_body(path: str) -> None:
    """Also where the parser reads it, as when the head came in two pieces."""
    inner = head("PUT", "/inner", "Content-Length: 3") + b"abc"
    outer = head("PUT", path, f"Content-Length: {2 * len(inner)}")
    for parts in ([outer[:30], outer[30:], inner, inner], [outer, inner, inner], [outer + inner, inner]):
        here, there = both([*parts, head("GET", "/read")])
        assert here == there
        assert here.handled == (f"PUT {path} {inner + inner!r}", "GET /read b''")
