"""What reading the log for an endpoint takes, beside what it finds."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from backends.notify.appending import Appender
from backends.notify.reading import LogReader
from backends.notify.records import Kind

LARGE = 300_000


@pytest.fixture
def root(tmp_path: Path) -> int:
    return os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)


def bytes_read() -> int:
    """Returns how many bytes this thread has read so far."""
    return int(dict(line.split(": ") for line in Path("/proc/thread-self/io").read_text().splitlines())["rchar"])


def test_reading_what_was_just_appended_reads_little_of_the_padding_behind_it(root: int) -> None:
    appender = Appender(root, segment_bytes=4 << 20, floor=lambda: 0)
    reader = LogReader(root, 0)
    for number in range(3):
        content = b'{"number":%d}' % number
        appender.append([(Kind.EVENT, content)], durable=False)
        before = bytes_read()
        batch = reader.read()
        assert [event.content for event in batch.events] == [content]
        assert bytes_read() - before < 40_000
    reader.close()
    appender.close()
    os.close(root)


def test_events_larger_than_a_piece_are_read_whole_and_in_order(root: int) -> None:
    appender = Appender(root, segment_bytes=4 << 20, floor=lambda: 0)
    sizes = [10, LARGE, 33_000, 20, LARGE, 5]
    wanted = [b'{"x":"%s"}' % (b"y" * size) for size in sizes]
    appender.append([(Kind.EVENT, content) for content in wanted], durable=False)
    reader = LogReader(root, 0)
    found: list[bytes] = []
    while batch := reader.read().events:
        found += [event.content for event in batch]
    assert found == wanted
    reader.close()
    appender.close()
    os.close(root)
