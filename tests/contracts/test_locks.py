"""One suite that all locks pass: one holder at a time, released whatever happens, and no wait that nobody wants."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from backends.storage.file_locks import FileLocks
from backends.storage.locks import LockHeld, Locks, MemoryLocks

Reopen = Callable[[], Locks]

NAMES = ["", "a", "team/app 0a", "x" * 100_000, "\udcff raw bytes of a path"]


@pytest.fixture(params=["files", "files, by threads", "memory"])
async def reopen(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Reopen]:
    """Each call opens the same locks, as another process would (memory is one process's)."""
    opened: list[Locks] = []
    if request.param == "memory":
        opened.append(MemoryLocks())

    def again() -> Locks:
        if request.param != "memory":
            locks = FileLocks(tmp_path)
            if request.param == "files, by threads":  # as on overlayfs and networks, where opening a file may wait
                locks._is_quick = False
            opened.append(locks)
        return opened[-1]

    yield again
    for locks in opened:
        await locks.close()


async def is_free(locks: Locks, name: str = "a") -> bool:
    try:
        async with locks.hold(name):
            return True
    except LockHeld:
        return False


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
async def test_a_lock_has_one_holder_and_any_name(reopen: Reopen, name: str) -> None:
    first, second = reopen(), reopen()
    async with first.hold(name):
        assert not await is_free(first, name)
        assert not await is_free(second, name)
        assert await is_free(second, name + "?")
    assert await is_free(second, name)
    assert await is_free(first, name)


async def test_of_many_that_want_it_at_once_one_has_it(reopen: Reopen) -> None:
    everyone = [reopen() for _ in range(4)] * 3
    inside = most = entered = 0

    async def enter(locks: Locks) -> None:
        nonlocal inside, most, entered
        for _ in range(5):
            async with locks.hold("a", patience=30):
                inside += 1
                entered += 1
                most = max(most, inside)
                await asyncio.sleep(0.0005)
                inside -= 1

    await asyncio.gather(*(enter(locks) for locks in everyone))
    assert (most, entered) == (1, 60)


async def test_locks_of_other_names_do_not_wait_for_one_another(reopen: Reopen) -> None:
    locks = [reopen(), reopen()]
    async with AsyncExitStack() as stack:
        for number in range(200):
            await stack.enter_async_context(locks[number % 2].hold(f"name {number}"))
        for number in range(0, 200, 17):
            assert not await is_free(locks[0], f"name {number}")
    for number in range(200):
        assert await is_free(locks[number % 2], f"name {number}")


async def test_tasks_of_one_process_come_in_the_order_in_which_they_asked(reopen: Reopen) -> None:
    locks = reopen()
    order: list[int] = []

    async def enter(number: int) -> None:
        async with locks.hold("a", patience=30):
            order.append(number)
            await asyncio.sleep(0)

    async with locks.hold("a"):
        tasks = []
        for number in range(10):
            tasks.append(asyncio.create_task(enter(number)))
            await asyncio.sleep(0)
    await asyncio.gather(*tasks)
    assert order == list(range(10))


@pytest.mark.parametrize("patience", [0.0, 0.05, 0.4])
async def test_patience_ends_when_it_should(reopen: Reopen, patience: float) -> None:
    first, second = reopen(), reopen()
    async with first.hold("a"):
        for locks in (first, second):
            before = time.monotonic()
            with pytest.raises(LockHeld):
                async with locks.hold("a", patience=patience):
                    pytest.fail("two hold one lock")
            assert patience <= time.monotonic() - before < patience + 5
    assert await is_free(second)


async def test_a_failure_inside_releases(reopen: Reopen) -> None:
    locks = reopen()
    with pytest.raises(ValueError, match="inside"):
        async with locks.hold("a"):
            raise ValueError("inside")
    assert await is_free(reopen())


async def test_who_is_cancelled_waits_no_longer_and_takes_nothing_along(reopen: Reopen) -> None:
    """A client that has gone: its place in the queue is the next one's at once."""
    first, second = reopen(), reopen()

    async def wait(locks: Locks) -> None:
        async with locks.hold("a", patience=300):
            pytest.fail("two hold one lock")

    async with first.hold("a"):
        waiting = [asyncio.create_task(wait(locks)) for locks in (first, second, second)]
        await asyncio.sleep(0.4)  # long enough for the longest pause
        before = time.monotonic()
        for task in waiting:
            task.cancel()
        results = await asyncio.gather(*waiting, return_exceptions=True)
        assert time.monotonic() - before < 5
        assert all(isinstance(result, asyncio.CancelledError) for result in results)
    assert await is_free(second)


async def test_cancelled_anywhere_nobody_is_inside_with_another(reopen: Reopen) -> None:
    everyone = [reopen() for _ in range(3)]
    generator = random.Random(7)
    inside = 0

    async def enter(locks: Locks) -> None:
        nonlocal inside
        async with locks.hold("a", patience=30):
            inside += 1
            try:
                assert inside == 1
                await asyncio.sleep(0.001)
            finally:
                inside -= 1

    for _ in range(60):
        tasks = [asyncio.create_task(enter(locks)) for locks in everyone * 2]
        await asyncio.sleep(generator.uniform(0, 0.004))
        for task in tasks[::2]:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(result is None or isinstance(result, asyncio.CancelledError) for result in results), results
    for locks in everyone:
        assert await is_free(locks)


# shared


async def test_those_who_share_are_inside_together_and_who_wants_it_alone_waits_for_all_of_them(
    reopen: Reopen,
) -> None:
    first, second = reopen(), reopen()
    async with first.hold("a", shared=True), second.hold("a", shared=True), first.hold("a", shared=True):
        for locks in (first, second):
            assert not await is_free(locks)
    for locks in (first, second):
        assert await is_free(locks)


async def test_who_has_it_alone_keeps_out_those_who_would_share(reopen: Reopen) -> None:
    first, second = reopen(), reopen()
    async with first.hold("a"):
        for locks in (first, second):
            with pytest.raises(LockHeld):
                async with locks.hold("a", shared=True):
                    pytest.fail("it is held alone")
    async with second.hold("a", shared=True):
        pass


async def test_within_a_process_nobody_overtakes_who_wants_it_alone(reopen: Reopen) -> None:
    locks = reopen()
    order: list[str] = []

    async def share(name: str) -> None:
        async with locks.hold("a", patience=30, shared=True):
            order.append(name)

    async def alone() -> None:
        async with locks.hold("a", patience=30):
            order.append("alone")

    async with locks.hold("a", shared=True):
        waiting = asyncio.create_task(alone())
        await asyncio.sleep(0.05)
        late = asyncio.create_task(share("late"))
        await asyncio.sleep(0.05)
        assert order == []
    await asyncio.gather(waiting, late)
    assert order == ["alone", "late"]


async def test_who_gives_up_waiting_for_those_who_share_leaves_the_lock_to_others(reopen: Reopen) -> None:
    first, second = reopen(), reopen()
    async with first.hold("a", shared=True):
        for locks in (first, second):
            with pytest.raises(LockHeld):
                async with locks.hold("a", patience=0.05):
                    pytest.fail("it is shared")
            task = asyncio.create_task(_hold(locks))
            await asyncio.sleep(0.02)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        async with first.hold("a", patience=5, shared=True), second.hold("a", patience=5, shared=True):
            pass
    assert await is_free(second)


async def test_sharing_and_alone_in_any_order_never_meet(reopen: Reopen) -> None:
    everyone = [reopen() for _ in range(3)] * 4
    sharing = alone = entered = 0
    draw = random.Random(3)

    async def enter(locks: Locks) -> None:
        nonlocal sharing, alone, entered
        for _ in range(8):
            if draw.random() < 0.7:
                async with locks.hold("a", patience=60, shared=True):
                    sharing += 1
                    assert not alone
                    await asyncio.sleep(0.001)
                    sharing -= 1
            else:
                async with locks.hold("a", patience=60):
                    alone += 1
                    assert (alone, sharing) == (1, 0)
                    await asyncio.sleep(0.001)
                    alone -= 1
            entered += 1

    await asyncio.gather(*(enter(locks) for locks in everyone))
    assert entered == 96


async def _hold(locks: Locks) -> None:
    async with locks.hold("a", patience=300):
        pytest.fail("it is shared")
