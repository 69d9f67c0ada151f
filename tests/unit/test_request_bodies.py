"""Bodies that are read here, beside aiohttp's parser: the same bytes, the same end, the same refusals."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pytest
from aiohttp.base_protocol import BaseProtocol
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.http_parser import HttpRequestParser
from aiohttp.web import RequestPayloadError
from hypothesis import given
from hypothesis import strategies as st

from portside.server.bodies import CHUNKS_AT_ONCE, MAX_LINE, MAX_PIECES, TURN_BYTES, Body, Chunks, Framing, Length, Turn

LIMIT = 256 * 1024


@dataclass(frozen=True, slots=True)
class Found:
    """What a reader made of some bytes: the body so far, and what followed it; or that it is none."""

    content: bytes = b""
    rest: bytes | None = None
    is_broken: bool = False


class Connection(BaseProtocol):
    """Where a `Body` comes from: it has no socket, and remembers what it was told."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self.is_held = self.is_broken = False
        self.rest: bytes | None = None

    def hold_body(self) -> None:
        self.is_held = True

    def release_body(self) -> None:
        self.is_held = False

    def is_body_held(self) -> bool:
        return self.is_held

    def end_body(self, rest: bytes) -> None:
        self.rest = rest

    def break_body(self, error: HttpProcessingError) -> None:
        assert error.message
        self.is_broken = True


def read_here(framing: Framing, parts: Sequence[bytes]) -> Found:
    async def read() -> Found:
        loop = asyncio.get_running_loop()
        connection = Connection(loop)
        body = Body(connection, framing, connection, turn=Turn(loop), limit=LIMIT, loop=loop)
        content = bytearray()
        for part in parts:
            if connection.is_broken:
                break
            if connection.rest is not None:
                connection.rest += part
                continue
            body.receive(part)
            for _ in range(len(part) // CHUNKS_AT_ONCE + 1):
                while piece := body.read_nowait():
                    content += piece
                await asyncio.sleep(0)
        if connection.is_broken:
            return Found(is_broken=True)
        assert body.is_eof() == (connection.rest is not None)
        assert body.total_bytes == len(content)
        return Found(bytes(content), connection.rest)

    return asyncio.run(read())


NEXT = b"GET /next HTTP/1.1\r\nHost: x\r\n\r\n"


def read_by_the_parser(head: bytes, parts: Sequence[bytes]) -> Found:
    """What aiohttp's parser makes of it; it does not tell what followed, so `NEXT` tells that it has ended."""

    async def read() -> Found:
        loop = asyncio.get_running_loop()
        parser = HttpRequestParser(
            BaseProtocol(loop),
            loop,
            LIMIT,
            max_line_size=8190,
            max_field_size=8190,
            payload_exception=RequestPayloadError,
            auto_decompress=False,
        )
        messages, _, _ = parser.feed_data(head)
        body = messages[0][1]
        try:
            for part in parts:
                parser.feed_data(part)
        except HttpProcessingError:
            return Found(is_broken=not body.is_eof())
        return Found(body.read_nowait(), NEXT if body.is_eof() else None)

    return asyncio.run(read())


def cut(text: bytes, places: Sequence[int]) -> Iterator[bytes]:
    ends = sorted({min(place, len(text)) for place in places} | {len(text)})
    begin = 0
    for end in ends:
        if end > begin:
            yield text[begin:end]
        begin = end


CHUNKED = b"PUT / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
token = st.text("!#$%&'*+-.^_`|~09azAZ", min_size=1, max_size=5).map(str.encode)
quoted = st.binary(max_size=6).map(lambda text: b'"' + bytes(each for each in text if each in b"\t az~!#(") + b'"')
extension = st.one_of(
    st.just(b""), token.map(lambda name: b";" + name), st.tuples(token, token | quoted).map(lambda e: b";%b=%b" % e)
)
chunk = st.tuples(st.binary(min_size=1, max_size=40), extension, st.sampled_from([b"%x", b"%X", b"0%x", b"000%x"])).map(
    lambda each: each[2] % len(each[0]) + each[1] + b"\r\n" + each[0] + b"\r\n"
)
trailer = st.tuples(token, st.binary(max_size=5)).map(
    lambda each: b"%b: %b\r\n" % (each[0], bytes(byte for byte in each[1] if byte in b" az09"))
)
encoded = st.tuples(
    st.lists(chunk, max_size=6), st.sampled_from([b"0\r\n", b"00\r\n"]), st.lists(trailer, max_size=3)
).map(lambda each: b"".join(each[0]) + each[1] + b"".join(each[2]) + b"\r\n")
places = st.lists(st.integers(0, 200), max_size=12)
change = st.tuples(
    st.sampled_from(["replace", "insert", "remove"]), st.integers(0, 300), st.sampled_from(b'\r\n;:= \t0aZ\x00"g')
)


@given(encoded, places)
def test_a_chunked_body_is_read_as_the_parser_reads_it(text: bytes, where: list[int]) -> None:
    parts = list(cut(text + NEXT, where))
    assert read_here(Chunks(), parts) == read_by_the_parser(CHUNKED, parts)


@given(encoded, places, st.lists(change, min_size=1, max_size=2))
def test_what_the_parser_refuses_is_refused_here(
    text: bytes, where: list[int], changes: list[tuple[str, int, int]]
) -> None:
    """Here a little more is refused: never less, and what both take for a body is the same one."""
    changed = bytearray(text)
    for kind, place, byte in changes:
        place %= len(changed)  # noqa: PLW2901 - within
        if kind == "insert":
            changed.insert(place, byte)
        elif kind == "replace":
            changed[place] = byte
        elif len(changed) > 1:
            del changed[place]
    parts = list(cut(bytes(changed), where))
    here, there = read_here(Chunks(), parts), read_by_the_parser(CHUNKED, parts)
    if there.is_broken:
        assert here.is_broken
    elif not here.is_broken:
        assert here.content == there.content
        assert (here.rest is None) == (there.rest is None)


@given(st.binary(min_size=1, max_size=60), places)
def test_a_body_of_a_known_length_ends_there(content: bytes, where: list[int]) -> None:
    found = read_here(Length(len(content)), list(cut(content + NEXT, where)))
    assert found == Found(content, NEXT)


def repr_of(text: bytes) -> str:
    return ascii(text[:20])


@pytest.mark.parametrize(
    "text",
    [
        b"1" * (MAX_LINE + 1),
        b"1;a=" + b"b" * MAX_LINE,
        b"11111111111111111\r\n",
        b"0\r\n" + b"A: b\r\n" * 1000 + b"\r\n",
        b"0\r\nContent-Length: 5\r\n\r\n",
        b"0\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"0\r\n folded\r\n\r\n",
        b"5\r\nhello!\r\n",
        b"5;\r\nhello\r\n",
        b'5;a="b\r\nhello\r\n',
        b"\r\n",
        b"g",
        b"1\n",
        b"1\r\na\n",
        b"1\r\naX",
    ],
    ids=repr_of,
)  # fmt: skip
def test_what_is_no_chunk_is_refused_at_once(text: bytes) -> None:
    assert read_here(Chunks(), [text]).is_broken
    assert read_here(Chunks(), [text[i : i + 1] for i in range(len(text))]).is_broken


def test_reading_pauses_while_nobody_takes_and_goes_on_when_somebody_does() -> None:
    async def check() -> None:
        loop = asyncio.get_running_loop()
        connection = Connection(loop)
        body = Body(connection, Length(1 << 30), connection, turn=Turn(loop), limit=LIMIT, loop=loop)
        piece = b"x" * LIMIT
        for _ in range(2):
            body.receive(piece)
            assert not connection.is_held
        body.receive(b"x")
        assert connection.is_held
        for _ in range(3):
            assert await body.readany()
        assert not connection.is_held
        for number in range(2 * MAX_PIECES):
            body.receive(b"x" if number % 2 else b"xy")
            if connection.is_held:
                break
        assert number <= MAX_PIECES

    asyncio.run(check())


def test_small_chunks_keep_little_in_memory_and_the_loop_for_a_short_time() -> None:
    async def check() -> None:
        loop = asyncio.get_running_loop()
        connection = Connection(loop)
        body = Body(connection, Chunks(), connection, turn=Turn(loop), limit=LIMIT, loop=loop)
        many = CHUNKS_AT_ONCE * 20
        body.receive(b"1\r\na\r\n" * many + b"0\r\n\r\n" + NEXT)
        assert body.total_bytes <= CHUNKS_AT_ONCE
        assert connection.is_held
        connection.transport = asyncio.Transport()  # as if it were connected
        content = b"".join([bytes(piece) async for piece in body.iter_any()])
        assert content == b"a" * many
        assert connection.rest == NEXT
        assert not connection.is_held

    asyncio.run(check())


def test_a_piece_that_is_mostly_framing_is_copied_out_of_it() -> None:
    async def check() -> None:
        loop = asyncio.get_running_loop()
        connection = Connection(loop)
        body = Body(connection, Chunks(), connection, turn=Turn(loop), limit=LIMIT, loop=loop)
        body.receive(b"1;a=" + b"b" * 4000 + b"\r\na\r\n")
        assert type(await body.readany()) is bytes
        body.receive(b"2000\r\n" + b"x" * 8192 + b"\r\n" + b"2000\r\n" + b"x" * 8192 + b"\r\n")
        pieces: list[object] = [body.read_nowait(), body.read_nowait()]
        assert all(isinstance(each, memoryview) for each in pieces)
        assert body.read_nowait() == b""

    asyncio.run(check())


def test_a_body_that_breaks_off_is_told_to_who_reads_it() -> None:
    async def check() -> None:
        loop = asyncio.get_running_loop()
        connection = Connection(loop)
        body = Body(connection, Length(10), connection, turn=Turn(loop), limit=LIMIT, loop=loop)
        connection.transport = asyncio.Transport()  # as if it were connected
        reading = asyncio.ensure_future(body.readany())
        await asyncio.sleep(0)
        body.set_exception(RequestPayloadError("gone"))
        body.feed_eof()
        with pytest.raises(RequestPayloadError, match="gone"):
            await reading
        with pytest.raises(RequestPayloadError, match="gone"):
            body.read_nowait()

    asyncio.run(check())


class Sink:
    """Takes pieces as they come, until it has `most` bytes."""

    def __init__(self, most: int = 1 << 40) -> None:
        self.content = bytearray()
        self.most = most

    def take(self, pieces: Sequence[bytes | bytearray | memoryview]) -> bool:
        for piece in pieces:
            self.content += piece
        return len(self.content) < self.most


async def opened(framing: Framing) -> tuple[Connection, Body]:
    loop = asyncio.get_running_loop()
    connection = Connection(loop)
    connection.transport = asyncio.Transport()  # as if it were connected
    return connection, Body(connection, framing, connection, turn=Turn(loop), limit=LIMIT, loop=loop)


@given(encoded, places, st.integers(1, 60))
def test_what_is_poured_is_the_body_however_often_it_has_to_wait(text: bytes, where: list[int], most: int) -> None:
    found = read_by_the_parser(CHUNKED, [text + NEXT])

    async def check() -> None:
        connection, body = await opened(Chunks())
        sink = Sink(most)

        async def pour() -> None:
            while not await body.pour(sink.take, idle_seconds=5):
                sink.most += most

        pouring = asyncio.ensure_future(pour())
        for part in cut(text + NEXT, where):
            if connection.rest is None:
                body.receive(part)
            else:
                connection.rest += part
            await asyncio.sleep(0)
        await asyncio.wait_for(pouring, 5)
        assert (bytes(sink.content), connection.rest) == (found.content, NEXT)
        assert body.total_bytes == len(sink.content)

    asyncio.run(check())


def test_a_body_is_poured_in_the_moment_that_it_is_received() -> None:
    async def check() -> None:
        _, body = await opened(Length(10))
        sink = Sink()
        body.receive(b"abc")
        pouring = asyncio.ensure_future(body.pour(sink.take, idle_seconds=5))
        await asyncio.sleep(0)
        body.receive(b"def")
        assert sink.content == b"abcdef"
        pouring.cancel()
        body.receive(b"g")  # who is cancelled has not ended yet
        assert sink.content == b"abcdefg"
        await asyncio.wait([pouring])
        body.receive(b"hi")  # now it has, and what it wrote to may be closed
        assert sink.content == b"abcdefg"
        assert await body.readany() == b"hi"

    asyncio.run(check())


def test_what_the_taker_raises_is_raised_where_it_is_awaited() -> None:
    def fail(pieces: Sequence[object]) -> bool:
        raise OSError(f"no room for {len(pieces)}")

    async def check() -> None:
        _, body = await opened(Length(10))
        pouring = asyncio.ensure_future(body.pour(fail, idle_seconds=5))
        await asyncio.sleep(0)
        body.receive(b"abc")
        body.receive(b"def")
        with pytest.raises(OSError, match="no room for 1"):
            await pouring
        assert await body.readany() == b"def"
        body.receive(b"ghij")
        with pytest.raises(OSError, match="no room for 1"):
            await body.pour(fail, idle_seconds=5)

    asyncio.run(check())


def test_a_client_that_says_nothing_is_not_waited_for_and_a_slow_one_is() -> None:
    async def check() -> None:
        loop = asyncio.get_running_loop()
        _, body = await opened(Length(100))
        sink = Sink()
        pouring = asyncio.ensure_future(body.pour(sink.take, idle_seconds=1.5))
        for _ in range(5):
            await asyncio.sleep(0.5)
            body.receive(b"x")
        last = loop.time()
        with pytest.raises(TimeoutError):
            await pouring
        assert 1.4 < loop.time() - last < 8
        assert sink.content == b"xxxxx"

    asyncio.run(check())


def test_a_body_that_breaks_off_ends_pouring() -> None:
    async def check() -> None:
        connection, body = await opened(Chunks())
        pouring = asyncio.ensure_future(body.pour(Sink().take, idle_seconds=5))
        await asyncio.sleep(0)
        body.receive(b"zz")
        assert connection.is_broken
        body.set_exception(RequestPayloadError("gone"))
        body.feed_eof()
        with pytest.raises(RequestPayloadError, match="gone"):
            await pouring

    asyncio.run(check())


def test_one_connection_after_another_pours_in_a_turn_of_the_loop() -> None:
    async def check() -> None:
        loop = asyncio.get_running_loop()
        turn = Turn(loop)
        all_of_them = []
        for _ in range(3):
            connection = Connection(loop)
            connection.transport = asyncio.Transport()  # as if it were connected
            body = Body(connection, Length(1 << 30), connection, turn=turn, limit=LIMIT, loop=loop)
            all_of_them.append((connection, body, asyncio.ensure_future(body.pour(Sink().take, idle_seconds=5))))
        await asyncio.sleep(0)
        half = b"x" * (TURN_BYTES // 2)
        for (connection, body, _), is_held in zip(all_of_them, (False, True, True), strict=True):
            body.receive(half)
            assert connection.is_held == is_held
        await asyncio.sleep(0)
        for connection, _, _ in all_of_them:
            assert not connection.is_held

    asyncio.run(check())
