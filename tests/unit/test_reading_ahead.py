"""The layers of an image are read in their order, the next one meanwhile."""

from __future__ import annotations

import asyncio
from functools import partial

import pytest

from backends.model.digest import Digest
from backends.model.layers import Compression, LayerFacts, StoredLayer
from backends.registry.derived.reading_ahead import AHEAD, Tell, read_ahead


def layer(number: int) -> StoredLayer:
    digest = Digest.of(b"%d" % number)
    return StoredLayer(digest, 1, LayerFacts(Compression.NONE, digest, 1, is_empty=False))


async def test_two_are_read_at_once_and_told_of_in_their_order() -> None:
    said: list[str] = []
    active = most = 0

    async def read(number: int, tell: Tell) -> StoredLayer:
        nonlocal active, most
        active += 1
        most = max(most, active)
        for part in "ab":
            tell(f"{number}{part}")
            await asyncio.sleep(0.01)
        active -= 1
        return layer(number)

    reads = [partial(read, number) for number in range(5)]
    found = await read_ahead(reads, begin=said.append, tell=said.append)
    assert found == [layer(number) for number in range(5)]
    assert most == AHEAD
    told_of = [int(text.rpartition(" ")[0].split()[1]) - 1 if " " in text else int(text[0]) for text in said]
    assert told_of == sorted(told_of)
    assert await read_ahead([], begin=said.append, tell=said.append) == []


@pytest.mark.parametrize("failing", [0, 1, 3])
async def test_the_first_that_fails_ends_it_and_leaves_nothing_running(failing: int) -> None:
    async def read(number: int, _tell: Tell) -> StoredLayer:
        await asyncio.sleep(0)
        if number >= failing:
            raise ValueError(str(number))
        return layer(number)

    with pytest.raises(ValueError, match=f"^{failing}$"):
        await read_ahead([partial(read, number) for number in range(5)], begin=print, tell=print)
    assert len(asyncio.all_tasks()) == 1


async def test_who_is_cancelled_waits_for_nothing_more() -> None:
    async def read(_tell: Tell) -> StoredLayer:
        await asyncio.sleep(60)
        return layer(0)

    reading = asyncio.create_task(read_ahead([read] * 3, begin=print, tell=print))
    await asyncio.sleep(0.01)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert len(asyncio.all_tasks()) == 1
