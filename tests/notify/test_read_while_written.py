"""Reading the log while another process writes to it: what a read meets half written is told whole, and once."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from backends.notify.reading import LogReader
from tests.support.mounts import mounted_tmpfs

ROOT = Path(__file__).parents[2]
SECONDS = 3.0
"""In so long, on a tmpfs, a reader that believes what it has read once loses dozens of events."""

WRITE = """
import os, sys, time
from backends.notify.appending import Appender
from backends.notify.records import Kind
appender = Appender(os.open(sys.argv[1], os.O_RDONLY), segment_bytes=2 << 20, floor=lambda: 0)
end, number = time.monotonic() + float(sys.argv[2]), 0
while time.monotonic() < end:
    number = appender.append([(Kind.EVENT, b'{"id":%d,"more":"%s"}' % (number + 1, b"x" * 700))], durable=False)
print(number)
"""


def test_no_event_is_taken_for_damaged_while_it_is_being_written(tmp_path: Path) -> None:
    with mounted_tmpfs(tmp_path / "disk", size="1g") as disk:
        root = os.open(disk, os.O_RDONLY)
        reader = LogReader(root, 0)
        found = dropped = 0
        command = [sys.executable, "-c", WRITE, str(disk), str(SECONDS)]
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as writing:
            is_written = False
            while True:
                batch = reader.read()
                found += len(batch.events)
                dropped += sum(event.dropped_events for event in batch.events) + batch.dropped_events
                if is_written and not batch.events:
                    break
                is_written = writing.poll() is not None
            assert writing.returncode == 0
            assert writing.stdout is not None
            written = int(writing.stdout.read())
        reader.close()
        os.close(root)
    assert written > 1000, "fewer would show nothing"
    assert (dropped, found) == (0, written)
