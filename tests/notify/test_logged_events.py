"""Events on their way into the log: in the letter that is asked for, and large ones written beside the event loop."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

import pytest

from backends.model.descriptors import Descriptor
from backends.model.digest import Digest
from backends.model.events import MANY_REFERENCES, Event, EventAction, Source, Target
from backends.notify.memory_log import MemoryLog
from backends.notify.settings import EndpointSettings, MediaType, NotifySettings
from portside.notifying import LoggedEvents
from tests.support.actors import ACTOR

SETTINGS = NotifySettings(endpoints=(EndpointSettings("test", "http://127.0.0.1/", key="test"),))
SMALL = Event("1", "2026-11-27T10:00:00Z", EventAction.PUSH, Target(repository="app", tag="1"), ACTOR, Source())


def with_references(count: int) -> Event:
    references = tuple(Descriptor("a/b", Digest.of(b"%d" % number), number) for number in range(count))
    return replace(SMALL, event_id=str(count), target=Target(repository="app", references=references))


async def contents(log: MemoryLog) -> list[bytes]:
    queue = await log.open_queue("test")
    return [event.content for event in (await queue.read()).events]


@pytest.mark.parametrize("media_type", MediaType)
async def test_events_are_in_the_letter_that_is_asked_for(media_type: MediaType) -> None:
    log = MemoryLog(SETTINGS)
    events = LoggedEvents(log, replace(SETTINGS, media_type=media_type), instance="an-instance")
    await events.record([SMALL])
    (content,) = await contents(log)
    assert ("mediaType" in json.loads(content)["target"]) is (media_type is MediaType.V2)


@pytest.mark.parametrize("way", ["recorded", "noted"])
async def test_a_large_event_does_not_stop_the_loop(way: str) -> None:
    log = MemoryLog(SETTINGS)
    events = LoggedEvents(log, SETTINGS, instance="an-instance")
    large = with_references(100 * MANY_REFERENCES)
    turns = 0

    async def tick() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    ticking = asyncio.create_task(tick())
    await asyncio.sleep(0)
    if way == "recorded":
        await events.record([SMALL, large])
    else:
        events.note(large)
    await events.close()
    ticking.cancel()
    await asyncio.gather(ticking, return_exceptions=True)
    assert json.loads((await contents(log))[-1])["id"] == large.event_id
    assert turns > 50
