"""Answers that are given again: to whom, until when, and what becomes of the connections meanwhile."""

from __future__ import annotations

import asyncio
import gc
import signal
import time
import tracemalloc
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.http.serving.test_kept_answers import fill, tag, tag_link
from tests.support.same_heads import RACY_SECONDS, Wire, get, running_site
from tests.support.two_servers import PEER, MemoryTransport, Side

HEAD = tag("same")


@pytest.fixture
async def side(tmp_path: Path) -> AsyncIterator[Side]:
    fill(tmp_path, "same")
    await asyncio.sleep(RACY_SECONDS)
    made = Side(tmp_path, kept_bytes=1 << 20)
    await made.learn([HEAD])
    yield made
    await made.close()


async def parsed(side: Side) -> MemoryTransport:
    """Opens a connection, and has a request parsed there."""
    transport = side.open()
    transport.send(get("/v2/", "X-First: 1"))
    await side.settle(transport)
    side.played(transport)
    return transport


async def test_a_connection_that_is_in_use_is_kept_alive(side: Side) -> None:
    transport = await parsed(side)
    connection = transport.connection
    connection._next_keepalive_close_time = before = connection._loop.time()
    again = side.again
    transport.send(HEAD)
    side.played(transport)
    assert side.again == again + 1
    assert connection._next_keepalive_close_time > before + connection.keepalive_timeout / 2
    transport.abort()


async def test_an_idle_connection_that_was_answered_again_is_closed_at_once_when_the_server_ends(side: Side) -> None:
    transport = await parsed(side)
    transport.send(HEAD)
    assert transport.connection not in side.server._fresh
    began = time.monotonic()
    await side.server.drain(20, arriving=lambda: False)
    assert time.monotonic() - began < 5
    assert transport.fate == "closed"


async def test_nothing_is_given_again_once_the_end_has_begun(side: Side) -> None:
    transport = side.open()
    await side.settle(transport)
    draining = asyncio.create_task(side.server.drain(20, arriving=lambda: False))
    await asyncio.sleep(0)
    transport.send(HEAD)  # a new one may still send one request
    await draining
    assert b"\r\nConnection: close\r\n" in transport.sent
    assert side.server.kept_answers(PEER[0], is_secure=False) is None


async def test_an_answer_that_is_not_taken_is_not_taken_for_delivered(side: Side) -> None:
    transport = await parsed(side)
    transport.connection.is_delivered = True
    transport.send(HEAD)
    assert not transport.connection.is_delivered
    assert transport.connection.is_idle()
    transport.abort()


async def test_other_handlers_answer_the_next_request_themselves(side: Side) -> None:
    transport = await parsed(side)
    before = side.again
    transport.send(HEAD)
    side.played(transport)
    side.server.answer_by(side.server._handler, refusal=side.server._refusal)
    transport.send(HEAD)
    await side.settle(transport)
    side.played(transport)
    assert side.again == before + 1
    await side.learn([HEAD])
    before = side.again
    transport.send(HEAD)
    side.played(transport)
    assert side.again == before + 1
    transport.abort()


async def test_what_is_kept_is_bounded(side: Side) -> None:
    heads = [tag("same", f"X-Number: {number}", f"X-Long: {'x' * 900}") for number in range(1500)]
    transport = await parsed(side)
    for head in heads:
        for _ in range(4):
            transport.send(head)
            await side.settle(transport)
    kept = side.server.kept_answers(PEER[0], is_secure=False)
    assert kept is not None
    assert kept.find(heads[-1]) is not None
    assert kept.find(heads[0]) is None
    assert kept.size <= 1 << 20
    transport.abort()


async def test_what_is_kept_takes_no_more_than_it_is_counted_for(side: Side) -> None:
    transport = await parsed(side)
    tracemalloc.start()
    try:
        for number in range(200):
            head = tag("same", f"X-Number: {number}")
            for _ in range(4):
                transport.send(head)
                await side.settle(transport)
        kept = side.server.kept_answers(PEER[0], is_secure=False)
        assert kept is not None
        counted = kept.size
        gc.collect()
        before = tracemalloc.get_traced_memory()[0]
        side.server.forget_answers()
        gc.collect()
        assert 200_000 < before - tracemalloc.get_traced_memory()[0] <= counted
    finally:
        tracemalloc.stop()
    transport.abort()


def test_what_a_trusted_peer_says_of_its_client_is_in_the_line(tmp_path: Path) -> None:
    fill(tmp_path / "data", "same")
    head = tag("same", "X-Forwarded-For: 203.0.113.5", "User-Agent: told/1.0")
    with running_site(tmp_path, role="serve", trustedproxies=["127.0.0.9/32"]) as site:
        time.sleep(RACY_SECONDS)
        with site.connection(source="127.0.0.9") as wire:
            site.learn(wire, head)
        with site.connection(source="127.0.0.1") as other:
            site.learn(other, head)
        lines = site.lines("told/1.0", wire, other)
    addresses = [line.split(" ")[0] for line in lines]
    assert addresses == sorted(addresses, reverse=True)
    assert set(addresses) == {"203.0.113.5", "127.0.0.1"}


def test_a_list_of_trusted_peers_that_is_reloaded_holds_for_the_next_request(tmp_path: Path) -> None:
    fill(tmp_path / "data", "same")
    head = tag("same", "X-Forwarded-For: 203.0.113.5", "User-Agent: told/2.0")
    with running_site(tmp_path, role="serve", trustedproxies=["127.0.0.9/32"]) as site:
        time.sleep(RACY_SECONDS)
        with site.connection(source="127.0.0.9") as wire:
            site.learn(wire, head)
            config = tmp_path / "config.yml"
            config.write_text(config.read_text().replace("127.0.0.9/32", "127.0.0.8/32"))
            site.running.process.send_signal(signal.SIGHUP)
            site.running.wait_for_line(site.running.err, "settings and certificates were reloaded")
            deadline = time.monotonic() + 30
            fresh = get("/v2/", "X-Forwarded-For: 203.0.113.5", "User-Agent: told/2.0")
            while not (wire.ask(fresh), site.lines("told/2.0", wire)[-1])[1].startswith("127.0.0.9 "):
                assert time.monotonic() < deadline
            wire.ask(head)
            lines = site.lines("told/2.0", wire)
    assert lines[0].startswith("203.0.113.5 ")
    assert lines[-1].startswith("127.0.0.9 ")
    assert "/v2/same/manifests/latest" in lines[-1]


def send_for_ever(wire: Wire) -> None:
    while True:
        wire.socket.sendall(HEAD)


def test_a_client_that_takes_nothing_is_disconnected_as_ever(tmp_path: Path) -> None:
    fill(tmp_path / "data", "same")
    with running_site(tmp_path, sendtimeout="2s") as site:
        time.sleep(RACY_SECONDS)
        with site.connection() as wire:
            site.learn(wire, HEAD)
            wire.socket.settimeout(30)
            with pytest.raises(OSError):  # a reset, or a pipe without a reader
                send_for_ever(wire)
        site.running.wait_for_line(site.running.err, "the client received nothing of its answer for 2 seconds")


def test_a_registry_gives_answers_again_to_a_proxy_and_names_its_clients(tmp_path: Path) -> None:
    fill(tmp_path / "registry/data", "same")
    (tmp_path / "proxy").mkdir()
    head = tag("same", "User-Agent: docker/24.0.7 go/go1.20.10")
    with running_site(tmp_path / "registry", trustedproxies=["127.0.0.1/32"]) as registry:
        time.sleep(RACY_SECONDS)
        upstream = {"upstream": f"http://127.0.0.1:{registry.port}"}
        with (
            running_site(tmp_path / "proxy", role="proxy", v2=upstream) as proxy,
            proxy.connection(source="127.0.0.5") as wire,
            proxy.connection(source="127.0.0.6") as other,
        ):
            first = registry.learn(wire, head)
            assert registry.learn(other, head) == first
            assert proxy.again() == 0
            tag_link(registry.data, "same").unlink()
            assert wire.ask(head).status == 404
        lines = registry.lines("docker/24.0.7", wire, other)
    addresses = [line.split(" ")[0] for line in lines]
    assert addresses[:-1] == sorted(addresses[:-1])
    assert addresses[-1] == "127.0.0.5"
    assert set(addresses) == {"127.0.0.5", "127.0.0.6"}
