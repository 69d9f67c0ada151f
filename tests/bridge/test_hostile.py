"""Images that nobody makes by accident cost a registry little time and memory, whoever asks for them in which form."""

from __future__ import annotations

import contextlib
import json
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.support.bridge_cells import asks
from tests.support.bridge_pushes import Place
from tests.support.hostile_images import ATTACKS, RefusedAtPushError
from tests.support.http_calls import Caller
from tests.support.portside import Form, RunningPortside, running_portside
from tests.support.processes import forget_peaks, peak_mib
from tests.support.wire import Response

SETTINGS: Final = {"gateway": {"conversions": {"patience": "5s"}}}
CLIENTS: Final = ("1.9.1", "1.13.1", "19.03.15", "20.10.24", "containerd 2")
MOST_SECONDS: Final = 30.0
"""containerd waits so long for the head of an answer."""

MOST_MIB: Final = 300


@pytest.fixture(scope="module")
def portside() -> Iterator[RunningPortside]:
    with tempfile.TemporaryDirectory(prefix="portside-") as folder, contextlib.ExitStack() as stack:
        yield stack.enter_context(running_portside(Form.ONE, Path(folder), SETTINGS))


@pytest.mark.timeout(300)
@pytest.mark.parametrize("attack", ATTACKS)
def test_it_costs_little(attack: str, portside: RunningPortside) -> None:
    name = f"team/{uuid.uuid4().hex[:12]}"
    forget_peaks(portside.pids.values())
    taken = True
    try:
        ATTACKS[attack](Place(portside.address, name, "b"))
    except RefusedAtPushError:
        taken = False
    for client in CLIENTS:
        check_answer(client, ask_for_it(client, portside, name), taken=taken)
    ask_v1_for_it(portside, name)
    begun = time.monotonic()
    assert Caller(portside.address, "a test").send("GET", "/v2/").status == 200
    assert time.monotonic() - begun < 5
    assert peak_mib(portside.pids.values()) < MOST_MIB
    assert "Traceback" not in portside.log()


def ask_for_it(client: str, portside: RunningPortside, name: str) -> Response:
    """An image or a refusal with a sentence, in time, and the same when asked again."""
    asked = asks(client)
    assert asked is not None
    agent, accepts = asked
    caller = Caller(portside.address, agent, timeout_s=MOST_SECONDS)
    fields = [("Accept", line) for line in accepts]
    answers = [caller.send(method, f"/v2/{name}/manifests/b", fields) for method in ("HEAD", "GET", "GET")]
    assert len({answer.status for answer in answers}) == 1, f"{client}: {[answer.status for answer in answers]}"
    assert answers[1].value("Docker-Content-Digest") == answers[2].value("Docker-Content-Digest")
    return answers[1]


def ask_v1_for_it(portside: RunningPortside, name: str) -> None:
    """All that describes it; the layers' bytes are the client's business."""
    caller = Caller(portside.address, "docker/1.3.3 go/go1.3.3 os/linux arch/amd64", timeout_s=MOST_SECONDS)
    assert caller.send("GET", f"/v1/repositories/{name}/images").status in {200, 404}
    tag = caller.send("GET", f"/v1/repositories/{name}/tags/b")
    assert tag.status in {200, 404}
    if tag.status == 200:
        top = json.loads(tag.body)
        ancestry = caller.send("GET", f"/v1/images/{top}/ancestry")
        assert ancestry.status == 200
        for image_id in json.loads(ancestry.body)[:10]:
            described = caller.send("GET", f"/v1/images/{image_id}/json")
            if described.status == 404:  # what its layer holds is found out when it is asked for
                assert json.loads(described.body)["error"].count(" ") > 3
                continue
            assert described.status == 200
            assert json.loads(described.body)["id"] == image_id
            assert caller.send("HEAD", f"/v1/images/{image_id}/layer").status == 200


def check_answer(client: str, answer: Response, *, taken: bool) -> None:
    """200, or why not."""
    if answer.status == 200:
        return
    error = json.loads(answer.body)["errors"][0]
    # Stored data that is broken is nobody's fault who asks; all else is "there is no such image for you".
    assert (answer.status, error["code"]) in {(404, "MANIFEST_UNKNOWN"), (500, "UNKNOWN")}, f"{client}: {answer.body!r}"
    assert error["message"].count(" ") > 3 or not taken, f"{client}: {error}"
