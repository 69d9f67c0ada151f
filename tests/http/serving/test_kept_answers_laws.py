"""Whatever bytes a client sends, and however: a server that gives answers again differs in nothing from another.

The same bytes are answered, the same lines and counts are left, and the connection has the same fate.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from portside.server.keeping import is_one_head
from tests.http.serving.test_kept_answers import blob, by_digest, fill, head_of_blob, head_of_tag, tag
from tests.support.same_heads import RACY_SECONDS, get
from tests.support.two_servers import Side

KNOWN = [
    get("/v2/"),
    get("/v2/", method="HEAD"),
    tag("same"),
    head_of_tag("same"),
    by_digest("same"),
    blob("same"),
    head_of_blob("same"),
    get("/v2/", "Connection: close"),
    tag("same", "Connection: close"),
]
"""Heads whose answers are kept."""

GARBAGE = [
    b"\r\n",
    b"\n",
    b"\x00",
    b"\r\n\r\n",
    b"GET",
    b"GET / HTTP/1.1\r\n",
    b"0\r\n\r\n",
    b"5\r\nhello\r\n0\r\n\r\n",
    b"X: y\r\n\r\n",
    b"\x16\x03\x01\x00\x05hello",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"GET /v2/ HTTP/1.1\nHost: x\n\n",
    b"GET /v2/ HTTP/9.9\r\nHost: x\r\n\r\n",
    b"GET /v2/ HTTP/1.1\r\n\r\n",
    b"get /v2/ HTTP/1.1\r\nHost: x\r\n\r\n",
]

OTHERS = [
    get("/v2/none/manifests/none"),
    get("/v2/", "Connection: close", "X-Other: 1"),
    get("/v2/", "Connection: keep-alive"),
    get("/v2/", "Connection: keep-alive, close"),
    get("/v2/", "Expect: 100-continue"),
    get("/v2/", "Connection: Upgrade", "Upgrade: websocket"),
    get("/v2/", "Connection: Upgrade", "Upgrade: h2c"),
    get("/v2/").replace(b"HTTP/1.1", b"HTTP/1.0"),
    get("/v2/", "Host: twice.test"),
    get("/v2/", f"X-Long: {'x' * 5000}"),
    get("/v2/", "Content-Length: 0"),
    get("/v2/", "Content-Length: 5") + b"hello",
    get("/v2/", "Content-Length: 5"),
    get("/v2/", "Content-Length: 5", "Content-Length: 6"),
    get("/v2/", "Content-Length: 5", "Transfer-Encoding: chunked"),
    get("/v2/", "Transfer-Encoding: chunked") + b"5\r\nhello\r\n0\r\n\r\n",
    get("/v2/", "Transfer-Encoding: chunked"),
    get("/v2/same/blobs/uploads/", "Content-Length: 0", method="POST"),
    get("/v2/same/manifests/new", "Content-Length: 30", method="PUT") + get("/v2/")[:30],
    get("/v2/same/manifests/new", f"Content-Length: {len(get('/v2/'))}", method="PUT"),
    get("/v2/same/manifests/new", "Transfer-Encoding: chunked", method="PUT") + b"ff\r\n",
    get("/v2/", method="OPTIONS"),
    get("/v2/", method="TRACE"),
    b"GET /v2/ HTTP/1.1\r\nHost: not a host\r\n\r\n",
]


REFUSED = b"GET /v2/ HTTP/1.1\r\nHost: not a host\r\n\r\n"
"""A request that the parser accepts, and whose answer ends the connection."""


class Send(NamedTuple):
    """Sends a piece, and waits until the server has done what it can, or for so many turns of its loop."""

    piece: bytes
    waits: bool
    turns: int = 0


class Take(NamedTuple):
    """Begins to take answers, or stops."""

    everything: bool


class End(NamedTuple):
    """Ends the client's side."""


Step = Send | Take | End


def cut(data: bytes, at: list[int]) -> list[bytes]:
    """Cuts bytes at some places."""
    places = sorted({0, len(data), *(each % (len(data) + 1) for each in at)})
    return [data[begin:end] for begin, end in pairwise(places)]


requests = st.one_of(st.sampled_from(KNOWN), st.sampled_from(KNOWN), st.sampled_from(OTHERS))
streams = st.one_of(
    st.sampled_from(KNOWN),
    requests,
    st.lists(requests, min_size=2, max_size=4).map(b"".join),
    st.tuples(requests, st.sampled_from(GARBAGE)).map(b"".join),
    st.tuples(st.sampled_from(GARBAGE), requests).map(b"".join),
    st.sampled_from(GARBAGE),
    st.binary(min_size=1, max_size=40),
)
sends: st.SearchStrategy[list[Step]] = st.tuples(
    streams, st.lists(st.integers(0, 4000), max_size=2), st.booleans(), st.integers(0, 5)
).map(lambda each: [Send(piece, each[2], each[3]) for piece in cut(each[0], each[1])])
whole: st.SearchStrategy[list[Step]] = st.sampled_from(KNOWN).map(lambda head: [Send(head, waits=True)])
others: st.SearchStrategy[list[Step]] = st.sampled_from([[Take(everything=False)], [Take(everything=True)], [End()]])
plans: st.SearchStrategy[list[Step]] = st.lists(st.one_of(sends, sends, whole, whole, others), max_size=8).map(
    lambda parts: [step for part in parts for step in part]
)


class Both:
    """Both servers, on a loop of their own."""

    def __init__(self, folder: Path) -> None:
        self.runner = asyncio.Runner()
        self.again, self.ordinary = self.runner.run(self._make(folder))

    async def _make(self, folder: Path) -> tuple[Side, Side]:
        return Side(folder, kept_bytes=1 << 20), Side(folder, kept_bytes=0)

    def play(self, plan: list[Step]) -> None:
        self.runner.run(self._play(plan))

    async def _play(self, plan: list[Step]) -> None:
        await self.again.learn(KNOWN)
        played = []
        for side in (self.again, self.ordinary):
            transport = side.open()
            await side.settle(transport)
            for step in plan:
                match step:
                    case Send(piece, waits, turns):
                        transport.send(piece)
                        if waits:
                            await side.settle(transport)
                        for _ in range(turns):
                            await asyncio.sleep(0)
                    case Take(everything):
                        await side.settle(transport)
                        transport.take(everything=everything)
                        await side.settle(transport)
                    case End():  # an answer that is made after it says that it is the last
                        await side.settle(transport)
                        transport.end()
                        await side.settle(transport)
            await side.settle(transport)
            transport.take(everything=True)
            await side.settle(transport)
            played.append(side.played(transport))
            transport.abort()
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            side.played(transport)
        assert played[0] == played[1]

    async def _close(self) -> None:
        await self.again.close()
        await self.ordinary.close()

    def close(self) -> None:
        self.runner.run(self._close())
        self.runner.close()


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    folder = tmp_path_factory.mktemp("laws")
    fill(folder, "same")
    time.sleep(RACY_SECONDS)
    made = Both(folder)
    yield made
    made.close()


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(plan=plans)
def test_nobody_can_tell_whether_answers_are_given_again(both: Both, plan: list[Step]) -> None:
    both.play(plan)


def test_what_was_played_was_answered_again(both: Both) -> None:
    before = both.again.again
    for head in KNOWN:
        both.play([Send(head, waits=True), Send(head, waits=True), Send(head, waits=False)])
    assert both.again.again == before + sum(1 if b"close" in head else 3 for head in KNOWN)
    assert both.ordinary.again == 0


EACH: dict[str, list[Step]] = {
    "after the first half of a head": [Send(KNOWN[0][:10], waits=True), Send(KNOWN[0], waits=True)],
    "after a head that came in two pieces": [
        *(Send(piece, waits=True) for piece in cut(KNOWN[0], [9])),
        Send(KNOWN[0], waits=True),
    ],
    "as a body": [Send(OTHERS[-5], waits=True), Send(KNOWN[0], waits=True), Send(KNOWN[0], waits=True)],
    "as the middle of a body": [
        Send(get("/v2/same/manifests/new", "Content-Length: 400", method="PUT"), waits=True),
        Send(KNOWN[0], waits=True),
        Send(KNOWN[2], waits=True),
    ],
    "as the body of a GET": [
        Send(get("/v2/", f"Content-Length: {len(KNOWN[0])}"), waits=True),
        Send(KNOWN[0], waits=True),
        Send(KNOWN[0], waits=True),
    ],
    "as a chunk": [
        Send(get("/v2/", "Transfer-Encoding: chunked") + b"%x\r\n" % len(KNOWN[0]), waits=True),
        Send(KNOWN[0], waits=True),
        Send(b"\r\n0\r\n\r\n", waits=True),
        Send(KNOWN[0], waits=True),
    ],
    "after trailers that do not end": [
        Send(get("/v2/", "Transfer-Encoding: chunked") + b"0\r\nX: y\r\n", waits=True),
        Send(KNOWN[0], waits=True),
    ],
    **{
        f"behind another that is being answered, {turns} turns later": [
            Send(OTHERS[0], waits=False, turns=turns),
            Send(KNOWN[0], waits=False, turns=turns),
            Send(KNOWN[2], waits=False),
        ]
        for turns in range(8)
    },
    **{
        f"behind one that is refused, {turns} turns later": [
            Send(REFUSED, waits=False, turns=turns),
            Send(KNOWN[0], waits=False, turns=turns),
            Send(KNOWN[2], waits=True),
        ]
        for turns in range(8)
    },
    "behind what nobody takes": [
        Take(everything=False),
        *(Send(KNOWN[5], waits=True) for _ in range(40)),
        Take(everything=True),
        Send(KNOWN[5], waits=True),
    ],
    "after the last of a connection": [Send(OTHERS[1], waits=False), Send(KNOWN[0], waits=True)],
    "after the last one of HTTP/1.0": [Send(OTHERS[7], waits=False), Send(KNOWN[0], waits=True)],
    "after what is not HTTP": [Send(b"\x00\r\n\r\n", waits=False), Send(KNOWN[0], waits=True)],
    "after the head of another protocol": [Send(OTHERS[5], waits=True), Send(KNOWN[0], waits=True)],
    "after the end": [Send(KNOWN[0], waits=False), End(), Send(KNOWN[0], waits=True)],
    "with more behind it": [Send(KNOWN[0] + b"G", waits=True), Send(KNOWN[0][1:], waits=True)],
    "with half of another behind it": [
        Send(KNOWN[0] + b"GET /v2/none HTTP/1.1\r\nX: ", waits=True),
        Send(KNOWN[0], waits=True),
    ],
    "with a whole one behind it": [Send(KNOWN[0] * 2, waits=True), Send(KNOWN[0], waits=True)],
    "with a body behind it": [
        Send(KNOWN[0] + get("/v2/", "Content-Length: 9999"), waits=True),
        Send(KNOWN[0], waits=True),
    ],
    "with a line end before it": [Send(b"\r\n" + KNOWN[0], waits=True), Send(KNOWN[0], waits=True)],
    "after a line end alone": [Send(b"\r\n", waits=True), Send(KNOWN[0], waits=True)],
    "after half a line end": [Send(b"\r", waits=True), Send(KNOWN[0], waits=True)],
}


@pytest.mark.parametrize("name", EACH)
def test_a_known_head_is_no_request_by_itself(both: Both, name: str) -> None:
    both.play(EACH[name])


@given(
    st.lists(
        st.sampled_from([b"GET / HTTP/1.1", b"\r\n", b"\r", b"\n", b"Host: x", b"\r\n\r\n", b"x" * 5000]), max_size=9
    )
)
def test_one_head_has_one_end_and_nothing_behind_it(parts: list[bytes]) -> None:
    piece = b"".join(parts)
    assert is_one_head(piece) == (piece.endswith(b"\r\n\r\n") and b"\r\n\r\n" not in piece[:-1])
