"""What a power cut leaves of the log: everything acknowledged, and nothing that keeps it from being used."""

from __future__ import annotations

import asyncio
import json
import random
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from backends.notify.file_log import FileLog
from backends.notify.log import Place
from backends.notify.records import Kind, Record, encode
from backends.notify.settings import EndpointSettings, NotifySettings
from tests.support.programs import find_program
from tests.support.tracing import CALLS, Disk, read_calls
from tests.support.webhooks import webhook

ROOT = Path(__file__).parents[2]
LOG = "docker/registry/portside/primary/events/log"
SETTINGS = NotifySettings((EndpointSettings("a", "http://127.0.0.1:1/", key="a"),), segment_bytes=2000)
ROUNDS = 40
HUGE = b'{"sequence":99999999999999999999,"dropped_events":0,"dropped_pulls":0}'


def event(number: int) -> bytes:
    return b'{"id":%d,"more":"%s"}' % (number, b"x" * (number % 90))


async def contents(log: FileLog) -> list[bytes]:
    """All that an endpoint gets that has taken nothing."""
    queue = await log.open_queue("a")
    assert queue is not None
    found: list[bytes] = []
    place = queue.place
    while (batch := await queue.read()).last != place.sequence:
        found += [each.content for each in batch.events]
        place = replace(place, sequence=batch.last)
    await queue.close()
    return found


def damage(file: Path, synced: int, generator: random.Random) -> None:
    """Leaves of what was not synced whatever a disk may leave."""
    content = file.read_bytes()
    rest = bytearray(content[synced:])
    cut = generator.randrange(len(rest) + 1)
    match generator.choice(["cut", "zeros", "garbage", "holes", "longer"]):
        case "cut":
            del rest[cut:]
        case "zeros":
            rest[cut:] = bytes(len(rest) - cut)
        case "garbage":
            rest[cut:] = generator.randbytes(len(rest) - cut)
        case "holes":  # later pages were written, earlier ones not
            rest[:cut] = bytes(cut)
        case _:  # longer than it was
            rest[cut:] = bytes(generator.randrange(9000))
    file.write_bytes(content[:synced] + rest)


async def test_whatever_is_left_of_what_was_not_synced_nothing_acknowledged_is_lost(tmp_path: Path) -> None:
    generator = random.Random(5)
    root, count, acknowledged = tmp_path / "0", 0, list[bytes]()
    root.mkdir()
    for number in range(ROUNDS):
        log = FileLog(root, SETTINGS)
        await log.prepare()
        for _ in range(generator.randrange(1, 6)):
            batch = [event(count + each) for each in range(generator.randrange(1, 4))]
            count += len(batch)
            await log.append(batch)
            acknowledged += batch
        files = sorted((root / LOG).glob("0*"))
        synced = len(files[-1].read_bytes().rstrip(b"\0"))
        unsure = [event(count + each) for each in range(generator.randrange(0, 6))]
        count += len(unsure)
        for each in unsure:
            log.note(each)
        await log.close()  # writes what was noted, and does not sync it
        found = [each for each in await again(root) if each in set(acknowledged)]
        assert found == acknowledged
        cut = tmp_path / str(number + 1)
        shutil.copytree(root, cut)
        later = sorted((cut / LOG).glob("0*"))
        if later[-1].name == files[-1].name:
            damage(later[-1], synced, generator)
        root = cut
        found = await again(root)
        assert [each for each in found if each in set(acknowledged)] == acknowledged
        acknowledged = found  # what was spared is durable from now on: the next sync covers it
    assert len(acknowledged) > 100
    assert len(list((root / LOG).glob("0*"))) > 5


async def again(root: Path) -> list[bytes]:
    log = FileLog(root, SETTINGS)
    found = await contents(log)
    await log.close()
    return found


@pytest.mark.parametrize(
    "tail", [b"", b"\0" * 5000, b"17 e 0000", b"\n\n\n", b'99 e 00000000 {"id":1}\n', b"\xff" * 70000]
)
async def test_a_tail_of_anything_is_passed_over_by_writers_and_readers(tmp_path: Path, tail: bytes) -> None:
    log = FileLog(tmp_path, SETTINGS)
    await log.prepare()
    await log.append([event(1), event(2)])
    queue = await log.open_queue("a")
    assert queue is not None
    assert len((await queue.read()).events) == 2, "it reads at the end already"
    (file,) = (tmp_path / LOG).glob("0*")
    with file.open("ab") as writing:
        writing.write(tail)
    assert (await queue.read()).events == ()
    other = FileLog(tmp_path, SETTINGS)
    await other.append([event(3)])
    await log.append([event(4)])
    assert [each.content for each in (await queue.read()).events] == [event(3), event(4)]
    await queue.close()
    assert await contents(log) == [event(number) for number in range(1, 5)]
    for each in (log, other):
        await each.close()


@pytest.mark.parametrize("hole", [1, 5000, 300_000, 1_100_000])
@pytest.mark.parametrize("behind", [b"17 e 0000", b"garbage\n", encode(Record(12, Kind.EVENT, event(12)))])
async def test_a_hole_with_something_behind_it_is_passed_over(tmp_path: Path, hole: int, behind: bytes) -> None:
    """Pages are not written in their order; nothing of this was synced."""
    settings = replace(SETTINGS, segment_bytes=10_000_000)
    log = FileLog(tmp_path, settings)
    await log.prepare()
    await log.append([event(1), event(2)])
    await log.close()
    (file,) = (tmp_path / LOG).glob("0*")
    content = file.read_bytes().rstrip(b"\0")
    file.write_bytes(content + bytes(hole) + behind)
    log = FileLog(tmp_path, settings)
    queue = await log.open_queue("a")
    assert queue is not None
    assert [each.content for each in (await queue.read()).events] == [event(1), event(2)]
    await log.append([event(3)])
    await log.append([event(4)])
    found: list[bytes] = []
    place = replace(queue.place, sequence=2)
    while (batch := await queue.read()).last != place.sequence:
        found += [each.content for each in batch.events]
        place = replace(place, sequence=batch.last)
    assert [each for each in found if each != event(12)] == [event(3), event(4)]
    await queue.close()
    await log.close()


async def test_a_damaged_middle_of_the_last_file_loses_only_itself(tmp_path: Path) -> None:
    """A writer that takes the first damage for the end would write over what follows it."""
    log = FileLog(tmp_path, SETTINGS)
    await log.prepare()
    await log.append([event(number) for number in range(10)])
    await log.close()
    (file,) = (tmp_path / LOG).glob("0*")
    content = bytearray(file.read_bytes())
    content[content.index(b'"id":4') + 2] ^= 1
    file.write_bytes(content)
    log = FileLog(tmp_path, SETTINGS)
    await log.append([event(10)])
    queue = await log.open_queue("a")
    assert queue is not None
    batch = await queue.read()
    assert [each.content for each in batch.events] == [event(number) for number in range(11) if number != 4]
    assert sum(each.dropped_events for each in batch.events) == 1
    await queue.close()
    await log.close()


async def test_a_sequence_that_an_endpoint_s_place_names_is_never_given_again(tmp_path: Path) -> None:
    """The log was lost, or a part of it that was sent already."""
    log = FileLog(tmp_path, SETTINGS)
    await log.prepare()
    await log.append([event(number) for number in range(5)])
    queue = await log.open_queue("a")
    assert queue is not None
    await queue.read()
    await queue.advance(Place(5))
    await queue.close()
    await log.close()
    shutil.rmtree(tmp_path / LOG)
    log = FileLog(tmp_path, SETTINGS)
    await log.append([event(6)])
    assert await contents(log) == [event(6)]
    await log.close()


async def test_a_log_that_is_deleted_while_it_is_used_begins_anew(tmp_path: Path) -> None:
    log = FileLog(tmp_path, SETTINGS)
    await log.prepare()
    queue = await log.open_queue("a")
    assert queue is not None
    await log.append([event(1)])
    await queue.read()
    shutil.rmtree(tmp_path / LOG)
    await log.append([event(2)])
    found: list[bytes] = []
    async with asyncio.timeout(5):
        while not found:
            await queue.wait(0.3)
            found += [each.content for each in (await queue.read()).events]
    assert found == [event(2)]
    await queue.close()
    await log.close()


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"sequence":"x"}', b"\0" * 60, HUGE])
async def test_a_place_that_cannot_be_read_has_everything_sent_again(tmp_path: Path, content: bytes) -> None:
    log = FileLog(tmp_path, SETTINGS)
    await log.prepare()
    await log.append([event(1), event(2)])
    file = tmp_path / "docker/registry/portside/primary/events/endpoints/a/place"
    file.write_bytes(content)
    queue = await log.open_queue("a")
    assert queue is not None
    batch = await queue.read()
    assert [each.content for each in batch.events] == [event(1), event(2)]
    assert batch.dropped_events == sum(each.dropped_events for each in batch.events) == 0
    await queue.close()
    await log.close()


def test_a_seal_without_a_successor_is_no_end(tmp_path: Path) -> None:
    """A process died between the two."""

    async def check() -> None:
        log = FileLog(tmp_path, SETTINGS)
        await log.prepare()
        await log.append([event(1)])
        (file,) = (tmp_path / LOG).glob("0*")
        with file.open("ab") as writing:
            writing.write(encode(Record(1, Kind.SEAL, b"")))
        await log.append([event(2)])
        assert len(list((tmp_path / LOG).glob("0*"))) == 2
        assert await contents(log) == [event(1), event(2)]
        await log.close()

    asyncio.run(check())


PROGRAM = """
import asyncio, os, sys
from pathlib import Path
from backends.notify import sender
from backends.notify.file_log import FileLog
from backends.notify.senders import Senders
from portside.notifying import NoMetrics
from tests.support.event_processes import settings_of

async def main():
    settings = settings_of([sys.argv[2]], disk_bytes=10**8)
    log = FileLog(Path(sys.argv[1]), settings)
    await log.prepare()
    for number in range(60):
        await log.append([b'{"id":%d,"more":"%s"}' % (number, b"x" * 100)])
        os.write(1, b"acknowledged\\n")
    sender.SAVE_SECONDS = 0.0
    sending = asyncio.create_task(Senders(log, settings, NoMetrics()).watch())
    for number in range(60, 63):
        while (await log.report())[0].place.sequence < number:
            await asyncio.sleep(0.02)
        log.note(b'{"id":%d,"action":"pull"}' % number)  # which is not synced by itself
    while (await log.report())[0].place.sequence < 63:
        await asyncio.sleep(0.02)
    os.write(1, b"sent\\n")
    sending.cancel()
    await asyncio.wait([sending])
    await log.close()

asyncio.run(main())
"""


@pytest.mark.real
def test_a_trace_shows_that_what_is_acknowledged_and_what_a_place_names_is_durable(tmp_path: Path) -> None:
    strace = find_program("strace")
    root, trace = tmp_path / "root", tmp_path / "trace"
    root.mkdir()
    with webhook() as receiver:
        command = [strace, "-f", "-y", "-qq", "-s", "64", "-e", f"trace={CALLS}", "-o", str(trace)]
        done = subprocess.run(
            [*command, sys.executable, "-c", PROGRAM, str(root), receiver.url],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            timeout=60,
            check=True,
        )
        assert done.stdout.count(b"acknowledged") == 60
        assert [json.loads(each.body)["events"][0]["id"] for each in receiver.received] == list(range(63))
    disk = Disk(str(root))
    acknowledged = places = 0

    def lost() -> list[str]:
        return [each for each in disk.would_be_lost() if "/log/0" in each or "/place" in each.partition(":")[0]]

    for call, arguments, result in read_calls(trace):
        if call == "write" and '"acknowledged' in arguments:
            acknowledged += 1
            assert not lost(), f"event {acknowledged} was acknowledged too early"
        if call.startswith("rename") and '"place"' in arguments:
            places += 1
            assert not [each for each in lost() if "/log/0" in each], "a place names what a power cut takes"
        if result >= 0:
            disk.play(call, arguments)
    assert acknowledged == 60
    assert places > 5
