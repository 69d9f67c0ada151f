"""Requests of the same bytes go on to the registry without being read again, and nobody can tell by the answers."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import itertools
import secrets
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from types import FunctionType, ModuleType

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from portside.server.kept_answers import KeptAnswers, KeptPassage
from proxy.passages import Passage
from proxy.request_heads import RequestHeads
from proxy.routing import Backend
from proxy.settings import UpstreamSettings
from tests.support.proxies import RunningProxy, answered, running_proxy
from tests.support.upstreams import Conversation, Head, Peer, Registry, spoken_by_hand

DATE = "Date: Fri, 27 Nov 2026 12:00:00 GMT"
KEPT = 1 << 20


def _head(target: str, *lines: str, method: str = "GET") -> str:
    return "\r\n".join([f"{method} {target} HTTP/1.1", "Host: h", "User-Agent: docker/24.0.7", *lines, "", ""])


async def _learn(proxy: RunningProxy, client: Peer, head: str) -> None:
    """Sends a request until it is no longer read by a handler."""
    for _ in range(12):
        handled = len(proxy.requests)
        await client.send(head)
        await answered(client, of=head.partition(" ")[0])
        await asyncio.sleep(0)
        if len(proxy.requests) == handled:
            return
    raise AssertionError("it is read each time")


@asynccontextmanager
async def passing(
    registry: Registry, converse: Conversation, *, read_seconds: float = 60.0
) -> AsyncIterator[tuple[RunningProxy, Peer]]:
    """A proxy that passes `GET /v2/` on, and a connection on which it does."""
    async with registry(converse) as upstream:
        where = UpstreamSettings(upstream.address, read_seconds=read_seconds)
        async with (
            running_proxy({Backend.V2: where, Backend.V1: where}, kept_bytes=KEPT) as proxy,
            asyncio.timeout(15),
            proxy.connection() as client,
        ):
            await _learn(proxy, client, _head("/v2/"))
            proxy.requests.clear()
            yield proxy, client


class _Script:
    """A registry that answers shortly, until it is told otherwise."""

    def __init__(self) -> None:
        self.heads: list[Head] = []
        self.then: Sequence[str | bytes] = ()
        self.closes = False

    async def __call__(self, peer: Peer) -> None:
        while True:
            self.heads.append(await peer.read_head())
            if self.then:
                await peer.send(*self.then)
                if self.closes:
                    return
            else:
                await peer.answer("200 OK", DATE, body=b"{}")


async def test_the_registry_is_asked_each_time_and_gets_the_same(registry: Registry) -> None:
    script = _Script()
    async with passing(registry, script) as (proxy, client):
        before = len(script.heads)
        for _ in range(5):
            await client.send(_head("/v2/"))
            answer = await answered(client)
            assert (answer.status, answer.body) == (200, b"{}")
            assert answer.head.value("X-Portside-Route") == "v2; docker 24.0.7 speaks v2"
        assert proxy.requests == []
        assert len(script.heads) == before + 5
        assert len({(head.line, head.headers) for head in script.heads}) == 1


@pytest.mark.parametrize("line", ["Authorization: Basic {}", "aUTHORIZATION:\tBearer a {}  ", "Cookie: session={}"])
async def test_no_credentials_are_kept(registry: Registry, line: str) -> None:
    script = _Script()
    secret = secrets.token_hex(16)
    head = _head("/v2/", line.format(secret))
    async with passing(registry, script) as (proxy, client):
        if not line.startswith("Cookie"):
            await _learn(proxy, client, head)
        proxy.requests.clear()
        for _ in range(6):
            await client.send(head)
            await answered(client)
        assert len(proxy.requests) == (6 if line.startswith("Cookie") else 0)
        name, _, value = line.format(secret).partition(":")
        assert [each.value(name) for each in script.heads[-6:]] == [value.strip()] * 6
        for name in ("Set-Cookie", "X-Docker-Token", "Location"):
            script.then = (f"HTTP/1.1 200 OK\r\n{DATE}\r\n{name}: {secret}\r\nContent-Length: 0\r\n\r\n",)
            for _ in range(3):
                await client.send(_head("/v2/"))
                assert secret in ((await answered(client)).head.value(name) or "")
        script.then = ()
        for _ in range(3):
            await client.send(_head("/v2/"))
            await answered(client)
        kept = [
            each for each in gc.get_objects() if isinstance(each, RequestHeads | Passage | KeptPassage | KeptAnswers)
        ]
        assert {type(each) for each in kept} == {RequestHeads, Passage, KeptPassage, KeptAnswers}
        seen: dict[int, object] = {}
        while kept:
            each = kept.pop()
            if id(each) not in seen and not isinstance(
                each, type | ModuleType | FunctionType | asyncio.AbstractEventLoop
            ):
                seen[id(each)] = each
                assert secret not in repr(each if isinstance(each, str | bytes) else "")
                kept += gc.get_referents(each)
        assert any(isinstance(each, bytes) and b"X-Real-IP" in each for each in seen.values())


async def test_each_client_is_told_by_its_own_address(registry: Registry) -> None:
    script = _Script()
    async with passing(registry, script) as (proxy, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port, local_addr=("127.0.0.9", 0))
        other = Peer(reader, writer)
        await other.send(_head("/v2/"))
        await answered(other)
        proxy.requests.clear()
        await other.send(_head("/v2/"))
        await answered(other)
        assert proxy.requests == []
        assert script.heads[-1].value("X-Real-IP") == script.heads[-1].value("X-Forwarded-For") == "127.0.0.9"
        assert script.heads[0].value("X-Real-IP") == "127.0.0.1"
        await other.close()


@pytest.mark.parametrize(
    ("said", "status", "body"),
    [
        (
            ["HTTP/1.1 401 Unauthorized\r\n", DATE, "\r\nWww-Authenticate: a\r\nContent-Length: 2\r\n\r\nno"],
            401,
            b"no",
        ),
        (["HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno"], 404, b"no"),
        (["HTTP/1.1 200 OK\r\n", DATE, "\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n"], 200, b"no"),
        (["HTTP/1.1 200 OK\r\n", DATE, "\r\nContent-Length: 300000\r\n\r\n", b"x" * 300_000], 200, b"x" * 300_000),
        (["HTTP/1.1 307 Moved\r\n", DATE, "\r\nLocation: http://h/v2/y\r\nContent-Length: 0\r\n\r\n"], 307, b""),
        (["HTTP/1.1 204 No Content\r\n", DATE, "\r\n\r\n"], 204, b""),
        (["HTTP/1.1 304 Not Modified\r\n", DATE, "\r\n\r\n"], 304, b""),
        (["HTTP/1.1 103 Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno"], 200, b"no"),
        (["HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nno"], 502, None),
        (["HTTP/1.1 200 OK\r\n", DATE, "\r\nX-Portside-File: 0-1/2 /a\r\nContent-Length: 2\r\n\r\nno"], 200, b"no"),
    ],
)
async def test_other_answers_are_a_handlers(
    registry: Registry, said: list[str | bytes], status: int, body: bytes | None
) -> None:
    script = _Script()
    async with passing(registry, script) as (_, client):
        script.then = said
        before = len(script.heads)
        for asked in range(1, 4):
            await client.send(_head("/v2/"))
            answer = await answered(client)
            assert answer.status == status
            assert body is None or answer.body == body
            assert answer.head.value("X-Portside-File") is None
            assert len(script.heads) == before + asked, "it was asked once each time"
        script.then = ()
        await client.send(_head("/v2/"))
        assert (await answered(client)).body == b"{}"


async def test_an_answer_to_the_end_of_its_connection_goes_through_a_handler(registry: Registry) -> None:
    script = _Script()
    async with passing(registry, script) as (_, client):
        script.then, script.closes = ["HTTP/1.1 200 OK\r\n", DATE, "\r\n\r\nto the end"], True
        for _ in range(2):
            await client.send(_head("/v2/"))
            answer = await answered(client)
            assert (answer.body, answer.head.value("Transfer-Encoding")) == (b"to the end", "chunked")


@pytest.mark.parametrize("said", ["", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"], ids=["nothing", "half"])
async def test_a_registry_that_breaks_off_is_asked_again_only_if_it_said_nothing(registry: Registry, said: str) -> None:
    script = _Script()
    async with passing(registry, script) as (_, client):
        before = len(script.heads)
        script.then, script.closes = [said], True
        await client.send(_head("/v2/"))
        answer = await answered(client)
        assert answer.status == 502
        assert len(script.heads) == before + (1 if said else 2)
        script.then, script.closes = (), False
        await client.send(_head("/v2/"))
        assert (await answered(client)).status == 200


async def test_silence_is_504_and_the_connection_serves_on(registry: Registry) -> None:
    waiting = asyncio.Event()
    silent = False

    async def converse(peer: Peer) -> None:
        while True:
            await peer.read_head()
            if silent:
                waiting.set()
                await peer.other_side_closed()
                return
            await peer.answer("200 OK", DATE, body=b"{}")

    async with passing(registry, converse, read_seconds=0.3) as (_, client):
        silent = True
        await client.send(_head("/v2/"))
        assert (await answered(client)).status == 504
        assert waiting.is_set()
        silent = False
        await client.send(_head("/v2/"))
        assert (await answered(client)).status == 200


async def test_a_client_that_hangs_up_frees_the_registry(registry: Registry) -> None:
    asked, freed = asyncio.Event(), asyncio.Event()
    silent = False

    async def converse(peer: Peer) -> None:
        while True:
            await peer.read_head()
            if silent:
                asked.set()
                await peer.other_side_closed()
                freed.set()
                return
            await peer.answer("200 OK", DATE, body=b"{}")

    async with passing(registry, converse) as (proxy, client):
        silent = True
        await client.send(_head("/v2/"))
        await asked.wait()
        client.leave()
        await freed.wait()
        assert proxy.requests == []


async def test_what_comes_behind_it_waits_and_is_answered_in_order(registry: Registry) -> None:
    go = asyncio.Event()
    go.set()

    async def converse(peer: Peer) -> None:
        while True:
            head = await peer.read_head()
            body = await peer.read_body(head)
            await go.wait()
            await peer.answer("200 OK", DATE, body=f"{head.method} {head.target} {body.decode()}".encode())

    async with passing(registry, converse) as (_, client):
        for first in (_head("/v2/"), _head("/v2/") * 3):
            go.clear()
            await client.send(first)
            await asyncio.sleep(0.05)
            await client.send(_head("/v2/"), _head("/v2/a/tags/list"))
            await asyncio.sleep(0.05)
            await client.send("PUT /v2/a/manifests/b HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nbody")
            await client.send(_head("/v2/"))
            go.set()
            count = first.count("GET") + 1
            found = [(await answered(client)).body for _ in range(count + 3)]
            assert found == [b"GET /v2/ "] * count + [
                b"GET /v2/a/tags/list ",
                b"PUT /v2/a/manifests/b body",
                b"GET /v2/ ",
            ]


async def test_the_last_request_of_a_connection_is_the_last(registry: Registry) -> None:
    async with passing(registry, _Script()) as (proxy, _):
        for _ in range(4):
            async with proxy.connection() as client:
                await client.send(_head("/v2/"))
                await answered(client)
                await client.send(_head("/v2/", "Connection: close"))
                assert (await answered(client)).head.value("Connection") == "close"
                assert await client.reader.read() == b""


async def test_head_is_passed_on_as_head(registry: Registry) -> None:
    async def converse(peer: Peer) -> None:
        while True:
            head = await peer.read_head()
            body = "" if head.method == "HEAD" else "{}"
            await peer.send(f"HTTP/1.1 200 OK\r\n{DATE}\r\nContent-Length: 2\r\n\r\n", body)

    async with passing(registry, converse) as (proxy, client):
        head = _head("/v2/a/blobs/x", method="HEAD")
        await _learn(proxy, client, head)
        for _ in range(3):
            await client.send(head, _head("/v2/"))
            first, second = await answered(client, of="HEAD"), await answered(client)
            assert (first.head.value("Content-Length"), first.head.value("Content-Type")) == ("2", None)
            assert second.body == b"{}"


async def test_a_trusted_proxys_requests_are_read_each_time(registry: Registry) -> None:
    script = _Script()
    async with (
        registry(script) as upstream,
        running_proxy({Backend.V2: upstream.address}, trusted=True, kept_bytes=KEPT) as proxy,
        asyncio.timeout(10),
        proxy.connection() as client,
    ):
        for _ in range(8):
            await client.send(_head("/v2/", "X-Forwarded-For: 10.0.0.1"))
            await answered(client)
        assert len(proxy.requests) == 8


PIECES = [
    _head("/v2/"),
    _head("/v2/", method="HEAD"),
    _head("/v2/", "Connection: close"),
    _head("/v2/x"),
    "GET /v2/ HTTP/1.1\r\nHost: h\r\nUser-Agent: docker/24.0.7\r\n",
    "\r\n",
    "PUT /v2/a HTTP/1.1\r\nHost: h\r\nContent-Length: 60\r\n\r\n",
    "POST /v2/a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    "GET /v2/ HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc",
    "GET /v2/ HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\nabc",
    "nonsense\r\n\r\n",
]


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(st.sampled_from(PIECES), min_size=1, max_size=7), st.lists(st.integers(1, 400), max_size=4), st.booleans()
)
def test_any_bytes_are_answered_as_without(pieces: list[str], cuts: list[int], pauses: bool) -> None:  # noqa: FBT001
    sent = "".join([_head("/v2/"), *pieces]).encode()
    places = [0, *sorted({min(cut, len(sent)) for cut in cuts}), len(sent)]

    async def converse(peer: Peer) -> None:
        while True:
            head = await peer.read_head()
            body = await peer.read_body(head)
            said = f"{head.method} {head.target} {len(body)}".encode()
            length = f"HTTP/1.1 200 OK\r\n{DATE}\r\nContent-Length: {len(said)}\r\n\r\n"
            await peer.send(length, b"" if head.method == "HEAD" else said)

    async def play(kept_bytes: int) -> tuple[bytes, bool]:
        """Returns what the client was sent, and whether that was broken off: then some of it may be lost."""
        with tempfile.TemporaryDirectory(prefix="ps-") as folder:
            async with (
                spoken_by_hand(converse, unix=Path(folder) / "s") as upstream,
                running_proxy({Backend.V2: upstream.address}, kept_bytes=kept_bytes) as proxy,
            ):
                if kept_bytes:
                    async with proxy.connection() as client:
                        await _learn(proxy, client, _head("/v2/"))
                async with asyncio.timeout(10), proxy.connection() as client:
                    await client.send(_head("/v2/x"))
                    await answered(client)
                    reading = asyncio.create_task(_read_all(client))
                    with contextlib.suppress(OSError):
                        for first, last in itertools.pairwise(places):
                            await client.send(sent[first:last])
                            if pauses:
                                await asyncio.sleep(0.003)
                        await asyncio.sleep(0.03)  # what is whole is answered before the end is seen
                        client.writer.write_eof()
                    found, is_broken = await reading
                    return b"\r\n".join([line for line in found.split(b"\r\n") if _is_same(line)]), is_broken

    (without, lost), (within, lost_too) = asyncio.run(play(0)), asyncio.run(play(KEPT))
    if lost or lost_too:
        assert without.startswith(within) or within.startswith(without)
    else:
        assert within == without


async def _read_all(client: Peer) -> tuple[bytes, bool]:
    found = bytearray()
    try:
        while piece := await client.reader.read(65536):
            found += piece
    except ConnectionError:
        return bytes(found), True
    return bytes(found), False


def _is_same(line: bytes) -> bool:
    """Whether a line of an answer is the same whoever writes its head, and whether the end of input has come then."""
    return not line.startswith((b"Date: ", b"Content-Type: ", b"Content-Length: ", b"Connection: "))
