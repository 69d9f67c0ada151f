"""The program's log: its forms, its fields, and what never gets into it."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portside.observe.log_lines import escaped, render
from portside.observe.logging import Log, LogSettings, log_directly

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


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_line_says_where_it_was_logged_where_that_is_wanted(capsys: pytest.CaptureFixture[str], form: str) -> None:
    for caller in (True, False):
        log = _started(formatter=form, caller=caller)
        logging.getLogger("portside.x").warning("it is so")
        log.stop()
        (line,) = capsys.readouterr().err.splitlines()
        where = "test_a_line_says_where_it_was_logged_where_that_is_wanted"
        assert (where in line) is caller
        assert ("tests/unit/test_logging.py:" in line) is caller
        assert "/tests/unit" not in line


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


@pytest.mark.parametrize("form", ["text", "json", "logstash"])
def test_a_process_without_threads_writes_the_same_lines_itself(tmp_path: Path, form: str) -> None:
    with (tmp_path / "log").open("wb") as file:
        settings = LogSettings("warn", form, FIELDS)
        log_directly(settings, version="1.2.3", instance="an-id", descriptor=file.fileno())
        logging.getLogger("portside").info("not heard")
        logging.getLogger("portside").warning("listening on %s", ":5000", extra={"listener": "v1"})
        try:
            raise ValueError("x" * 10_000)
        except ValueError:
            logging.getLogger("portside").exception("it failed")
    text = (tmp_path / "log").read_text()
    assert "not heard" not in text
    assert "x" * 10_000 in text
    first = text.splitlines()[0]
    if form == "text":
        assert 'level=warning msg="listening on :5000" listener=v1 logger=portside service=registry' in first
    else:
        assert json.loads(first) | {"listener": "v1", "instance.id": "an-id", "service": "registry"} == json.loads(
            first
        )
        assert len(text.splitlines()) == 2


def test_a_reader_that_takes_nothing_delays_the_parent_a_second_at_most(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    log_directly(LogSettings(), version="1", instance="i", descriptor=writing)
    start = time.monotonic()
    for number in range(5_000):
        logging.getLogger("portside").warning("line %d", number)
    assert time.monotonic() - start < 5
    os.set_blocking(reading, False)
    os.read(reading, 1 << 20)
    logging.getLogger("portside").warning("heard again")
    assert os.read(reading, 1 << 20).endswith(b"version=1\n")
    os.close(reading)
    logging.getLogger("portside").warning("nobody is there")
    os.close(writing)


def test_threads_and_finalizers_that_fail_are_logged(tmp_path: Path) -> None:
    program = """
import threading, warnings
from portside.observe.logging import LogSettings, log_directly, log_what_python_prints
log_directly(LogSettings(formatter="json"), version="1", instance="i")
log_what_python_prints()
class Bad:
    def __del__(self):
        raise ValueError("in a finalizer")
Bad()
thread = threading.Thread(target=lambda: 1 / 0)
thread.start(); thread.join()
warnings.warn("a warning")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True)
    events = [json.loads(line) for line in done.stderr.splitlines()]
    assert [event["level"] for event in events] == ["error", "error", "warning"]
    assert "in a finalizer" in events[0]["exception"]
    assert "ZeroDivisionError" in events[1]["exception"]
    assert "a warning" in events[2]["msg"]


_TEXT = st.text(st.characters(codec=None))


@given(st.dictionaries(_TEXT, _TEXT | st.booleans() | st.none() | st.floats()), _TEXT)
def test_whatever_an_event_holds_its_line_is_one_and_json_is_json(event: dict[str, Any], exception: str) -> None:
    head, *below = render("text", {"time": "now", **event}, exception=exception).split("\n")
    assert head.isprintable()
    assert all(line.isprintable() and line.startswith("    ") for line in below)
    for form in ("json", "logstash"):
        line = render(form, {"time": "now", **event}, exception=exception)
        assert line.isascii()
        assert "\n" not in line
        assert isinstance(json.loads(line), dict)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("plain", "plain"),
        ("", '""'),
        ("two words", '"two words"'),
        ("a=b", '"a=b"'),
        ('say "x"', '"say \\"x\\""'),
        ("back\\slash", "back\\slash"),
        ("back\\ slash", '"back\\\\ slash"'),
        (True, "true"),
        (1.5, "1.5"),
        (None, "None"),
    ],
)
def test_text_is_quoted_where_it_must_be(value: object, shown: str) -> None:
    assert render("text", {"key": value}) == f"key={shown}"


def _drain(descriptor: int, heard: list[bytes]) -> None:
    with os.fdopen(descriptor, "rb") as file:
        heard.extend(line for line in file if b"dropped" in line)


@given(st.text(st.characters(codec=None)))
def test_escaped_text_is_printable_and_printable_text_is_left_alone(text: str) -> None:
    assert escaped(text).isprintable()
    if text.isprintable():
        assert escaped(text) == text
