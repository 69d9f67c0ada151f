"""The program's log: its forms, its fields, and what never gets into it."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portside.observe.logging import Log, LogSettings, escaped

FIELDS = {"service": "registry", "odd key": 'a "b" c', "level": "mine", "nested": {"a": 1}}


@pytest.fixture(autouse=True)
def _root_logger() -> Iterator[None]:
    """Gives the root logger back as it was."""
    root, quiet = logging.getLogger(), logging.getLogger("asyncio")
    handlers, level, quiet_level = root.handlers[:], root.level, quiet.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    quiet.setLevel(quiet_level)


def _started(**settings: Any) -> Log:
    log = Log(LogSettings(**{"fields": FIELDS, **settings}), version="1.2.3", instance="an-id")
    log.start()
    return log


def test_text_is_a_line_of_keys_and_values_with_the_fields_on_it(capsys: pytest.CaptureFixture[str]) -> None:
    log = _started()
    logging.getLogger("portside.x").warning("it is %s", "so")
    log.stop()
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("time=20")
    for part in (
        'level=warning msg="it is so"',
        "service=registry",
        'odd_key="a \\"b\\" c"',
        "instance.id=an-id",
        "version=1.2.3",
        "logger=portside.x",
    ):
        assert part in line
    assert "mine" not in line  # what the event says of itself goes before a field of the same name


@pytest.mark.parametrize(("form", "message"), [("json", "msg"), ("logstash", "message")])
def test_json_is_one_object_a_line_tracebacks_included(
    capsys: pytest.CaptureFixture[str], form: str, message: str
) -> None:
    log = _started(formatter=form)
    try:
        raise ValueError("two\nlines")
    except ValueError:
        logging.getLogger("portside.x").exception("it\nfailed")
    log.stop()
    (line,) = capsys.readouterr().err.splitlines()
    event = json.loads(line)
    assert event[message] == "it\nfailed"
    assert event["level"] == "error"
    assert event["instance.id"] == "an-id"
    assert event["nested"] == {"a": 1}
    assert "ValueError: two\nlines" in event["exception"]
    assert ("@timestamp" in event) == (form == "logstash")


def test_in_text_no_line_of_a_traceback_passes_for_an_event(capsys: pytest.CaptureFixture[str]) -> None:
    log = _started()
    try:
        raise ValueError("x\ntime=now level=info msg=forged\r\x1b[2Jtime=now\u2028time=now")
    except ValueError:
        logging.getLogger("portside.x").exception("a\ntime=forged")
    log.stop()
    first, *rest = capsys.readouterr().err.split("\n")[:-1]
    assert 'msg="a\\\\ntime=forged"' in first
    assert "Traceback (most recent call last):" in rest[0]
    assert all(line.startswith("    ") and line.isprintable() for line in rest)


def test_levels_are_obeyed_and_the_event_loop_s_own_chatter_is_not_heard(capsys: pytest.CaptureFixture[str]) -> None:
    log = _started(level="debug")
    logging.getLogger("portside.x").debug("heard")
    logging.getLogger("asyncio").debug("chatter")
    log.stop()
    heard = capsys.readouterr().err
    assert "heard" in heard
    assert "chatter" not in heard
    log = _started(level="error")
    logging.getLogger("portside.x").warning("not heard")
    log.stop()
    assert "not heard" not in capsys.readouterr().err


async def test_what_the_event_loop_reports_is_logged_too(capsys: pytest.CaptureFixture[str]) -> None:
    log = _started()
    asyncio.get_running_loop().call_exception_handler({"message": "something was lost"})
    log.stop()
    assert 'msg="something was lost"' in capsys.readouterr().err


def test_a_log_that_nobody_reads_stops_nobody_and_says_how_much_was_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    with os.fdopen(writing, "w", buffering=1) as full:
        monkeypatch.setattr(sys, "stderr", full)
        log = _started()
        start = time.monotonic()
        for number in range(15_000):
            logging.getLogger("portside.x").warning("line %d", number)
        assert time.monotonic() - start < 10
        heard: list[bytes] = []
        reader = threading.Thread(target=_drain, args=(reading, heard))
        reader.start()
        deadline = time.monotonic() + 20
        while not any(b"were dropped" in part for part in heard):
            assert time.monotonic() < deadline
            logging.getLogger("portside.x").warning("one more")
            time.sleep(0.05)
        log.stop()
    reader.join()


def _drain(descriptor: int, heard: list[bytes]) -> None:
    with os.fdopen(descriptor, "rb") as file:
        heard.extend(line for line in file if b"dropped" in line)


@given(st.text(st.characters(codec=None)))
def test_escaped_text_is_printable_and_printable_text_is_left_alone(text: str) -> None:
    assert escaped(text).isprintable()
    if text.isprintable():
        assert escaped(text) == text
