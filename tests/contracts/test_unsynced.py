"""What a process was changing when it died, or when its sync failed, is synced by whoever relies on it."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from backends.storage import layout
from backends.storage.unsynced import SLOT, SLOTS, UnsyncedNames

ROOT = Path(__file__).parents[2]
FOLDER = layout.UNSYNCED[1:]
DYING = """
import os, sys
from backends.storage.unsynced import UnsyncedNames

names = UnsyncedNames(os.open(sys.argv[1], os.O_RDONLY), print)
with names.changing("/blobs/ab") as change:
    change.changed = True
    print("changing", flush=True)
    sys.stdin.read()
"""


class Process:
    """One that has opened the same folder as others; remembers what it synced.

    Attributes:
        fails: folders whose sync fails.
    """

    def __init__(self, root: Path) -> None:
        self.root = os.open(root, os.O_RDONLY)
        self.synced: list[str] = []
        self.fails: set[str] = set()
        self.names = UnsyncedNames(self.root, self._sync)

    def _sync(self, folder: str) -> None:
        if folder in self.fails:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        self.synced.append(folder)

    def relies_on(self, *paths: str) -> list[str]:
        """What it syncs for that."""
        self.synced.clear()
        self.names.sync_above(*paths)
        return self.synced

    def changes_and_fails(self, folder: str) -> None:
        """A rename succeeds, and the sync after it does not."""
        try:
            with self.names.changing(folder) as change:
                change.changed = True
                raise OSError("failed")
        except OSError:
            pass

    def close(self) -> None:
        self.names.close()
        os.close(self.root)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[], Process]]:
    started: list[Process] = []

    def process() -> Process:
        started.append(Process(tmp_path))
        return started[-1]

    yield process
    for each in started:
        each.close()


def files(root: Path) -> list[Path]:
    return list((root / FOLDER).iterdir())


@pytest.mark.parametrize("own", [True, False], ids=["its own", "another's"])
def test_a_change_under_way_is_synced_by_whoever_relies_on_it(start: Callable[[], Process], own: bool) -> None:  # noqa: FBT001 - a table's column
    one = start()
    other = one if own else start()
    with one.names.changing("/blobs/ab"), one.names.changing("/"):
        assert other.relies_on("/blobs/ab/c/data") == ["/blobs/ab", "/"]
        assert other.relies_on("/blobs/abc/data") == ["/"]
        assert other.relies_on("/blobs/ab") == ["/blobs/ab", "/"], "its names are part of what a folder is"
        assert other.relies_on("/blobs") == ["/"]
        other.names.sync_above("/blobs/ab/c", but="/blobs/ab")
        assert other.synced == ["/", "/"]
    assert other.relies_on("/blobs/ab/c/data") == []


def test_where_nobody_ever_wrote_nothing_is_made(start: Callable[[], Process], tmp_path: Path) -> None:
    assert start().relies_on("/blobs/ab/c/data") == []
    assert not list(tmp_path.iterdir())


def test_a_change_that_failed_before_anything_was_made_is_forgotten(start: Callable[[], Process]) -> None:
    one, other = start(), start()
    with pytest.raises(OSError, match="full"), one.names.changing("/blobs/ab"):
        raise OSError("full")
    assert other.relies_on("/blobs/ab/c/data") == one.relies_on("/blobs/ab/c/data") == []


def test_a_sync_that_failed_is_made_up_for(start: Callable[[], Process]) -> None:
    one, other = start(), start()
    one.changes_and_fails("/blobs/ab")
    assert other.relies_on("/blobs/ab/c") == ["/blobs/ab"]
    assert other.relies_on("/blobs/ab/c") == ["/blobs/ab"], "only who wrote it down can know that it is done with"
    one.fails.add("/blobs/ab")
    with pytest.raises(OSError, match="Input/output"):
        one.names.sync_above("/blobs/ab/c")
    one.fails.clear()
    assert one.relies_on("/blobs/ab/c") == ["/blobs/ab"]
    assert one.relies_on("/blobs/ab/c") == other.relies_on("/blobs/ab/c") == []


def test_what_a_killed_process_was_changing_is_synced_by_those_that_live_and_those_that_start(
    start: Callable[[], Process], tmp_path: Path
) -> None:
    living = start()
    with living.names.changing("/other"):
        pass
    command = [sys.executable, "-c", DYING, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "changing\n"
        process.kill()
    assert living.relies_on("/blobs/ab/c") == ["/blobs/ab"]
    assert len(files(tmp_path)) == 2
    failing = start()
    failing.fails.add("/blobs/ab")
    with pytest.raises(OSError, match="Input/output"), failing.names.changing("/blobs/cd"):
        pytest.fail("it goes on without knowing what is unsynced")
    assert len(files(tmp_path)) == 2
    starting = start()
    with starting.names.changing("/blobs/cd"):
        assert starting.synced == ["/blobs/ab"]
        assert living.relies_on("/blobs/cd/e") == ["/blobs/cd"]
    assert len(files(tmp_path)) == 2, "the dead one's is gone"
    assert living.relies_on("/blobs/ab/c") == []


def test_a_process_that_ends_leaves_nothing_unless_a_sync_has_failed(tmp_path: Path) -> None:
    for failed in (False, True):
        process = Process(tmp_path)
        with process.names.changing("/a") as change:
            change.changed = True
        if failed:
            process.changes_and_fails("/a")
        process.close()
        assert len(files(tmp_path)) == failed
    last = Process(tmp_path)
    with last.names.changing("/b"):
        assert last.synced == ["/a"]
    last.close()
    assert not files(tmp_path)


def test_when_nothing_more_can_be_written_down_nothing_is_changed(start: Callable[[], Process]) -> None:
    process = start()
    for number in range(SLOTS):
        process.changes_and_fails(f"/{number}")
    with pytest.raises(OSError, match="could not be synced") as caught, process.names.changing("/more"):
        pytest.fail("it is not written down")
    assert caught.value.errno == errno.EBUSY
    assert process.relies_on("/7/file") == ["/7"]
    with process.names.changing("/more"):
        pass


def test_a_path_of_any_length_that_a_layout_has_fits(start: Callable[[], Process]) -> None:
    process, other = start(), start()
    longest = "/" + "x" * (SLOT - 2)
    with process.names.changing(longest):
        assert other.relies_on(f"{longest}/file") == [longest]
    with pytest.raises(OSError, match="too long"), process.names.changing(longest + "x"):
        pytest.fail("it is not written down")


def test_a_folder_that_somebody_removed_is_made_again(start: Callable[[], Process], tmp_path: Path) -> None:
    one, other = start(), start()
    with one.names.changing("/a"), other.names.changing("/b"):
        subprocess.run(["rm", "-r", tmp_path / "docker"], check=True)
        with one.names.changing("/c"):
            assert sorted(other.relies_on("/a/x", "/b/x", "/c/x")) == ["/a", "/b", "/c"]
    assert other.relies_on("/a/x", "/b/x", "/c/x") == []
