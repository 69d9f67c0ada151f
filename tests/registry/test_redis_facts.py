"""Facts in Redis: it may lie, hang, die and come back, and is reached in every way that the settings know."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from backends.model import media_types
from backends.model.digest import Digest
from backends.model.facts import MAX_SEALED, ManifestFacts
from backends.registry.fact_key import KEY_BYTES, FactKey
from backends.registry.redis.access import open_redis
from backends.registry.redis.connections import Redis, Refused, Unreachable
from backends.registry.redis.facts import RedisFacts
from backends.registry.redis.settings import RedisSettings, RedisTls
from backends.storage import layout
from backends.storage.factory import open_folder
from backends.storage.storage import Storage
from tests.support.certificate import make_certificate
from tests.support.redis_server import RedisServer, redis_server

DIGEST = Digest.of(b"content")
FACTS = ManifestFacts(media_types.OCI_INDEX, 3_000_000)
SHORT = RedisSettings(("",), connect_seconds=0.2, read_seconds=0.1, write_seconds=0.1)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    with redis_server(tmp_path / "redis") as running:
        yield running


@pytest.fixture
async def storage(tmp_path: Path) -> AsyncIterator[Storage]:
    opened = open_folder(tmp_path / "root")
    yield opened
    await opened.close()


@contextlib.asynccontextmanager
async def facts_at(
    where: str, storage: Storage, errors: list[None] | None = None, **changes: Any
) -> AsyncIterator[RedisFacts]:
    settings = replace(SHORT, addresses=(where,), **changes)
    counted: list[None] = [] if errors is None else errors
    key = FactKey(storage, writes=True)
    facts = RedisFacts(open_redis(settings), key, where=where, on_error=lambda: counted.append(None))
    yield facts
    await facts.close()


async def seconds_of(work: Awaitable[Any]) -> float:
    began = time.monotonic()
    await work
    return time.monotonic() - began


# what it says


async def test_what_others_put_there_is_nothing(server: RedisServer, storage: Storage) -> None:
    errors: list[None] = []
    async with facts_at(server.address, storage, errors) as facts:
        await facts.put(DIGEST, FACTS)
        (name,) = server.names()
        for damage in (
            ("SET", name, "x"),
            ("SETRANGE", name, "5000000", "much"),
            ("SET", name, f"{'m' * 32}application/vnd.oci.image.manifest.v1+json 3000000"),
            ("LPUSH", name, "a list"),
            ("HSET", name, "digest", str(DIGEST)),
        ):
            server.ask("DEL", name)
            server.ask(*damage)
            errors.clear()
            assert await facts.find(DIGEST, ManifestFacts) is None, damage
            assert errors == [None]
            await facts.put(DIGEST, FACTS)  # as whoever asked in vain does
            assert await facts.find(DIGEST, ManifestFacts) == FACTS
        other = Digest.of(b"other")
        server.ask("COPY", name, name.replace(str(DIGEST), str(other)))
        assert await facts.find(other, ManifestFacts) is None
        assert await facts.probe() == ""


async def test_another_registry_s_facts_are_not_ours(server: RedisServer, storage: Storage, tmp_path: Path) -> None:
    elsewhere = open_folder(tmp_path / "elsewhere")
    async with facts_at(server.address, storage) as ours, facts_at(server.address, elsewhere) as theirs:
        await theirs.put(DIGEST, ManifestFacts(media_types.SCHEMA2, 1))
        await ours.put(DIGEST, FACTS)
        assert await ours.find(DIGEST, ManifestFacts) == FACTS
        assert await theirs.find(DIGEST, ManifestFacts) == ManifestFacts(media_types.SCHEMA2, 1)
        assert len(server.names()) == 2
    await elsewhere.close()


async def test_what_is_kept_there_expires(server: RedisServer, storage: Storage) -> None:
    async with facts_at(server.address, storage) as facts:
        await facts.put(DIGEST, FACTS)
        (name,) = server.names()
        assert 29 * 24 * 3600 < int(server.ask("TTL", name)) <= 30 * 24 * 3600
        assert int(server.ask("STRLEN", name)) <= MAX_SEALED


async def test_a_full_redis_refuses_and_nothing_fails(tmp_path: Path, storage: Storage) -> None:
    with redis_server(tmp_path / "redis", "--maxmemory", "1b", "--maxmemory-policy", "noeviction") as server:
        async with facts_at(server.address, storage) as facts:
            await facts.put(DIGEST, FACTS)
            assert await facts.find(DIGEST, ManifestFacts) is None
            assert "refuses" in await facts.probe()
            server.ask("CONFIG", "SET", "maxmemory", "0")
            assert await facts.probe() == ""
            await facts.put(DIGEST, FACTS)
            assert await facts.find(DIGEST, ManifestFacts) == FACTS


# how it is reached


async def finds(settings: RedisSettings, storage: Storage) -> bool:
    facts = RedisFacts(open_redis(settings), FactKey(storage, writes=True), where=settings.where)
    await facts.put(DIGEST, FACTS)
    found = await facts.find(DIGEST, ManifestFacts)
    wrong = await facts.probe()
    await facts.close()
    assert (found == FACTS) is (wrong == ""), wrong
    return found is not None


async def test_with_a_password_a_user_a_database_a_name_and_either_protocol(tmp_path: Path, storage: Storage) -> None:
    with redis_server(tmp_path / "redis", password="sesame") as server:
        server.ask("ACL", "SETUSER", "portside", "on", ">open", "~portside:*", "+getrange", "+set", "+select")
        there = replace(SHORT, addresses=(server.address,))
        for protocol in (2, 3):
            known = replace(there, password="sesame", protocol=protocol, client_name=f"registry-{protocol}", database=7)
            redis = open_redis(known)
            facts = RedisFacts(redis, FactKey(storage, writes=True), where="")
            await facts.put(DIGEST, FACTS)
            assert await facts.find(DIGEST, ManifestFacts) == FACTS
            (mine,) = [line for line in server.ask("CLIENT", "LIST").splitlines() if f"registry-{protocol}" in line]
            assert f"resp={protocol}" in mine
            assert "db=7" in mine
            await facts.close()
        assert len(server.ask("-n", "7", "KEYS", "*").split()) == 1
        assert await finds(replace(there, username="portside", password="open"), storage)
        assert await finds(replace(there, username="portside", password="open", identifies=False), storage)
        for wrong in ("", "guess"):
            assert not await finds(replace(there, password=wrong), storage)


async def test_by_tls_with_a_client_s_certificate_too(tmp_path: Path, storage: Storage) -> None:
    pair = make_certificate(tmp_path)
    other = tmp_path / "other"
    other.mkdir()
    stranger = make_certificate(other)
    tls = RedisTls(root_cas=(str(stranger.ca), str(pair.ca)))
    with redis_server(tmp_path / "redis", "--tls-auth-clients", "yes", tls=pair) as server:
        for host in ("127.0.0.1", "localhost"):
            there = replace(SHORT, addresses=(f"{host}:{server.port}",), connect_seconds=2.0)
            mutual = replace(tls, certificate=str(pair.chain), key=str(pair.key))
            assert await finds(replace(there, tls=mutual), storage)
            assert not await finds(replace(there, tls=tls), storage)  # Redis wants a certificate
            assert not await finds(replace(there, tls=replace(mutual, root_cas=(str(stranger.ca),))), storage)
            assert not await finds(replace(there, tls=replace(mutual, root_cas=())), storage)
            assert not await finds(there, storage)


def test_a_file_of_tls_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    for tls in (RedisTls(root_cas=(str(tmp_path / "missing"),)), RedisTls(certificate=str(tmp_path / "missing"))):
        with pytest.raises(OSError):
            open_redis(replace(SHORT, tls=tls))


async def test_by_a_socket_and_by_ipv6_names(server: RedisServer, storage: Storage) -> None:
    assert await finds(replace(SHORT, addresses=(str(server.socket),)), storage)
    assert await finds(replace(SHORT, addresses=(f"localhost:{server.port}",)), storage)
    assert not await finds(replace(SHORT, addresses=(f"[::1]:{server.port}",)), storage)  # it is only on 127.0.0.1


async def test_through_sentinels(tmp_path: Path, storage: Storage) -> None:
    with redis_server(tmp_path / "redis", password="sesame") as master:
        folder = tmp_path / "sentinel"
        folder.mkdir()
        config = folder / "sentinel.conf"
        config.write_text(
            f"sentinel monitor team {master.address.replace(':', ' ')} 1\nsentinel auth-pass team sesame\n"
        )
        with redis_server(folder, first=(str(config), "--sentinel"), password="watch") as sentinel:
            dead = "127.0.0.1:1"
            there = replace(
                SHORT,
                addresses=(dead, sentinel.address),
                master_name="team",
                password="sesame",
                sentinel_password="watch",
            )
            assert await finds(there, storage)
            assert not await finds(replace(there, master_name="nobody"), storage)
            assert not await finds(replace(there, sentinel_password="guess"), storage)
            assert not await finds(replace(there, addresses=(dead,)), storage)


def is_whole(node: RedisServer) -> bool:
    return "cluster_state:ok" in node.ask("CLUSTER", "INFO")


@pytest.mark.parametrize("transport", ["plain", "tls"])
async def test_in_a_cluster(tmp_path: Path, storage: Storage, transport: str) -> None:
    mode = ["--cluster-enabled", "yes", "--cluster-node-timeout", "500"]
    pair = make_certificate(tmp_path) if transport == "tls" else None
    if pair is not None:
        mode += ["--tls-cluster", "yes", "--tls-replication", "yes"]
    with contextlib.ExitStack() as stack:
        nodes = [
            stack.enter_context(redis_server(tmp_path / f"node{each}", *mode, password="sesame", tls=pair))
            for each in (0, 1)
        ]
        nodes[0].ask("CLUSTER", "ADDSLOTSRANGE", "0", "8191")
        nodes[1].ask("CLUSTER", "ADDSLOTSRANGE", "8192", "16383")
        nodes[0].ask("CLUSTER", "MEET", "127.0.0.1", str(nodes[1].port))
        for node in nodes:
            await until(partial(is_whole, node))
        there = replace(SHORT, addresses=tuple(each.address for each in nodes), password="sesame", connect_seconds=1.0)
        if pair is not None:
            there = replace(there, tls=RedisTls(root_cas=(str(pair.ca),)))
        facts = RedisFacts(open_redis(there), FactKey(storage, writes=True), where=there.where)
        digests = [Digest.of(str(number).encode()) for number in range(20)]
        for digest in digests:
            await facts.put(digest, FACTS)
        for digest in digests:
            assert await facts.find(digest, ManifestFacts) == FACTS
        assert all(node.names() for node in nodes)
        for node in nodes:
            node.kill()
        assert await facts.find(digests[0], ManifestFacts) is None
        assert "does not answer" in await facts.probe()
        await facts.close()
        assert not await finds(replace(there, password="guess"), storage)


# when it is not there


async def test_killed_and_brought_back_under_load(server: RedisServer, storage: Storage) -> None:
    errors: list[None] = []
    ended = False
    slowest = 0.0
    found = {True: 0, False: 0}

    async with facts_at(server.address, storage, errors) as facts:

        async def ask() -> None:
            nonlocal slowest
            while not ended:
                began = time.monotonic()
                fact = await facts.find(DIGEST, ManifestFacts)
                slowest = max(slowest, time.monotonic() - began)
                assert fact in {FACTS, None}
                found[fact is not None] += 1
                if fact is None:
                    await facts.put(DIGEST, FACTS)
                await asyncio.sleep(0.002)

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(ask()) for _ in range(20)]
            await asyncio.sleep(0.3)
            for _ in range(2):
                await asyncio.to_thread(server.kill)
                await asyncio.sleep(0.2)
                assert "does not answer" in await facts.probe()
                before = found[True]
                await asyncio.sleep(0.2)
                assert found[True] == before
                await asyncio.to_thread(server.start)
                assert await facts.probe() == ""
                async with asyncio.timeout(20):
                    while found[True] == before:  # noqa: ASYNC110 - what others count
                        await asyncio.sleep(0.01)
            ended = True
        assert all(each.exception() is None for each in tasks)
    assert slowest < 3
    assert 0 < len(errors) < 200  # what was in flight, and no more


async def test_one_that_hangs_costs_its_timeout_once(server: RedisServer, storage: Storage) -> None:
    async with facts_at(server.address, storage, connections=50) as facts:
        await facts.put(DIGEST, FACTS)
        server.freeze()
        first = await asyncio.gather(*(seconds_of(facts.find(DIGEST, ManifestFacts)) for _ in range(40)))
        assert max(first) < 3  # one after another they take four
        assert await seconds_of(asyncio.gather(*(facts.find(DIGEST, ManifestFacts) for _ in range(1000)))) < 2
        assert 0.05 < await seconds_of(facts.probe()) < 3
        assert (await facts.probe()).startswith(f"Redis at {server.address} does not answer: it ")
        server.thaw()
        assert await facts.probe() == ""
        assert await facts.find(DIGEST, ManifestFacts) == FACTS


async def test_an_answer_that_comes_too_late_is_never_taken_for_another_one(
    server: RedisServer, storage: Storage
) -> None:
    other = Digest.of(b"other")
    async with facts_at(server.address, storage) as facts:
        await facts.put(DIGEST, FACTS)
        await facts.put(other, ManifestFacts(media_types.SCHEMA2, 5))
        for _ in range(5):
            server.freeze()
            assert await facts.find(DIGEST, ManifestFacts) is None
            server.thaw()
            assert await facts.probe() == ""
            assert await facts.find(other, ManifestFacts) == ManifestFacts(media_types.SCHEMA2, 5)


async def test_a_caller_that_goes_away_leaves_no_answer_behind(server: RedisServer, storage: Storage) -> None:
    other = Digest.of(b"other")
    async with facts_at(server.address, storage) as facts:
        await facts.put(DIGEST, FACTS)
        await facts.put(other, ManifestFacts(media_types.SCHEMA2, 5))
        for _ in range(50):
            asking = asyncio.ensure_future(facts.find(DIGEST, ManifestFacts))
            for _ in range(random.randrange(6)):
                await asyncio.sleep(0)
            asking.cancel()
            await asyncio.wait([asking])
            assert await facts.find(other, ManifestFacts) == ManifestFacts(media_types.SCHEMA2, 5)


NOISE: dict[str, bytes] = {
    "another protocol": b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n",
    "a number that is none": b":abc\r\n",
    "an unknown type": b"\x16\x03\x01\x02\x00\r\n",
    "a text that never ends": b"$99999999999\r\n" + b"x" * 1000,
    "deeply nested": b"*1\r\n" * 50_000,
    "a list": b"*2\r\n$1\r\na\r\n$1\r\nb\r\n",
    "a long list": b"*2000000000\r\n",
    "an empty line": b"\r\n",
    "half a line": b"+OK",
    "no answer": b"",
    "a wrong value": b"$4\r\nhere\r\n" * 5,
    "bytes that are no text": b"-\xff\xfe\r\n",
}


@pytest.mark.parametrize("way", ["2", "3", "sentinel", "cluster"])
@pytest.mark.parametrize("noise", NOISE.values(), ids=NOISE)
async def test_noise_is_no_fact_and_no_failure(noise: bytes, way: str, storage: Storage) -> None:
    asked = 0

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        with contextlib.suppress(ConnectionError):
            while await reader.read(65536):
                asked += 1
                writer.write(noise)
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()[:2]
    where = f"{host}:{port}"
    settings = replace(SHORT, addresses=(where,))
    if way == "sentinel":
        settings = replace(settings, master_name="team")
    elif way == "cluster":
        settings = replace(settings, addresses=(where, where))
    else:
        settings = replace(settings, protocol=int(way), password="sesame")
    facts = RedisFacts(open_redis(settings), FactKey(storage, writes=True), where=where)
    async with server:
        for _ in range(2):
            assert await seconds_of(facts.find(DIGEST, ManifestFacts)) < 5
            assert await facts.find(DIGEST, ManifestFacts) is None
            await facts.put(DIGEST, FACTS)
        assert await facts.probe() != ""
        assert await facts.find(DIGEST, ManifestFacts) is None
        await facts.close()
    assert asked > 0


# connections


async def test_with_all_connections_busy_nobody_waits(server: RedisServer) -> None:
    redis = open_redis(replace(SHORT, addresses=(server.address,), connections=3, read_seconds=5.0))
    busy = [asyncio.ensure_future(redis.ask("BLPOP", "nothing", 4)) for _ in range(3)]
    await asyncio.sleep(0.2)
    assert await seconds_of(redis.ask("SET", "a", "b")) < 3
    assert server.ask("EXISTS", "a") == "0"
    await asyncio.gather(*busy)
    assert await redis.ask("SET", "a", "b") is not None
    await redis.close()


def connections(server: RedisServer) -> int:
    return server.ask("CLIENT", "LIST").count("name=ours")


async def test_idle_connections_are_few_and_end(server: RedisServer) -> None:
    settings = replace(
        SHORT,
        addresses=(server.address,),
        client_name="ours",
        connections=10,
        idle_connections=2,
        idle_seconds=0.3,
        read_seconds=1.0,
    )
    redis = open_redis(settings)
    await asyncio.gather(*(redis.ask("BLPOP", "nothing", "0.1") for _ in range(10)))
    await until(lambda: connections(server) == 2)
    await asyncio.sleep(0.4)
    await redis.ask("SET", "a", "b")
    await until(lambda: connections(server) == 1)
    await redis.close()
    await until(lambda: connections(server) == 0)


async def test_an_old_connection_is_replaced(server: RedisServer) -> None:
    redis = open_redis(replace(SHORT, addresses=(server.address,), lifetime_seconds=2.0))
    first = await redis.ask("CLIENT", "ID")
    assert await redis.ask("CLIENT", "ID") == first
    await asyncio.sleep(2.1)
    assert await redis.ask("CLIENT", "ID") != first
    await redis.close()


async def test_a_connection_that_redis_has_closed_is_made_anew(server: RedisServer) -> None:
    redis = open_redis(replace(SHORT, addresses=(server.address,)))
    for kind in ("kill", "restart"):
        await redis.ask("SET", "a", "b")
        if kind == "kill":
            server.ask("CLIENT", "KILL", "TYPE", "normal")
        else:
            server.kill()
            server.start()
        assert await redis.ask("SET", "a", "b") is not None
    await redis.close()


async def test_what_it_says_is_told_apart_from_that_it_does_not_answer(server: RedisServer) -> None:
    redis: Redis = open_redis(replace(SHORT, addresses=(server.address,)))
    with pytest.raises(Refused, match="wrong number"):
        await redis.ask("GETRANGE", "a")
    server.kill()
    with pytest.raises(Unreachable, match="refused"):
        await redis.ask("GET", "a")
    await redis.close()


async def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 45
    while not await asyncio.to_thread(holds):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)


# the key


async def test_processes_that_begin_together_have_one_key(tmp_path: Path) -> None:
    storages = [open_folder(tmp_path / "root") for _ in range(8)]
    keys = await asyncio.gather(*(FactKey(each, writes=True).get() for each in storages))
    assert len(set(keys)) == 1
    assert len(keys[0]) == KEY_BYTES
    assert await FactKey(storages[0], writes=False).get() == keys[0]
    for each in storages:
        await each.close()


async def test_where_nothing_may_be_written_a_process_has_its_own(storage: Storage) -> None:
    one, other = FactKey(storage, writes=False), FactKey(storage, writes=False)
    assert await one.get() == await one.get() != await other.get()
    assert "docker" not in await storage.driver.list("/") or layout.FACTS_KEY.rpartition("/")[
        2
    ] not in await storage.driver.list(layout.INDEX)


async def test_a_damaged_key_is_made_anew(storage: Storage) -> None:
    await storage.driver.write(layout.FACTS_KEY, b"short")
    key = await FactKey(storage, writes=True).get()
    assert len(key) == KEY_BYTES
    assert await storage.driver.read(layout.FACTS_KEY) == key
