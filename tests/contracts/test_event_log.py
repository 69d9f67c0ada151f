"""One suite that both logs of events pass, the one on disk with several openings of the same folder."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from backends.notify.file_log import FileLog
from backends.notify.log import EventLog, Place, Queue, SenderState
from backends.notify.memory_log import MemoryLog
from backends.notify.settings import EndpointSettings, NotifySettings

Reopen = Callable[[], EventLog]

A, B = "a-key", "b-key"
SETTINGS = NotifySettings(
    endpoints=tuple(EndpointSettings(key, "http://127.0.0.1:1/", key=key) for key in (A, B)),
    disk_bytes=64 * 1024,
    segment_bytes=4 * 1024,
)


@pytest.fixture(params=["files", "memory"])
async def reopen(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Reopen]:
    """Each call opens the same log, as another process would; memory is one process's."""
    opened: list[EventLog] = []

    def again() -> EventLog:
        if request.param == "memory":
            if not opened:
                opened.append(MemoryLog(SETTINGS))
            return opened[0]
        opened.append(FileLog(tmp_path, SETTINGS))
        return opened[-1]

    yield again
    for log in opened:
        await log.close()


def event(number: int, size: int = 20) -> bytes:
    return b'{"id":%d,"more":"%s"}' % (number, b"x" * size)


async def queue_of(log: EventLog, key: str) -> Queue:
    queue = await log.open_queue(key)
    assert queue is not None
    return queue


async def read_all(queue: Queue) -> list[bytes]:
    """Reads until nothing more comes, and takes it all."""
    found: list[bytes] = []
    place = queue.place
    while (batch := await queue.read()).last != place.sequence:
        found += [each.content for each in batch.events]
        place = Place(
            batch.last,
            place.dropped_events + batch.dropped_events + sum(each.dropped_events for each in batch.events),
            place.dropped_pulls + batch.dropped_pulls + sum(each.dropped_pulls for each in batch.events),
        )
    await queue.advance(place)
    return found


async def test_what_was_appended_is_read_in_order_by_every_endpoint(reopen: Reopen) -> None:
    log = reopen()
    await log.prepare()
    await log.append([event(1), event(2)])
    await log.append([event(3)])
    for key in (A, B):
        queue = await queue_of(log, key)
        assert await read_all(queue) == [event(1), event(2), event(3)]
        await queue.close()


async def test_an_endpoint_goes_on_where_it_was(reopen: Reopen) -> None:
    log = reopen()
    await log.prepare()
    await log.append([event(number) for number in range(5)])
    queue = await queue_of(log, A)
    batch = await queue.read()
    await queue.advance(Place(batch.events[1].sequence))
    await queue.close()
    other = reopen()
    await other.append([event(5)])
    queue = await queue_of(other, A)
    assert await read_all(queue) == [event(number) for number in range(2, 6)]
    await queue.close()


async def test_what_is_appended_at_the_same_time_is_all_there(reopen: Reopen) -> None:
    logs = [reopen(), reopen()]
    await asyncio.gather(*(log.prepare() for log in logs))
    queue = await queue_of(logs[0], A)
    await asyncio.gather(*(logs[number % 2].append([event(number), event(-number)]) for number in range(150)))
    found = await read_all(queue)
    assert sorted(found) == sorted(event(sign * number) for number in range(150) for sign in (1, -1))
    for number in range(1, 150):
        assert found[found.index(event(number)) + 1] == event(-number), "what is appended at once stays together"
    await queue.close()


async def test_an_endpoint_has_one_process_at_a_time(reopen: Reopen) -> None:
    first, second = reopen(), reopen()
    if first is second:
        return  # memory is one process's
    queue = await queue_of(first, A)
    assert await second.open_queue(A) is None
    other = await queue_of(second, B)
    await queue.close()
    taken = await queue_of(second, A)
    for each in (other, taken):
        await each.close()


async def test_what_is_noted_comes_soon_and_in_order(reopen: Reopen) -> None:
    log = reopen()
    await log.prepare()
    queue = await queue_of(log, A)
    log.note(event(1))
    await log.append([event(2)])
    log.note(event(3))
    found: list[bytes] = []
    async with asyncio.timeout(10):
        while len(found) < 3:
            found += await read_all(queue)
            await queue.wait(0.1)
    assert found == [event(1), event(2), event(3)]
    await queue.close()


async def test_what_was_noted_is_written_at_the_end(reopen: Reopen) -> None:
    log = reopen()
    await log.prepare()
    log.note(event(1))
    await log.close()
    again = reopen()
    queue = await queue_of(again, A)
    assert await read_all(queue) == [event(1)]
    await queue.close()


async def test_a_queue_wakes_up_for_events_of_its_own_process_and_of_others(reopen: Reopen) -> None:
    mine, other = reopen(), reopen()
    await mine.prepare()
    queue = await queue_of(mine, A)
    for log in (mine, other):
        assert await read_all(queue) == []
        waiting = asyncio.create_task(queue.wait(10))
        await asyncio.sleep(0.01)
        await log.append([event(1)])
        async with asyncio.timeout(5):
            await waiting
        assert await read_all(queue) == [event(1)]
    await queue.close()


async def test_the_wait_for_events_ends(reopen: Reopen) -> None:
    log = reopen()
    await log.prepare()
    queue = await queue_of(log, A)
    await read_all(queue)
    async with asyncio.timeout(5):
        await queue.wait(0.3)
    await queue.close()


async def test_reports_say_how_long_queues_are(reopen: Reopen) -> None:
    log = reopen()
    await log.prepare()
    await log.append([event(number) for number in range(10)])
    queue = await queue_of(log, A)
    batch = await queue.read()
    await queue.advance(Place(batch.events[3].sequence))
    state = SenderState("a", "http://x/", failures=2, failing_since=12.5, error="why")
    await queue.tell(state)
    reports = {report.key: report for report in await reopen().report()}
    assert (reports[A].pending, reports[A].state) == (6, state)
    assert (reports[B].pending, reports[B].state) == (10, SenderState())
    assert reports[B].losing == 0
    assert queue.state == SenderState()
    await queue.close()
    after = await queue_of(reopen(), A)
    assert after.state == state, "whoever sends next goes on from there"
    await after.close()


async def test_at_the_bound_the_oldest_pulls_go_first_and_then_the_oldest_events(reopen: Reopen) -> None:
    log = reopen()
    await log.prepare()
    tending = asyncio.create_task(log.watch())
    count = 0

    async def fill(times: int) -> None:
        nonlocal count
        for _ in range(times):
            log.note(event(-count, 500))
            await log.append([event(count, 500)])
            count += 1
            await asyncio.sleep(0)
        await asyncio.sleep(0.3)
        if isinstance(log, FileLog):
            await log.tend()

    await fill(70)  # 70 kB of pulls and events, the half of it pulls
    queue = await queue_of(log, A)
    found = await read_all(queue)
    assert [each for each in found if not each.startswith(b'{"id":-')] == [event(number, 500) for number in range(70)]
    lost = 70 - sum(each.startswith(b'{"id":-') for each in found[2:])
    assert lost > 10
    assert queue.place.dropped_events == 0
    assert queue.place.dropped_pulls > 10
    await fill(400)
    report = next(report for report in await log.report() if report.key == B)
    assert report.losing > 100
    other = await queue_of(log, B)
    found = await read_all(other)
    assert found[-1] == event(count - 1, 500)
    numbers = [int(each[6:].partition(b",")[0]) for each in found if not each.startswith(b'{"id":-')]
    assert numbers == list(range(numbers[0], count)), "the oldest are gone, and only they"
    assert other.place.dropped_events + other.place.dropped_pulls + len(found) == 2 * count
    assert sum(map(len, found)) < SETTINGS.disk_bytes + 2 * SETTINGS.segment_bytes
    tending.cancel()
    await asyncio.wait([tending])
    await queue.close()
    await other.close()


async def test_a_caller_that_is_cancelled_does_not_disturb_the_others(reopen: Reopen) -> None:
    log = reopen()
    await log.prepare()
    queue = await queue_of(log, A)
    tasks = [asyncio.create_task(log.append([event(number)])) for number in range(50)]
    await asyncio.sleep(0)
    for task in tasks[::3]:
        task.cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    found = await read_all(queue)
    for number, result in enumerate(results):
        assert isinstance(result, asyncio.CancelledError) or event(number) in found
    await queue.close()


async def test_a_new_endpoint_begins_at_the_end(reopen: Reopen) -> None:
    log = reopen()
    await log.prepare()
    await log.append([event(1)])
    queue = await log.open_queue(A)
    assert queue is not None
    assert replace(queue.place, sequence=0) == Place(0)
    await queue.close()
