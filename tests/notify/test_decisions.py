"""What is decided without files and sockets: when to try again, what is forgotten."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.notify import file_log
from backends.notify.breaker import Breaker
from backends.notify.envelope import encode_envelope, parse_event
from backends.notify.file_log import FileLog
from backends.notify.settings import EndpointSettings, NotifySettings


def test_a_breaker_waits_from_the_threshold_on_and_begins_anew_with_a_success() -> None:
    breaker = Breaker(3, 10.0)
    waits = []
    for now in (0.0, 1.0, 2.0, 12.0, 15.0):
        breaker.failed(now)
        waits.append(breaker.wait(now))
    assert waits == pytest.approx([0.01, 0.01, 10.0, 10.0, 10.0])
    assert breaker.wait(20.0) == 5.0
    assert breaker.wait(30.0) == 0.0
    breaker.succeeded()
    breaker.failed(40.0)
    assert breaker.wait(40.0) == pytest.approx(0.01)
    assert Breaker(1, 1e-9).wait(0.0) == 0.0


texts = st.text(st.characters(exclude_categories=["Cs"]))
values = st.recursive(
    st.none() | st.booleans() | st.integers() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=10,
)


@given(st.dictionaries(texts, values, max_size=4))
def test_an_envelope_says_what_the_event_says(document: dict[str, object]) -> None:
    body = encode_envelope(parse_event(json.dumps(document).encode()))
    assert json.loads(body) == {"events": [document]}
    assert not {60, 62, 38} & set(body), "Go writes <, > and & as escapes"


def test_what_is_not_an_object_is_not_an_event() -> None:
    for content in (b"[]", b"1", b"{", b"", b"\xff"):
        with pytest.raises(ValueError):
            parse_event(content)


async def test_an_endpoint_that_nobody_uses_is_forgotten_after_a_day_and_not_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def settings(*names: str) -> NotifySettings:
        return NotifySettings(tuple(EndpointSettings(name, "http://h/", key=name) for name in names))

    places = tmp_path / "docker/registry/portside/primary/events/endpoints"
    both = FileLog(tmp_path, settings("kept", "gone", "held"))
    await both.prepare()
    await both.append([b"{}"])
    held = await both.open_queue("held")
    assert held is not None
    day_ago = time.time() - 25 * 3600
    for path in places.glob("*/*"):
        os.utime(path, (day_ago, day_ago))
    log = FileLog(tmp_path, settings("kept"))
    await log.tend()
    assert sorted(each.name for each in places.iterdir()) == ["gone", "held", "kept"], "it has just started"
    monkeypatch.setattr(file_log, "FORGET_SECONDS", -1.0)
    await log.tend()
    assert sorted(each.name for each in places.iterdir()) == ["held", "kept"], "a process sends to one of them"
    await held.close()
    for each in (both, log):
        await each.close()
