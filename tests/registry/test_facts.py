"""What every place for facts promises: memory, Redis, and memory in front of Redis."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Self

import pytest

from backends.model import media_types
from backends.model.digest import Digest
from backends.model.facts import ManifestFacts
from backends.registry.fact_key import FactKey
from backends.registry.facts import CountedFacts, Facts, FactsInMemory, TieredFacts
from backends.registry.redis.access import open_redis
from backends.registry.redis.facts import RedisFacts
from backends.registry.redis.settings import RedisSettings
from backends.storage.factory import open_folder
from tests.support.redis_server import RedisServer, redis_server

ONE, OTHER = Digest.of(b"one"), Digest.of(b"other", "sha512")
FACTS = ManifestFacts(media_types.OCI_INDEX, 3_000_000)

Open = Callable[[], Facts]


@dataclass(frozen=True, slots=True)
class LayerFacts:
    """A kind of fact that comes later: what is in a compressed layer."""

    KIND: ClassVar[str] = "layer"
    diff_id: str

    def encode(self) -> bytes:
        return self.diff_id.encode()

    @classmethod
    def decode(cls, encoded: bytes) -> Self:
        return cls(encoded.decode())


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    with redis_server(tmp_path / "redis") as running:
        yield running


@contextmanager
def redis_facts(server: RedisServer, root: Path) -> Iterator[Callable[[], RedisFacts]]:
    """Makes facts in Redis, each time as another process of the registry in `root` has them."""
    opened = []

    def make() -> RedisFacts:
        storage = open_folder(root)
        opened.append(storage)
        redis = open_redis(RedisSettings((server.address,)))
        return RedisFacts(redis, FactKey(storage, writes=True), where=server.address)

    yield make


@pytest.fixture(params=["memory", "redis", "tiered"])
async def open_facts(request: pytest.FixtureRequest, tmp_path: Path, server: RedisServer) -> AsyncIterator[Open]:
    """Each call opens the same place; memory is one process's."""
    memory = FactsInMemory()
    opened: list[RedisFacts] = []
    with redis_facts(server, tmp_path / "root") as make:

        def again() -> Facts:
            if request.param == "memory":
                return memory
            opened.append(make())
            return opened[-1] if request.param == "redis" else TieredFacts(FactsInMemory(), opened[-1])

        yield again
        for each in opened:
            await each.close()


async def test_what_was_put_is_found_by_every_process(open_facts: Open) -> None:
    one, other = open_facts(), open_facts()
    assert await one.find(ONE, ManifestFacts) is None
    await one.put(ONE, FACTS)
    for facts in (one, other, open_facts()):
        for _ in range(2):
            assert await facts.find(ONE, ManifestFacts) == FACTS
    assert await one.find(OTHER, ManifestFacts) is None
    await other.put(OTHER, ManifestFacts(media_types.SCHEMA2, 70_000))
    assert await one.find(OTHER, ManifestFacts) == ManifestFacts(media_types.SCHEMA2, 70_000)


async def test_kinds_are_kept_apart(open_facts: Open) -> None:
    facts = open_facts()
    await facts.put(ONE, FACTS)
    assert await facts.find(ONE, LayerFacts) is None
    await facts.put(ONE, LayerFacts(str(OTHER)))
    assert await facts.find(ONE, LayerFacts) == LayerFacts(str(OTHER))
    assert await facts.find(ONE, ManifestFacts) == FACTS


async def test_what_is_recalled_is_what_is_in_memory(open_facts: Open, request: pytest.FixtureRequest) -> None:
    writing, reading = open_facts(), open_facts()
    await writing.put(ONE, FACTS)
    shared = writing is reading
    assert reading.recall(ONE, ManifestFacts) == (FACTS if shared else None)
    assert await reading.find(ONE, ManifestFacts) == FACTS
    in_memory = not isinstance(reading, RedisFacts)
    assert reading.recall(ONE, ManifestFacts) == (FACTS if in_memory else None)
    assert reading.recall(OTHER, ManifestFacts) is None


async def test_memory_has_a_bound() -> None:
    facts = FactsInMemory(entries=100)
    digests = [Digest.of(str(number).encode()) for number in range(1000)]
    for digest in digests:
        await facts.put(digest, FACTS)
    assert len(facts._known) + len(facts._known._old) <= 100
    assert all(facts.recall(digest, ManifestFacts) == FACTS for digest in digests[-50:])


async def test_each_question_counts_once() -> None:
    counted: list[str] = []
    facts = CountedFacts(FactsInMemory(), counted.append)
    for digest in (ONE, OTHER):
        if facts.recall(digest, ManifestFacts) is None:
            assert await facts.find(digest, ManifestFacts) is None
    await facts.put(ONE, FACTS)
    assert facts.recall(ONE, ManifestFacts) == FACTS
    assert await facts.find(ONE, ManifestFacts) == FACTS
    assert counted == ["Request", "Miss"] * 2 + ["Request", "Hit"] * 2
