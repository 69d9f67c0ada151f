"""The file of rules while it is used: changed in every way there is, broken, gone, and back; with real files."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from backends.auth.identity import ANONYMOUS, Identity
from backends.auth.rules_file import LOOK_SECONDS, RACY_SECONDS, SETTLE_SECONDS, RulesFile, UnusableRules
from backends.auth.rules_text import MAX_ENTRIES, MAX_SIZE, MAX_VALUES
from backends.auth.whole_file import look_at
from backends.model.actions import Action

PULL = "- {allow: pull, to: anyone}\n"
NOTHING = "- {allow: pull, to: users}\n"
BROKEN = "- {allow: pull, to: anyone}\n- {allow: psuh, to: users}\n"


def may_pull(file: RulesFile) -> bool:
    return file.current().decide(ANONYMOUS, Action.PULL, "base").is_allowed


def until(file: RulesFile, met: Callable[[], bool], *, seconds: float = 45.0) -> list[str]:
    """Looks again and again; returns what there was to tell."""
    told: list[str] = []
    deadline = time.monotonic() + seconds
    while not met():
        assert time.monotonic() < deadline, told
        told.append(file.look())
        time.sleep(0.02)
    return [each for each in told if each]


def settle(file: RulesFile) -> list[str]:
    """Looks for as long as a change could take."""
    deadline = time.monotonic() + 2 * SETTLE_SECONDS + 0.1
    return until(file, lambda: time.monotonic() > deadline)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "access.yml"
    path.write_text(NOTHING)
    return path


def replace(path: Path, text: str) -> None:
    other = path.with_name("new")
    other.write_text(text)
    other.rename(path)


def in_place(path: Path, text: str) -> None:
    with path.open("r+") as file:
        file.truncate()
        file.write(text)


def anew(path: Path, text: str) -> None:
    path.unlink()
    path.write_text(text)


@pytest.mark.parametrize("write", [replace, in_place, anew])
def test_a_file_that_changes_is_read_anew_and_told_once(path: Path, write: Callable[[Path, str], None]) -> None:
    file = RulesFile(path)
    assert not may_pull(file)
    write(path, PULL)
    told = until(file, lambda: may_pull(file)) + settle(file)
    assert told == [f"new rules of access hold: {path}, 1 rule"]


def test_a_configmap_of_kubernetes_is_read_anew(tmp_path: Path) -> None:
    """Kubernetes makes a folder with the new files, and moves one link to it."""
    for number, text in (("1", NOTHING), ("2", PULL)):
        (tmp_path / f"..{number}").mkdir()
        (tmp_path / f"..{number}" / "access.yml").write_text(text)
    (tmp_path / "..data").symlink_to("..1")
    path = tmp_path / "access.yml"
    path.symlink_to("..data/access.yml")
    file = RulesFile(path)
    (tmp_path / "..data_tmp").symlink_to("..2")
    (tmp_path / "..data_tmp").rename(tmp_path / "..data")
    assert until(file, lambda: may_pull(file)) == [f"new rules of access hold: {path}, 1 rule"]


def test_a_file_that_is_being_written_is_not_read_before_it_is_whole(path: Path) -> None:
    """What denies often stands at the end: the first half of a file would allow too much."""
    file = RulesFile(path)
    seen = []
    with path.open("w") as writing:
        for line in (PULL, "- {allow: push, to: anyone}\n", "- {deny: push, to: anyone}\n"):
            writing.write(line)
            writing.flush()
            for _ in range(4):
                file.look()
                seen.append(file.current().decide(ANONYMOUS, Action.PUSH, "base").is_allowed)
                time.sleep(SETTLE_SECONDS / 8)
    assert not any(seen)
    until(file, lambda: may_pull(file))
    assert not file.current().decide(ANONYMOUS, Action.PUSH, "base").is_allowed


def test_a_file_whose_size_and_time_of_writing_stay_is_read_anew(path: Path) -> None:
    """As a restore leaves it: only the time of the change tells."""
    hour_ago = time.time_ns() - 3600 * 10**9
    os.utime(path, ns=(hour_ago, hour_ago))
    file = RulesFile(path)
    assert settle(file) == []
    assert not file._is_racy
    in_place(path, NOTHING.replace("users", "bob  "))
    os.utime(path, ns=(hour_ago, hour_ago))
    assert until(file, lambda: not _users_may(file)) == [f"new rules of access hold: {path}, 1 rule"]


def test_what_is_written_while_it_is_read_is_not_taken_for_the_rules(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = RulesFile(path)
    replace(path, PULL + "- {allow: push, to: anyone}\n")
    hour_ago = time.time_ns() - 3600 * 10**9
    os.utime(path, ns=(hour_ago, hour_ago))
    read, writes = os.read, ["- {deny: push, to: anyone}\n"]

    def read_and_let_another_write(descriptor: int, size: int) -> bytes:
        piece = read(descriptor, size)
        if not piece and writes:
            with path.open("a") as writing:
                writing.write(writes.pop())
        return piece

    monkeypatch.setattr(os, "read", read_and_let_another_write)
    assert file.look() == ""
    assert writes == []
    assert not may_pull(file)
    until(file, lambda: may_pull(file))
    assert not file.current().decide(ANONYMOUS, Action.PUSH, "base").is_allowed


def test_what_was_just_written_is_read_once_more(path: Path) -> None:
    """A second change within the same tick of the file system's clock leaves no trace in size and times."""
    file = RulesFile(path)
    replace(path, PULL)
    until(file, lambda: may_pull(file))
    assert file._is_racy
    in_place(path, PULL.replace("anyone", "users "))
    file._seen = look_at(path)  # as if it were the look of the first change
    until(file, lambda: not may_pull(file))
    until(file, lambda: not file._is_racy, seconds=RACY_SECONDS + 2)


def _users_may(file: RulesFile) -> bool:
    return file.current().decide(Identity("carol", "htpasswd"), Action.PULL, "a").is_allowed


def test_a_file_that_is_only_touched_is_no_news(path: Path) -> None:
    file = RulesFile(path)
    rules = file.current()
    path.touch()
    replace(path, NOTHING)
    assert settle(file) == []
    assert file.current() is rules, "what is remembered stays"


def test_a_broken_file_keeps_the_rules_and_each_mistake_is_told_once(path: Path) -> None:
    path.write_text(PULL)
    file = RulesFile(path)
    replace(path, BROKEN)
    (told,) = settle(file)
    assert told == f"{path}: line 2: `psuh` is not an action; write `push`"
    assert may_pull(file)
    replace(path, BROKEN + "# again\n")
    assert settle(file) == [], "the same mistake"
    replace(path, BROKEN.replace("psuh", "write"))
    (told,) = settle(file)
    assert "`write` is not an action" in told
    replace(path, NOTHING)
    assert settle(file) == [f"new rules of access hold: {path}, 1 rule"]
    assert not may_pull(file)


def test_a_broken_file_that_becomes_what_it_was_is_told(path: Path) -> None:
    file = RulesFile(path)
    replace(path, BROKEN)
    assert len(settle(file)) == 1
    replace(path, NOTHING)
    assert settle(file) == [f"the rules of access in {path} are those that hold: it can be used again"]


def make_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda path: path.unlink(), "cannot be read (No such file or directory)"),
        (lambda path: (path.unlink(), path.mkdir()), "is not a file"),
        (make_pipe, "is not a file"),
        (lambda path: (path.unlink(), path.symlink_to(path)), "cannot be read (Too many levels of symbolic links)"),
        (lambda path: path.write_bytes(b"# more\n- {allow: pull, to: \xff}\n"), "is not UTF-8 text in line 2"),
        (lambda path: path.write_text(PULL + "#" * MAX_SIZE), f"has more than {MAX_SIZE} bytes"),
        (lambda path: path.write_text(""), "line 1: write a list of rules"),
        (lambda path: path.write_text("- " + "[" * 100), "nested too deeply"),
        (
            lambda path: path.write_text("- {allow: pull, to: users}\n" * (MAX_ENTRIES + 1)),
            f"line {MAX_ENTRIES + 1}: a file has at most {MAX_ENTRIES} rules",
        ),
        (
            lambda path: path.write_text(
                f"- {{allow: pull, to: &all [{', '.join(f'u{n}' for n in range(1000))}]}}\n"
                + "- {allow: pull, to: *all}\n" * 200
            ),
            f"there are more than {MAX_VALUES} values",
        ),
    ],
)
def test_a_file_that_cannot_be_used_keeps_the_rules_and_it_recovers(
    path: Path, spoil: Callable[[Path], object], sentence: str
) -> None:
    path.write_text(PULL)
    file = RulesFile(path)
    spoil(path)
    (told,) = settle(file)
    assert sentence in told
    assert may_pull(file)
    with pytest.raises(UnusableRules, match=str(path)):
        RulesFile(path)
    path.rmdir() if path.is_dir() else path.unlink(missing_ok=True)
    path.write_text(NOTHING)
    assert settle(file)[-1] == f"new rules of access hold: {path}, 1 rule"
    assert not may_pull(file)


def test_a_file_may_begin_with_a_mark_of_its_encoding(path: Path) -> None:
    path.write_bytes(b"\xef\xbb\xbf" + PULL.encode())
    assert may_pull(RulesFile(path))


async def test_it_is_watched_and_told_by_who_speaks(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "portside.access")
    loud, quiet = RulesFile(path), RulesFile(path)
    watching = [
        asyncio.create_task(loud.watch(lambda: True)),
        asyncio.create_task(quiet.watch(lambda: False)),
    ]
    await asyncio.sleep(0.1)
    replace(path, PULL)
    start = time.monotonic()
    while not may_pull(loud) or not may_pull(quiet) or not caplog.records:  # a thread reads it, and then it is told
        await asyncio.sleep(0.01)
        assert time.monotonic() - start < LOOK_SECONDS + 2 * SETTLE_SECONDS + 20
    for task in watching:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
    assert [record.message for record in caplog.records] == [f"new rules of access hold: {path}, 1 rule"]


async def test_the_loop_goes_on_while_a_large_file_is_read(path: Path) -> None:
    file = RulesFile(path)
    replace(path, "".join(f"- {{allow: pull, to: user{n}, on: team{n}/**}}\n" for n in range(MAX_ENTRIES)))
    reading = asyncio.create_task(file.refresh(lambda: True, at_once=True))
    turns = 0
    while not reading.done():
        await asyncio.sleep(0.001)
        turns += 1
    assert len(file.current().rules) == MAX_ENTRIES
    assert turns > 10


async def test_who_asks_gets_it_at_once_and_hears_of_mistakes_again(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "portside.access")
    file = RulesFile(path)
    replace(path, PULL)
    await file.refresh(lambda: True, at_once=True)
    assert may_pull(file)
    in_place(path, BROKEN)
    await file.refresh(lambda: True, at_once=True)
    await file.refresh(lambda: True)
    await file.refresh(lambda: True, at_once=True)
    assert [(record.levelname, "psuh" in record.message) for record in caplog.records] == [
        ("INFO", False),
        ("ERROR", True),
        ("ERROR", True),
    ]
