"""What belongs to one connection, or is not believed, does not reach the other side."""

from __future__ import annotations

from proxy.routing import Backend
from tests.support.proxies import running_proxy
from tests.support.upstreams import Head, Peer, Registry

SENT = (
    "Connection: keep-alive, X-Secret",
    "Keep-Alive: timeout=5",
    "X-Secret: 1",
    "Proxy-Authorization: Basic eA==",
    "TE: trailers",
    "Upgrade: h2c",
    "X-Forwarded-For: 10.9.9.9",
    "X-Real-IP: 10.9.9.9",
    "X-Forwarded-Proto: https",
    "X-Forwarded-Host: evil.example",
    "Forwarded: for=10.9.9.9",
)


async def _seen(registry: Registry, *, trusted: bool) -> tuple[Head, str]:
    heads: list[Head] = []

    async def converse(peer: Peer) -> None:
        heads.append(await peer.read_head())
        await peer.answer("200 OK", "Connection: X-Inner, close", "X-Inner: 1", "Keep-Alive: max=1", "X-Outer: 2")

    async with (
        registry(converse) as upstream,
        running_proxy({Backend.V2: upstream.address}, trusted=trusted) as proxy,
    ):
        answer = await proxy.ask("GET", "/v2/", *SENT, "Accept: a/b", "Accept: c/d", "Cookie: a=b")
        assert answer.head.value("X-Inner") is None
        assert answer.head.value("Keep-Alive") is None
        assert answer.head.value("X-Outer") == "2"
        return heads[0], proxy.authority


async def test_a_stranger_passes_nothing_that_is_not_the_registrys(registry: Registry) -> None:
    seen, authority = await _seen(registry, trusted=False)
    assert seen.headers == (
        ("Host", authority),
        ("Accept", "a/b"),
        ("Accept", "c/d"),
        ("Cookie", "a=b"),
        ("User-Agent", seen.value("User-Agent")),
        ("X-Real-IP", "127.0.0.1"),
        ("X-Forwarded-For", "127.0.0.1"),
        ("X-Forwarded-Proto", "http"),
    )


async def test_a_trusted_peer_tells_whom_it_forwards_for(registry: Registry) -> None:
    seen, _ = await _seen(registry, trusted=True)
    assert seen.headers[-3:] == (
        ("X-Real-IP", "10.9.9.9"),
        ("X-Forwarded-For", "10.9.9.9, 127.0.0.1"),
        ("X-Forwarded-Proto", "https"),
    )


async def test_a_client_without_an_agent_gets_none_invented(registry: Registry) -> None:
    heads: list[Head] = []

    async def converse(peer: Peer) -> None:
        heads.append(head := await peer.read_head())
        await peer.read_body(head)
        await peer.answer("200 OK")

    async with registry(converse) as upstream, running_proxy({Backend.V2: upstream.address}) as proxy:
        await proxy.ask("GET", "/v2/", agent=None)
        await proxy.ask("POST", "/v2/a/blobs/uploads/", "Content-Type:", body=b"x", agent=None)
        await proxy.ask("POST", "/v2/a/blobs/uploads/", body=b"x", agent=None)
    for head in heads:
        for name in ("User-Agent", "Accept", "Accept-Encoding"):
            assert head.value(name) is None
    # Docker 1.9 to 1.13 send an empty Content-Type; an absent one stays absent.
    assert [head.value("Content-Type") for head in heads] == [None, "", None]
