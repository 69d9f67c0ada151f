"""Passwords against real files and real bcrypt: what is checked, how often, who waits, what a changed file does."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import statistics
import threading
import time
from base64 import b64encode
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NoReturn

import bcrypt
import pytest

from backends.auth import passwords
from backends.auth.credentials import Basic, Bearer
from backends.auth.htpasswd_scheme import HtpasswdScheme
from backends.auth.identity import Caller, Identity
from backends.auth.password_file import LOOK_SECONDS, YOUNG_SECONDS, PasswordFile
from backends.auth.passwords import REMEMBERED_SECONDS, WRONG_SECONDS, Outcome, Passwords
from backends.auth.schemes import Busy, Failure, WrongCredentials
from backends.auth.slowing import AT_ONCE, RECOVERY_SECONDS, Slowing
from tests.support.held import texts_held_by

HERE = "192.0.2.1"


def line(user: str, password: str, cost: int = 4) -> str:
    return f"{user}:{bcrypt.hashpw(password.encode(), bcrypt.gensalt(cost)).decode()}\n"


class Clock:
    """A clock that is set."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Told:
    """What an observer was told."""

    def __init__(self) -> None:
        self.outcomes: Counter[Outcome] = Counter()
        self.checks = 0

    def count(self, outcome: Outcome) -> None:
        self.outcomes[outcome] += 1

    def time(self, seconds: float) -> None:
        self.checks += 1
        assert seconds > 0


class World:
    """An htpasswd file, and what checks by it."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "htpasswd"
        self.path.write_text(line("alice", "wonder") + line("bob", "builder"))
        self.clock = Clock()
        self.told = Told()
        self.file = PasswordFile(str(self.path), clock=self.clock)
        self.slowing = Slowing(clock=self.clock)
        self.passwords = Passwords(self.file, self.slowing, observer=self.told, clock=self.clock)

    async def check(self, user: str, password: str, address: str = HERE) -> bool:
        return await self.passwords.check(user, password, address)

    async def settle(self) -> None:
        """Lets the file's second reading pass."""
        await self.file.table()
        self.clock.now += YOUNG_SECONDS
        await self.file.table()


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    world = World(tmp_path)
    yield world
    await world.passwords.close()
    assert not world.passwords._checks


@pytest.mark.parametrize(
    ("user", "password", "is_right"),
    [
        ("alice", "wonder", True),
        ("bob", "builder", True),
        ("alice", "builder", False),
        ("alice", "", False),
        ("alice", "wonder\0", False),
        ("alice", "\udcff", False),
        ("Alice", "wonder", False),
        ("nobody", "wonder", False),
        ("", "", False),
    ],
)
async def test_who_gets_in(world: World, user: str, password: str, is_right: bool) -> None:  # noqa: FBT001 - the expectation
    assert await world.check(user, password) is is_right
    assert world.told.checks == 1


async def test_72_bytes_of_a_password_count(world: World) -> None:
    with world.path.open("a") as file:
        file.write(line("long", "x" * 72))
    assert await world.check("long", "x" * 72)
    assert await world.check("long", "x" * 80)
    assert not await world.check("long", "x" * 71)


async def test_a_right_password_is_checked_once_while_it_is_in_use(world: World) -> None:
    for _ in range(10):
        assert await world.check("alice", "wonder")
        world.clock.now += REMEMBERED_SECONDS - 2
    assert world.told.checks == 1
    world.clock.now += 2
    assert await world.check("alice", "wonder")
    assert world.told.checks == 2


async def test_from_another_address_it_is_remembered_too(world: World) -> None:
    assert await world.check("alice", "wonder")
    assert await world.check("alice", "wonder", "192.0.2.2")
    assert world.told.checks == 1


async def test_a_wrong_password_is_remembered_for_a_moment(world: World) -> None:
    for _ in range(50):
        assert not await world.check("alice", "guess")
    assert world.told.outcomes == {Outcome.WRONG: 1, Outcome.KNOWN_WRONG: 49}
    world.clock.now += WRONG_SECONDS
    assert not await world.check("alice", "guess")
    assert world.told.checks == 2


async def test_the_same_password_is_checked_once_for_all_who_send_it(world: World) -> None:
    found = await asyncio.gather(*(world.check("alice", "wonder", f"192.0.2.{each % 5}") for each in range(50)))
    assert all(found)
    assert world.told.checks == 1


async def test_who_shares_a_prefix_with_another_shares_nothing_else(world: World) -> None:
    world.path.write_text(line("ab", "c"))
    assert await world.check("ab", "c")
    assert not await world.check("a", "bc")
    assert not await world.check("abc", "")


async def test_nothing_is_remembered_in_the_clear(world: World) -> None:
    assert await world.check("alice", "wonder")
    assert not await world.check("alice", "guess")
    remembered = repr([world.passwords._right, world.passwords._wrong, world.passwords._headers])
    for secret in ("wonder", "guess", shown("alice", "wonder"), "$2b$"):
        assert secret not in remembered


# The file changes.


async def test_a_line_that_changes_holds_at_once_and_others_stay_logged_in(world: World) -> None:
    await world.check("alice", "wonder")
    await world.check("bob", "builder")
    world.path.write_text(world.path.read_text().splitlines()[0] + "\n" + line("bob", "new one"))
    assert not await world.check("bob", "builder")
    assert await world.check("bob", "new one")
    checks = world.told.checks
    assert await world.check("alice", "wonder")
    assert world.told.checks == checks


async def test_a_user_that_is_removed_is_out_at_once(world: World) -> None:
    assert await world.check("alice", "wonder")
    world.path.write_text(line("bob", "builder"))
    assert not await world.check("alice", "wonder")


async def test_a_wrong_password_that_becomes_right_is_right_at_once(world: World) -> None:
    assert not await world.check("carol", "sings")
    with world.path.open("a") as file:
        file.write(line("carol", "sings"))
    assert await world.check("carol", "sings")


async def test_a_file_that_is_replaced_and_a_link_that_is_turned_are_followed(world: World) -> None:
    old, new = world.path.parent / "old", world.path.parent / "new"
    world.path.rename(old)
    world.path.symlink_to(old)
    assert await world.check("alice", "wonder")
    new.write_text(line("carol", "sings"))
    os.utime(new, ns=(old.stat().st_atime_ns, old.stat().st_mtime_ns))
    turned = world.path.parent / "turned"
    turned.symlink_to(new)
    turned.replace(world.path)
    assert await world.check("carol", "sings")
    assert not await world.check("alice", "wonder")


async def test_a_change_that_the_files_times_do_not_show_is_found_soon(world: World) -> None:
    """Two changes within a tick of the kernel's clock, and of the same size, leave the same `stat`."""
    await world.check("alice", "wonder")
    seen = world.file._look()
    assert seen is not None
    content = world.path.read_bytes()
    world.path.write_bytes(content.replace(b"alice", b"clara"))
    world.file._seen = world.file._look()  # as if it had been read before
    assert not await world.check("clara", "wonder")
    world.clock.now += YOUNG_SECONDS
    assert not await world.check("alice", "wonder")
    world.clock.now += WRONG_SECONDS
    assert await world.check("clara", "wonder")


async def test_a_change_is_found_though_the_file_could_not_be_read_for_a_while(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What kept it from being read leaves no trace in its times."""
    assert await world.check("alice", "wonder")
    world.path.write_text(line("bob", "builder"))
    with monkeypatch.context() as patched:
        patched.setattr(os, "open", _no_descriptor_is_left)
        for _ in range(3):
            assert await world.check("alice", "wonder")
            world.clock.now += YOUNG_SECONDS
    assert not await world.check("alice", "wonder")


def _no_descriptor_is_left(*_: object) -> NoReturn:
    raise OSError(errno.EMFILE, "Too many open files")


async def test_it_is_read_only_when_it_changes(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    await world.settle()
    await world.settle()
    reads = 0
    read = os.open

    def counted(path: str, *more: int, **options: int | None) -> int:
        nonlocal reads
        reads += str(path) == str(world.path)
        return read(path, *more, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "open", counted)
    for _ in range(100):
        await world.check("alice", "wonder")
        world.clock.now += YOUNG_SECONDS
    assert reads == 0
    world.path.touch()
    await asyncio.gather(*(world.check("alice", "wonder") for _ in range(100)))
    assert reads == 1


async def test_a_file_that_is_written_while_a_password_is_checked(world: World) -> None:
    """Programs that write in place leave half a file for a moment: what is refused is refused by a whole one."""
    whole = line("alice", "wonder", 10)
    world.path.write_text(whole[:40])

    async def write_the_rest() -> None:
        async with asyncio.timeout(20):
            while world.passwords._thread is None:  # noqa: ASYNC110 - nothing says that a check has begun
                await asyncio.sleep(0.001)
        world.path.write_text(whole)

    world.path.write_text(whole[:40] + "\n" + line("bob", "builder", 10))
    found, _ = await asyncio.gather(world.check("alice", "wonder"), write_the_rest())
    assert found


@pytest.mark.parametrize("broken", ["no colon", None, "x" * 70_000, "folder"])
async def test_a_broken_file_leaves_the_users_there_were(
    world: World, broken: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    assert await world.check("alice", "wonder")
    whole = world.path.read_text()
    world.path.unlink()
    if broken == "folder":
        world.path.mkdir()
    elif broken is not None:
        world.path.write_text(f"bob:x\n{broken}\n")
    assert await world.check("alice", "wonder")
    assert await world.check("bob", "builder")
    assert not await world.check("bob", "x")
    (told,) = [each.message for each in caplog.records if each.levelname == "ERROR"]
    assert "; who could log in before still can" in told
    assert "bob:x" not in told
    if broken == "folder":
        world.path.rmdir()
    world.path.write_text(whole.replace("bob", "rob"))
    assert await world.check("rob", "builder")
    assert not await world.check("bob", "builder")
    assert "can be read again" in caplog.text


async def test_without_any_file_so_far_nobody_is_told_right_or_wrong(world: World) -> None:
    world.path.unlink()
    for _ in range(3):
        with pytest.raises(Busy) as raised:
            await world.check("alice", "wonder")
        assert raised.value.failure is Failure.UNAVAILABLE
    world.path.write_text(line("alice", "wonder"))
    assert await world.check("alice", "wonder")


async def test_lines_without_effect_are_told_once_when_the_file_changes(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    await world.settle()
    world.path.write_text(line("alice", "wonder") + "".join(f"u{each}:$apr1$x$y\n" for each in range(9)))
    await world.settle()
    await world.settle()
    told = [each.message for each in caplog.records if each.levelname == "WARNING"]
    assert len(told) == 6
    assert "line 2 (u0) has no effect" in told[0]
    assert "4 more lines have no effect" in told[5]


# Many at once.


async def slow_world(world: World, *, users: int = 0, cost: int = 9) -> None:
    """Gives checks a cost that can be waited for."""
    world.path.write_text(line("alice", "wonder", cost) + "".join(line(f"u{n}", f"p{n}", cost) for n in range(users)))


async def test_one_is_checked_at_a_time(world: World) -> None:
    await slow_world(world, users=6)
    await asyncio.gather(*(world.check(f"u{each}", f"p{each}") for each in range(6)))
    assert world.told.outcomes[Outcome.RIGHT] == 6
    assert sum(each.name.startswith("bcrypt") for each in threading.enumerate()) == 1


async def test_checks_keep_to_half_of_the_cores_and_requests_to_all(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    cores, kept_to = os.sched_getaffinity(0), list[set[int]]()

    def compare(_: bytes, __: bytes) -> bool:
        kept_to.append(os.sched_getaffinity(0))
        return True

    monkeypatch.setattr(passwords, "compare", compare)
    assert await world.check("alice", "wonder")
    assert kept_to == [set(sorted(cores)[len(cores) // 2 :])]
    assert os.sched_getaffinity(0) == cores


async def test_remembered_users_never_wait(world: World) -> None:
    await slow_world(world, cost=11)
    assert await world.check("alice", "wonder")
    waiting = [asyncio.create_task(world.check("alice", f"guess {each}")) for each in range(5)]
    await asyncio.sleep(0.01)
    began = time.perf_counter()
    for _ in range(20):
        assert await world.check("alice", "wonder")
    assert time.perf_counter() - began < 1
    assert not any(each.done() for each in waiting[1:])
    assert await asyncio.gather(*waiting) == [False] * 5


async def test_a_newcomer_does_not_wait_behind_a_flood(world: World) -> None:
    await slow_world(world)
    flood = [asyncio.create_task(world.check("alice", f"guess {each}", "192.0.2.66")) for each in range(9)]
    await asyncio.sleep(0)
    assert await world.check("alice", "wonder", "192.0.2.2")
    assert sum(each.done() for each in flood) <= 2
    await asyncio.gather(*flood)


async def test_who_comes_back_waits_behind_no_stranger_however_many_there_are(world: World) -> None:
    """Each of them from an address of its own: turns alone would not help."""
    assert await world.check("alice", "wonder")
    world.clock.now += REMEMBERED_SECONDS
    world.passwords._takes = 0.5
    strangers = [asyncio.create_task(world.check("bob", f"guess {n}", f"198.51.100.{n}")) for n in range(100)]
    await asyncio.sleep(0)
    checks = world.told.checks
    back = asyncio.create_task(world.check("alice", "wonder"))
    more = [asyncio.create_task(world.check("bob", f"guess {n}", f"203.0.113.{n}")) for n in range(100)]
    assert await back
    assert world.told.checks - checks <= 2
    await asyncio.gather(*strangers, *more, return_exceptions=True)


async def test_what_waits_is_bounded_and_taken_from_whoever_has_most(world: World) -> None:
    await slow_world(world, users=1)
    world.passwords._takes = 1.0  # so ten may wait, five of one client
    flood = [asyncio.create_task(world.check("alice", f"guess {each}", "192.0.2.66")) for each in range(20)]
    await asyncio.sleep(0)
    others = [
        asyncio.create_task(world.check("alice", f"guess {each}", f"192.0.2.{each % 2}")) for each in range(100, 105)
    ]
    mine = asyncio.create_task(world.check("u0", "p0", "192.0.2.7"))
    assert await mine
    found = await asyncio.gather(*flood, return_exceptions=True)
    refused = [each for each in found if isinstance(each, Busy)]
    assert len(refused) >= 15
    assert all(each.failure is Failure.BUSY and each.retry_after >= 1 for each in refused)
    assert await asyncio.gather(*others) == [False] * 5


async def test_after_some_wrong_passwords_no_more_are_checked_from_there(world: World) -> None:
    await world.check("bob", "builder", "192.0.2.2")
    found = await asyncio.gather(*(world.check("alice", f"guess {each}") for each in range(30)), return_exceptions=True)
    assert found[:AT_ONCE] == [False] * AT_ONCE
    assert all(isinstance(each, Busy) for each in found[AT_ONCE:])
    assert world.told.checks == AT_ONCE + 1
    with pytest.raises(Busy) as raised:
        await world.check("alice", "wonder")
    assert raised.value.retry_after == RECOVERY_SECONDS
    assert await world.check("alice", "wonder", "192.0.2.3")  # nobody is locked out by name
    assert await world.check("alice", "wonder")  # which is remembered, here too
    assert await world.check("bob", "builder")
    world.clock.now += RECOVERY_SECONDS
    assert not await world.check("alice", "another guess")
    with pytest.raises(Busy):
        await world.check("alice", "yet another")


async def test_who_has_logged_in_there_logs_in_again_however_much_others_try(world: World) -> None:
    assert await world.check("bob", "builder")
    await asyncio.gather(*(world.check("alice", f"guess {each}") for each in range(30)), return_exceptions=True)
    world.clock.now += REMEMBERED_SECONDS
    await asyncio.gather(*(world.check("alice", f"more {each}") for each in range(90)), return_exceptions=True)
    assert await world.check("bob", "builder")


async def test_the_same_wrong_password_again_is_no_other_try(world: World) -> None:
    for _ in range(AT_ONCE * 2):
        assert not await world.check("alice", "old password")
    assert await world.check("bob", "builder")


async def test_who_leaves_before_its_turn_is_not_checked(world: World) -> None:
    await slow_world(world)
    await world.settle()
    first = asyncio.create_task(world.check("alice", "one"))
    left = [asyncio.create_task(world.check("alice", f"two {each}", f"192.0.2.{each}")) for each in range(3)]
    stays = asyncio.create_task(world.check("alice", "two 0", "192.0.2.0"))
    await asyncio.sleep(0)
    assert len(world.passwords._queue) >= 3
    for each in left:
        each.cancel()
    await asyncio.gather(*left, return_exceptions=True)
    assert [await first, await stays] == [False, False]
    assert await world.check("alice", "wonder")
    assert world.told.checks == 3


async def test_the_end_leaves_nobody_waiting(world: World) -> None:
    await slow_world(world)
    waiting = [asyncio.create_task(world.check("alice", f"guess {each}")) for each in range(5)]
    async with asyncio.timeout(20):
        while world.passwords._thread is None:  # noqa: ASYNC110 - nothing says that a check has begun
            await asyncio.sleep(0.001)
    await world.passwords.close()
    found = await asyncio.gather(*waiting, return_exceptions=True)
    assert all(isinstance(each, Busy) or each is False for each in found)
    assert any(isinstance(each, Busy) for each in found)
    with pytest.raises(Busy):
        await world.check("alice", "wonder")


async def test_the_loop_goes_on_while_a_password_is_checked(world: World) -> None:
    await slow_world(world, cost=12)
    checking = asyncio.create_task(world.check("alice", "wonder"))
    turns = 0
    while not checking.done():
        await asyncio.sleep(0.001)
        turns += 1
    assert turns > 30


async def test_time_tells_nobody_which_users_there_are(world: World) -> None:
    world.path.write_text(line("alice", "wonder", 9) + line("bob", "builder", 9))

    async def seconds(user: str, number: int) -> float:
        began = time.thread_time()
        cpu = time.process_time()
        assert not await world.check(user, f"guess {number}", f"192.0.2.{number}")
        return time.process_time() - cpu - (time.thread_time() - began)

    await seconds("alice", 200)
    taken = {user: [await seconds(user, each) for each in range(15)] for user in ("alice", "nobody", "somebody")}
    known, *unknown = (statistics.median(each) for each in taken.values())
    assert known > 0.01
    assert unknown == pytest.approx([known, known], rel=0.25)


# The scheme.

CALLER = Caller(HERE, "curl", "v2", "https://registry.example")


async def test_the_scheme_takes_basic_and_nothing_else(world: World) -> None:
    scheme = HtpasswdScheme('our "realm"', world.passwords)
    assert await scheme.identify(Basic("alice", "wonder"), CALLER) == Identity("alice", "htpasswd")
    assert await scheme.identify(Bearer("alice"), CALLER) is None
    assert await scheme.identify(None, CALLER) is None
    with pytest.raises(WrongCredentials) as known:
        await scheme.identify(Basic("alice", "guess"), CALLER)
    with pytest.raises(WrongCredentials) as unknown:
        await scheme.identify(Basic("nobody", "guess"), CALLER)
    assert known.value.reason == unknown.value.reason
    assert known.value.failure is unknown.value.failure is Failure.PASSWORD
    assert scheme.challenge(CALLER, ()) == r'Basic realm="our \"realm\""'


def shown(user: str, password: str) -> str:
    return "Basic " + b64encode(f"{user}:{password}".encode("utf-8", "surrogateescape")).decode()


async def test_the_same_header_is_known_again_as_long_as_its_line_is_there(world: World) -> None:
    recall = HtpasswdScheme("here", world.passwords).recall
    header = shown("alice", "wonder")
    assert recall(header) is None
    assert await world.check("alice", "wonder")
    assert not await world.check("alice", "guess")
    assert not await world.check("nobody", "guess")
    assert recall(header) == Identity("alice", "htpasswd")
    for other in (shown("alice", "guess"), shown("nobody", "guess"), header.lower(), header + " ", "", "Basic"):
        assert recall(other) is None
    checks = world.told.checks
    world.path.write_text(line("bob", "builder") + "\n" + world.path.read_text().splitlines()[0] + "\n")
    assert await world.check("alice", "wonder")
    assert world.told.checks == checks
    assert recall(header) == Identity("alice", "htpasswd")
    world.path.write_text(line("bob", "builder"))
    world.clock.now += LOOK_SECONDS
    assert recall(header) is None
    assert not await world.check("alice", "wonder")
    assert recall(header) is None


async def test_a_header_is_known_again_while_it_is_in_use(world: World) -> None:
    await world.settle()
    recall = world.passwords.recall
    assert await world.check("alice", "wonder")
    for _ in range(3):
        world.clock.now += REMEMBERED_SECONDS - 1
        assert recall(shown("alice", "wonder")) == "alice"
    world.clock.now += REMEMBERED_SECONDS
    assert recall(shown("alice", "wonder")) is None
    assert await world.check("alice", "wonder")
    assert world.told.checks == 2


async def test_the_question_whether_a_header_is_known_holds_no_credentials(world: World) -> None:
    """Answers that are given again keep it for as long as they are kept themselves."""
    await world.settle()
    assert await world.check("alice", "wonder")
    ask = world.passwords.recalling(shown("alice", "wonder"))
    assert ask() == "alice"
    held = texts_held_by(ask)
    assert "alice" in held
    assert not any("wonder" in each or shown("alice", "wonder")[6:] in each for each in held)
    world.clock.now += REMEMBERED_SECONDS
    assert ask() is None


async def test_two_passwords_with_the_same_72_bytes_are_each_known_again(world: World) -> None:
    world.path.write_text(line("long", "x" * 72))
    for password in ("x" * 72, "x" * 80):
        assert await world.check("long", password)
        assert world.passwords.recall(shown("long", password)) == "long"
    assert world.told.checks == 1
