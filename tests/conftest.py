"""For all tests: where everything is installed, nothing may be passed over."""

from __future__ import annotations

import os
from collections.abc import Generator

import pytest
from hypothesis import settings

from tests.support.docker_registry_0_9_1 import NOT_HERE

# How long an example takes says more of the machine's other work than of the code; a test of speed measures it itself.
settings.register_profile("portside", deadline=None)
settings.load_profile("portside")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """With PORTSIDE_NO_SKIP set, a skip is a failure that says what was to be installed.

    Only what needs a Python 2.7 may be skipped: no system brings one any more.
    """
    report = yield
    if report.skipped and os.environ.get("PORTSIDE_NO_SKIP") and NOT_HERE not in str(report.longrepr):
        report.outcome = "failed"
        report.longrepr = f"skipped, and nothing may be skipped here: {report.longrepr}"
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Shows what tests have recorded for the end of the run: the totals of suites that are not ours."""
    reports = [each for kind in ("passed", "failed") for each in terminalreporter.stats.get(kind, [])]
    for line in sorted(
        str(value) for report in reports for key, value in report.user_properties if key == "shown at the end"
    ):
        terminalreporter.write_line(line)
