"""What health remembers, bounds and counts."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Sequence

import pytest

from portside.observe import health
from portside.observe.health import Check, Finding, Health, Report
from portside.observe.voice import Voice

WRONG = Finding("storage", "it is gone", fatal=True)
HALF = Finding("storage", "it is full", fatal=False)


class Looked:
    """A probe that finds what it is told to, and counts."""

    def __init__(self, *found: Finding) -> None:
        self.found: Sequence[Finding] = found
        self.times = 0
        self._looked = asyncio.Event()

    async def __call__(self) -> Sequence[Finding]:
        self.times += 1
        self._looked.set()
        await asyncio.sleep(0)
        return self.found

    async def more_than(self, times: int) -> None:
        async with asyncio.timeout(60):
            while self.times <= times:
                self._looked.clear()
                await self._looked.wait()


@pytest.mark.parametrize(
    ("findings", "status", "whole", "short"),
    [
        ((), 200, {}, {}),
        ((HALF,), 200, {"storage": "it is full"}, {}),
        ((WRONG,), 503, {"storage": "it is gone"}, {"storage": "failing"}),
        (
            (HALF, Finding("v1 registry", "down", fatal=True)),
            503,
            {"storage": "it is full", "v1 registry": "down"},
            {"v1 registry": "failing"},
        ),
    ],
)
def test_a_report_is_503_when_pulls_do_not_work_and_names_everything_that_is_wrong(
    findings: tuple[Finding, ...], status: int, whole: dict[str, str], short: dict[str, str]
) -> None:
    report = Report(findings)
    assert report.status == status
    assert json.loads(report.body(whole=True)) == whole
    assert json.loads(report.body(whole=False)) == short


async def test_however_many_ask_it_looks_once_an_interval() -> None:
    looked = Looked()
    asked = Health([Check("storage", looked, interval_seconds=60)])
    await asyncio.gather(*(asked.report() for _ in range(100)))
    for _ in range(100):
        assert (await asked.report()).status == 200
    assert looked.times == 1


async def test_it_looks_again_when_the_interval_is_over() -> None:
    looked = Looked()
    asked = Health([Check("storage", looked, interval_seconds=1)])
    assert (await asked.report()).status == 200
    looked.found = [WRONG]
    assert (await asked.report()).status == 200
    await asyncio.sleep(1.1)
    assert (await asked.report()).status == 503


async def test_who_asks_and_goes_away_takes_nobody_s_answer_along() -> None:
    looked = Looked(WRONG)
    asked = Health([Check("storage", looked, interval_seconds=60)])
    first, second = (asyncio.ensure_future(asked.report()) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    assert (await second).status == 503
    assert looked.times == 1


@pytest.mark.parametrize(("threshold", "looks"), [(0, 1), (1, 1), (3, 3)])
async def test_a_finding_is_told_when_it_was_made_so_many_times_in_a_row(threshold: int, looks: int) -> None:
    looked = Looked(WRONG)
    check = Check("storage", looked, threshold=threshold)
    told = []
    for found in (*[WRONG] * (looks - 1), None, *[WRONG] * looks):  # the first ones are not in a row with the last
        looked.found = [found] if found is not None else []
        await check.look()
        told.append(check.findings)
    assert told == [()] * (2 * looks - 1) + [(WRONG,)]


async def test_a_check_that_hangs_is_a_finding_and_is_not_begun_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "BOUND_SECONDS", 0.02)
    goes_on = asyncio.Event()
    begun = 0

    async def hang() -> Sequence[Finding]:
        nonlocal begun
        begun += 1
        await goes_on.wait()
        return ()

    check = Check("storage", hang)
    for _ in range(3):
        await check.look()
        (finding,) = check.findings
        assert (finding.what, finding.fatal) == ("storage", True)
        assert "has not answered" in finding.reason
    assert begun == 1
    goes_on.set()
    await check.look()
    assert check.findings == ()


async def test_a_check_that_fails_itself_is_a_finding_and_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def fail() -> Sequence[Finding]:
        raise RuntimeError("nobody expected this")

    check = Check("storage", fail)
    await check.look()
    (finding,) = check.findings
    assert finding.fatal
    (record,) = caplog.records
    assert record.exc_info is not None


async def test_a_change_is_told_once_and_not_a_line_a_question() -> None:
    told: list[tuple[Report, Report]] = []
    looked = Looked()
    asked = Health([Check("storage", looked, interval_seconds=0)], on_change=lambda *each: told.append(each))
    for found in ([], [], [WRONG], [Finding("storage", "it is still gone", fatal=True)], [HALF], [], []):
        looked.found = found
        await asked.report()
    assert [(before.status, now.status) for before, now in told] == [(200, 503), (503, 200), (200, 200)]
    assert told[-1] == (Report((HALF,)), Report(()))


async def test_it_looks_by_itself_while_it_is_watched() -> None:
    looked = Looked()
    asked = Health([Check("storage", looked, interval_seconds=0.01)])
    watching = asyncio.ensure_future(asked.watch())
    await looked.more_than(3)
    watching.cancel()


async def test_each_check_has_its_own_interval_and_one_that_hangs_keeps_no_other() -> None:
    often, seldom, goes_on = Looked(), Looked(), asyncio.Event()

    async def hang() -> Sequence[Finding]:
        await goes_on.wait()
        return ()

    asked = Health(
        [
            Check("hangs", hang, interval_seconds=0.01, bound_seconds=60),
            Check("often", often, interval_seconds=0.01),
            Check("seldom", seldom, interval_seconds=60),
        ]
    )
    watching = asyncio.ensure_future(asked.watch())
    await often.more_than(3)
    assert seldom.times == 1
    goes_on.set()
    await asked.report()  # the first look of one that hung is waited for, and no other
    often.found = [WRONG]
    await often.more_than(often.times + 1)
    goes_on.clear()
    async with asyncio.timeout(20):
        assert (await asked.report()).status == 503
    watching.cancel()
    await asyncio.wait([watching])
    await asked.close()


async def test_nobody_waits_for_a_first_look_that_may_take_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "BOUND_SECONDS", 0.02)
    looked = Looked(HALF)

    async def hang() -> Sequence[Finding]:
        await asyncio.sleep(60)
        return ()

    asked = Health([Check("storage", looked), Check("far away", hang, bound_seconds=3600)])
    for _ in range(2):
        async with asyncio.timeout(20):
            assert (await asked.report()).findings == (HALF,)
    await asked.close()


async def test_only_a_check_that_says_so_stops_requests() -> None:
    storage, named = Looked(WRONG), Looked()
    asked = Health(
        [
            Check("storage", storage, interval_seconds=0),
            Check("/down", named, interval_seconds=0, stops_requests=True),
        ]
    )
    stops = []
    for found in ([], [Finding("/down", "file exists", fatal=True, public="health.file.0")], []):
        named.found = found
        report = await asked.report()
        stops.append(asked.stops_requests)
        if found:
            assert json.loads(report.body(whole=False)) == {"storage": "failing", "health.file.0": "failing"}
            assert json.loads(report.body(whole=True)) == {"storage": "it is gone", "/down": "file exists"}
    assert stops == [False, True, False]


async def test_a_check_that_only_slows_down_is_not_fatal_when_it_hangs() -> None:
    async def hang() -> Sequence[Finding]:
        await asyncio.sleep(60)
        return ()

    check = Check("redis", hang, bound_seconds=0.01, fatal=False)
    asked = Health([check])
    report = await asked.report()
    assert report.status == 200
    assert [finding.what for finding in report.findings] == ["redis"]
    await asked.close()


def test_one_of_several_processes_speaks_and_another_one_when_it_ends() -> None:
    voice = Voice()
    ask, answer = os.pipe(), os.pipe()
    pid = os.fork()
    if pid == 0:
        os.write(answer[1], b"%d" % voice.is_ours())
        os.read(ask[0], 1)
        os._exit(0)
    assert os.read(answer[0], 1) == b"1"
    assert not voice.is_ours()
    os.write(ask[1], b"x")
    os.waitpid(pid, 0)
    assert voice.is_ours()
    assert voice.is_ours()
