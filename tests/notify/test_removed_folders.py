"""Somebody removes folders of the log while processes append and send, or leaves files in it that are not ours."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from backends.notify.file_log import FileLog
from backends.notify.log import Place, SenderState
from backends.notify.settings import EndpointSettings, NotifySettings
from backends.storage.driver import StorageError
from tests.notify.test_sending import Process, endpoint, event, until
from tests.support.webhooks import Webhook, webhook

EVENTS = "docker/registry/portside/primary/events"
SETTINGS = NotifySettings((EndpointSettings("a", "http://127.0.0.1:1/", key="a"),))


@pytest.fixture
def receiver() -> Iterator[Webhook]:
    with webhook() as made:
        yield made


def move(folder: Path, away: Path) -> None:
    folder.rename(away)


def remove(folder: Path, away: Path) -> None:
    """Moved first, since somebody may write a file into it meanwhile."""
    folder.rename(away)
    shutil.rmtree(away, ignore_errors=True)


@pytest.fixture
async def two(tmp_path: Path, receiver: Webhook) -> AsyncIterator[tuple[Process, Process]]:
    settings = NotifySettings((replace(endpoint(receiver), key="a"),))
    logs = FileLog(tmp_path, settings), FileLog(tmp_path, settings)
    for log in logs:
        await log.prepare()
    one, other = (Process(log, settings) for log in logs)
    yield one, other
    await one.stop()
    await other.stop()


@pytest.mark.parametrize("way", [remove, move])
@pytest.mark.parametrize("folder", ["", "endpoints", "endpoints/a"])
async def test_once_folders_were_removed_one_process_sends_again(
    two: tuple[Process, Process], receiver: Webhook, tmp_path: Path, folder: str, way: Callable[[Path, Path], None]
) -> None:
    one, other = two
    await one.log.append([event(1)])
    await until(lambda: "1" in receiver.ids)
    way(tmp_path / EVENTS / folder, tmp_path / "away")
    for number in range(2, 5):
        await other.log.append([event(number)])
        await until(partial(receiver.has, str(number)))
    await until((tmp_path / EVENTS / "endpoints/a/sender").exists)
    await one.log.append([event("between")])
    await until(lambda: "between" in receiver.ids)
    before = len(receiver.received)
    for number in range(100, 130):
        await other.log.append([event(number)])
    await until(lambda: "129" in receiver.ids)
    assert receiver.ids[before:] == [str(number) for number in range(100, 130)]


async def test_who_sent_before_its_folder_was_removed_does_not_move_the_place_of_who_sends_now(tmp_path: Path) -> None:
    """The sequence may have begun anew, so the old place would pass over events that nobody has sent."""
    log = FileLog(tmp_path, SETTINGS)
    await log.prepare()
    queue = await log.open_queue("a")
    assert queue is not None
    shutil.rmtree(tmp_path / EVENTS)
    with pytest.raises(StorageError, match="was removed"):
        await queue.advance(Place(1000))
    with pytest.raises(StorageError, match="was removed"):
        await queue.read()
    again = await log.open_queue("a")
    assert again is not None
    await log.append([b'{"id":"1"}'])
    assert [each.content for each in (await again.read()).events] == [b'{"id":"1"}']
    await queue.close()
    await again.close()
    await log.close()


@pytest.mark.parametrize(
    "content",
    [
        '{"sequence": 1e400, "dropped_events": 0, "dropped_pulls": 0}',
        '{"sequence": 1.5, "dropped_events": 0, "dropped_pulls": 0}',
        '{"sequence": true, "dropped_events": 0, "dropped_pulls": 0}',
        '{"sequence": 1, "dropped_events": -1, "dropped_pulls": 0}',
        '{"sequence": 1, "dropped_events": 0}',
        pytest.param("[" * 20_000, id="deep"),
        "\0" * 60,
        "[]",
    ],
)
async def test_a_place_that_is_not_one_has_everything_sent_again(tmp_path: Path, content: str) -> None:
    log = FileLog(tmp_path, SETTINGS)
    await log.prepare()
    await log.append([b'{"id":"1"}'])
    (tmp_path / EVENTS / "endpoints/a/place").write_text(content)
    queue = await log.open_queue("a")
    assert queue is not None
    assert len((await queue.read()).events) == 1
    await queue.close()
    await log.close()
    log = FileLog(tmp_path, SETTINGS)
    await log.prepare()
    await log.append([b'{"id":"2"}'])
    await log.close()


@pytest.mark.parametrize(
    "content",
    [
        '{"failures": "many"}',
        '{"failures": 5, "failing_since": 1e300}',
        '{"failures": 5, "failing_since": "now", "error": "x"}',
        '{"failures": -5}',
        '{"name": 3}',
        '{"error": null}',
        '{"more": 1}',
        pytest.param("[" * 20_000, id="deep"),
        "[]",
    ],
)
async def test_a_state_that_is_not_one_says_nothing(tmp_path: Path, content: str) -> None:
    log = FileLog(tmp_path, SETTINGS)
    await log.prepare()
    (tmp_path / EVENTS / "endpoints/a/state").write_text(content)
    assert [report.state for report in await log.report()] == [SenderState()]
    await log.close()
