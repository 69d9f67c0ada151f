"""What was answered is told: after a kill, on a full disk, by a command."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.commands import children, portside, running_command
from tests.support.mounts import fill_up, mounted_tmpfs
from tests.support.serving_here import OCI_MANIFEST, make_manifest
from tests.support.told import SERVE, Pusher, ask, connected, events_of, wait_for, words
from tests.support.v1server import make_pushed
from tests.support.webhooks import Webhook, webhook

MOST_TOLD = 2000


def test_a_deletion_by_the_command_is_told_by_the_server_beside_it(tmp_path: Path) -> None:
    with webhook() as hook:
        (tmp_path / "c.yml").write_text(SERVE.format(data=tmp_path / "data", url=hook.url))
        with running_command("serve", "c.yml", folder=tmp_path) as running:
            with connected(running, "v2") as v2:
                Pusher("team/app").push(v2, 1)
            done = portside("delete", "team/app", "c.yml", "--yes", folder=tmp_path)
            assert done.returncode == 0, done.stderr
            events = wait_for(hook, "team/app", lambda found: found == "delete team/app")
    *tags, manifest, _ = [event for event in events if event["action"] == "delete"]
    assert [words(event) for event in tags] == ["delete team/app:moves", "delete team/app:t1"]
    assert words(manifest).startswith("delete team/app sha256:")
    assert {event["request"]["useragent"] for event in (*tags, manifest)} == {"portside delete"}


def test_where_events_find_no_room_the_change_is_made_and_refused_until_it_can_be_told(tmp_path: Path) -> None:
    events = tmp_path / "data/docker/registry/portside/primary/events"
    with webhook() as hook, mounted_tmpfs(events):
        (tmp_path / "c.yml").write_text(SERVE.format(data=tmp_path / "data", url=hook.url))
        with (
            running_command("serve", "c.yml", folder=tmp_path) as running,
            connected(running, "v1") as v1,
            connected(running, "v2") as v2,
        ):
            pusher = Pusher("team/app")
            pusher.push(v2, 1)
            image = make_pushed("a")
            for part, headers, body in (
                ("json", {}, image.json),
                ("layer", {}, image.layer),
                ("checksum", {"X-Docker-Checksum-Payload": image.payload}, b""),
            ):
                assert ask(v1, "PUT", f"/v1/images/{image.id}/{part}", body, headers) == 200
            filler = fill_up(events)
            manifest = make_manifest(b"team/app 1", b"a layer")
            typed = {"Content-Type": OCI_MANIFEST}
            told = 0  # the room that the log has taken before is used up first
            while ask(v2, "PUT", f"/v2/team/app/manifests/n{told}", manifest, typed) == 201:
                told += 1
                assert told < MOST_TOLD
            last = f"n{told + 20}"  # what is left of a page may take an event or two
            statuses = [
                ask(v2, "PUT", f"/v2/team/app/manifests/n{told + 1 + more}", manifest, typed) for more in range(20)
            ]
            assert statuses[-1] == 507
            assert ask(v2, "GET", f"/v2/team/app/manifests/{last}") == 200
            tag = "/v1/repositories/team/old/tags/1"
            assert ask(v1, "PUT", tag, json.dumps(image.id).encode()) == 507
            assert ask(v1, "GET", tag) == 200
            assert ask(v2, "DELETE", "/v2/team/app/manifests/n0") == 507
            assert ask(v2, "DELETE", "/v2/team/app/manifests/n0") == 404
            filler.unlink()
            assert ask(v2, "PUT", f"/v2/team/app/manifests/{last}", manifest, typed) == 201
            assert ask(v1, "PUT", tag, json.dumps(image.id).encode()) == 200
            events_of_v1 = wait_for(hook, "team/old", lambda found: found.startswith("push team/old:1 "))
            assert events_of_v1[-1]["portside"] == {"generation": "v1", "imageID": image.id}
            events_of_v2 = wait_for(hook, "team/app", lambda found: found.startswith(f"push team/app:{last} "))
            pushed = [event["target"].get("tag") for event in events_of_v2 if event["action"] == "push"]
            found_room = [f"n{told + 1 + more}" for more, status in enumerate(statuses) if status == 201]
            assert pushed[4:] == [*[f"n{number}" for number in range(told)], *found_room, last]


KILLS = 12
FEWEST_ANSWERED = 3
MOST_ANSWERED = 40
"""For each kill, on a machine however busy: fewer would show nothing."""


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_whatever_was_answered_before_a_kill_is_told_in_its_order(tmp_path: Path) -> None:
    generator = random.Random(20261127)
    pushers: list[Pusher] = []
    with webhook() as hook:
        (tmp_path / "c.yml").write_text(SERVE.format(data=tmp_path / "data", url=hook.url))
        for kill in range(KILLS):
            with running_command("serve", "c.yml", folder=tmp_path) as running:
                port = running.port("v2")
                now = [Pusher(f"k{kill}/{number}") for number in range(3)]
                pushers += now
                with ThreadPoolExecutor(len(now)) as threads:
                    futures = [threads.submit(pusher.run, port) for pusher in now]
                    wait_for_answers(now, generator.randint(FEWEST_ANSWERED, MOST_ANSWERED))
                    time.sleep(generator.uniform(0, 0.01))
                    kill_all(running.process.pid)
                    for future in futures:
                        future.result()
        with running_command("serve", "c.yml", folder=tmp_path) as running:
            deadline = time.monotonic() + 30
            while missing := {pusher.name: each for pusher in pushers if (each := not_told(pusher, hook)) is not None}:
                assert time.monotonic() < deadline, f"answered and not told in this order: {missing}"
                time.sleep(0.1)
        said = running.err.read_text()
    assert "were dropped" not in said


def wait_for_answers(pushers: Sequence[Pusher], count: int) -> None:
    """Waits until they have got so many."""
    deadline = time.monotonic() + 60
    while sum(len(pusher.answered) for pusher in pushers) < count:
        assert time.monotonic() < deadline
        time.sleep(0.001)


def kill_all(parent: int) -> None:
    """Ends a program and its workers at once."""
    for pid in (parent, *children(parent)):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def not_told(pusher: Pusher, hook: Webhook) -> str | None:
    """The first thing that was answered and not told in its order; more may be told in between and at the end."""
    told = (words(event) for event in events_of(hook) if event["target"].get("repository") == pusher.name)
    return next((each for each in pusher.answered if all(found != each for found in told)), None)
