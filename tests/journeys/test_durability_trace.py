"""A trace of system calls proves: write, fsync, rename, fsync of the folder, and only then the answer."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests.support.nursery import GONE, Nursery, Promise, Push, V1Push, V2Push, open_nursery
from tests.support.ports import free_port
from tests.support.programs import find_program, wait_for_port
from tests.support.serving_here import blob_file
from tests.support.tracing import CALLS, Disk, answered_status, is_visible, read_calls

pytestmark = [pytest.mark.real, pytest.mark.timeout(120)]

ROOT = Path(__file__).parents[2]


TRUNCATED = b"a blob of which a crash has left nothing" * 1000


def ask(port: int, method: str, path: str, body: bytes = b"", **headers: str) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
    answer = connection.getresponse()
    answer.read()
    connection.close()
    assert answer.status < 300, (method, path, answer.status)
    return answer


def digest(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


def push_v2(port: int) -> None:
    layer, config = os.urandom(3_000_000), b"{}"
    for blob in (layer, config, layer, TRUNCATED):
        place = ask(port, "POST", "/v2/team/app/blobs/uploads/").headers["Location"].partition(f":{port}")[2]
        ask(port, "PATCH", place, blob)
        ask(port, "PUT", f"{place}?digest={digest(blob)}")
    ask(port, "POST", f"/v2/team/other/blobs/uploads/?mount={digest(layer)}&from=team/app")
    media_type = "application/vnd.oci.image.manifest.v1+json"
    parts = [{"mediaType": "application/x", "digest": digest(blob), "size": len(blob)} for blob in (config, layer)]
    manifest = {"schemaVersion": 2, "mediaType": media_type, "config": parts[0], "layers": parts[1:]}
    for tag in ("one", "two", "one"):
        ask(port, "PUT", f"/v2/team/app/manifests/{tag}", json.dumps(manifest).encode(), Content_Type=media_type)
        manifest["annotations"] = {"tag": tag}


def push_v1(port: int) -> None:
    ids = ["a" * 64, "b" * 64]
    ask(port, "PUT", "/v1/repositories/team/old/", json.dumps([{"id": each} for each in ids]).encode())
    for number, image_id in enumerate(ids):
        text = json.dumps({"id": image_id, **({"parent": ids[0]} if number else {})}).encode()
        layer = os.urandom(1_500_000)
        ask(port, "PUT", f"/v1/images/{image_id}/json", text)
        ask(port, "PUT", f"/v1/images/{image_id}/layer", layer)
        payload = digest(text + b"\n" + layer)
        ask(port, "PUT", f"/v1/images/{image_id}/checksum", X_Docker_Checksum_Payload=payload)
    for tag in ("one", "two", "one"):
        ask(port, "PUT", f"/v1/repositories/team/old/tags/{tag}", json.dumps(ids[1]).encode())
    ask(port, "PUT", "/v1/repositories/team/old/images", b"[]")


@pytest.mark.parametrize(
    ("role", "push", "acknowledges", "kinds"),
    [
        ("v2", push_v2, {201}, ("/data", "/_layers/", "/revisions/", "/current/link", "/index/")),
        ("v1", push_v1, {200, 204}, ("/data", "/layer", "/json", "/ancestry", "/_checksum", "/tag_one")),
    ],
)
@pytest.mark.parametrize("endpoints", [0, 1])
def test_no_answer_is_sent_before_a_power_cut_would_spare_what_it_promises(
    role: str,
    push: Callable[[int], None],
    acknowledges: set[int],
    kinds: tuple[str, ...],
    endpoints: int,
    tmp_path: Path,
) -> None:
    strace = find_program("strace")
    port, data, trace = free_port(), tmp_path / "data", tmp_path / "trace"
    truncated = blob_file(data, digest(TRUNCATED))  # its folder is there already
    truncated.parent.mkdir(parents=True)
    truncated.write_bytes(b"")
    settings = {
        "version": 0.1,
        "storage": {"filesystem": {"rootdirectory": str(data)}},
        "http": {"addr": f"127.0.0.1:{port}"},
        "gateway": {"workers": 1},
    }
    if endpoints:  # to one that is not there: the event is as durable as what it tells of
        endpoint = {"name": "a", "url": f"http://127.0.0.1:{free_port()}/", "threshold": 1, "backoff": "1h"}
        settings["notifications"] = {"endpoints": [endpoint]}
        kinds = (*kinds, "/events/log/0")
    config = tmp_path / "config.yml"
    config.write_text(yaml.safe_dump(settings))
    command = [strace, "-f", "-y", "-qq", "-s", "64", "-e", f"trace={CALLS}", "-o", str(trace)]
    program = [sys.executable, "-m", "portside.cli", role, str(config)]
    with subprocess.Popen(
        [*command, *program], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            wait_for_port(port, process)
            push(port)
        finally:
            for child in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split():
                os.kill(int(child), signal.SIGTERM)
            process.wait(20)
    disk = Disk(str(data))
    answers = 0
    for call, arguments, result in read_calls(trace):
        status = answered_status(call, arguments)
        if status in acknowledges:
            answers += 1
            assert not disk.would_be_lost(), f"answer {answers} was sent too early"
        if result >= 0:
            disk.play(call, arguments)
    assert not disk.faults
    assert answers >= 7
    seen = disk.visible()
    on_disk = [str(path.relative_to(data)) for path in data.rglob("*") if path.is_file() and path.stat().st_size]
    assert {path[1:] for path in seen} >= {path for path in on_disk if is_visible(f"/{path}")}, "the trace missed some"
    for kind in kinds:
        assert [path for path in seen if kind in path], f"no {kind} among {seen}"


MOST_SYNCS = 60


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("protocol", [V1Push, V2Push])
@pytest.mark.parametrize("fault", ["unsynced", "error"])
def test_a_push_repeated_after_a_fault_is_not_lost_in_a_power_cut(
    protocol: type[Push], fault: str, tmp_path: Path
) -> None:
    """Killed where a folder is to be synced, or told by the disk that it cannot be; then pushed again and acknowledged.

    What the second push found rather than made must be as safe as what it made.
    """
    for prefix in range(256):  # else a blob that is found is synced by chance, with the folder of another one
        (tmp_path / f"data/docker/registry/v2/blobs/sha256/{prefix:02x}").mkdir(parents=True)

    def push_again(push: Push, nursery: Nursery) -> None:
        push.run(nursery, Promise())
        push.check_whole_or_absent(nursery)

    rounds = repeat_after_faults(
        tmp_path, fault, protocol, lambda push, nursery: push.run(nursery, Promise()), repeat=push_again
    )
    assert rounds > 10, f"only {rounds} syncs of folders were met"


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("protocol", [V1Push, V2Push])
@pytest.mark.parametrize("fault", ["unsynced", "error"])
def test_what_a_repeated_deletion_found_gone_stays_away_after_a_power_cut(
    protocol: type[Push], fault: str, tmp_path: Path
) -> None:
    """Not found is an acknowledgement too, for a client that has asked before."""

    def push(push: Push, nursery: Nursery) -> None:
        push.run(nursery, Promise())

    def delete(push: Push, nursery: Nursery) -> None:
        push.delete(nursery)

    rounds = repeat_after_faults(tmp_path, fault, protocol, delete, repeat=delete, before=push)
    assert rounds >= 2


def repeat_after_faults(
    folder: Path,
    fault: str,
    protocol: type[Push],
    work: Callable[[Push, Nursery], None],
    *,
    repeat: Callable[[Push, Nursery], None],
    before: Callable[[Push, Nursery], None] | None = None,
) -> int:
    """Does something while the n-th sync of a folder fails, for each n; repeats it; and asks what a power cut would do.

    Returns:
        how many syncs there were.
    """
    trace, data = folder / "trace", folder / "data"
    strace = [find_program("strace"), "-f", "-y", "-qq", "-s", "64", "-e", f"trace={CALLS}", "-o", str(trace)]
    deaths: list[str] = []  # of each server, what was acknowledged before it
    with open_nursery(data, *strace) as nursery:
        for number in range(1, MOST_SYNCS):
            push = protocol(f"{fault}{number}")
            if before is not None:
                nursery.start()
                before(push, nursery)
                nursery.kill()
                deaths.append(push.name)
            nursery.start(number, fault)
            try:
                work(push, nursery)
            except (*GONE, AssertionError):
                if fault == "unsynced":
                    nursery.wait_dead()
                    deaths.append("")
                    nursery.start()
            else:
                nursery.kill()
                break
            repeat(push, nursery)
            nursery.kill()
            deaths.append(push.name)
        else:
            pytest.fail(f"it syncs {MOST_SYNCS} folders or more; the test must go further")
    disk = Disk(str(data))
    expected = iter(deaths)
    for call, arguments, result in read_calls(trace):
        if call == "write" and '"dead' in arguments and (name := next(expected, "")):
            lost, returning = disk.would_be_lost(), disk.would_return()
            assert not lost, f"{name} was acknowledged, and a power cut takes {lost}"
            assert not returning, f"{name} was acknowledged, and a power cut brings back {returning}"
        if result >= 0:
            disk.play(call, arguments)
    assert next(expected, None) is None, "the trace has all of it"
    return number - 1


def test_the_model_notices_what_is_not_synced(tmp_path: Path) -> None:
    """The model itself: each step left out is noticed."""
    steps = [
        ("openat", '5</r/tmp>, ".x.tmp", O_WRONLY|O_CREAT|O_EXCL, 0644'),
        ("write", '6</r/tmp/.x.tmp>, "content", 7'),
        ("fsync", "6</r/tmp/.x.tmp>"),
        ("renameat", '5</r/tmp>, ".x.tmp", 7</r/a>, "link"'),
        ("fsync", "7</r/a>"),
    ]
    outcomes = []
    for left_out in (None, 2, 4):
        disk = Disk("/r")
        for number, step in enumerate(steps):
            if number != left_out:
                disk.play(*step)
        outcomes.append(bool(disk.would_be_lost() or disk.faults))
    assert outcomes == [False, True, True]


def test_the_model_notices_a_removal_that_is_not_synced() -> None:
    disk = Disk("/r")
    for step in (
        ("mkdirat", '5</r>, "a", 0755'),
        ("openat", '5</r/a>, "link", O_WRONLY|O_CREAT|O_EXCL, 0644'),
        ("fsync", "6</r/a/link>"),
        ("fsync", "7</r/a>"),
        ("fsync", "7</r>"),
        ("renameat", '7</r>, "a", 5</r/docker/registry/portside/tmp>, ".x.tmp"'),
    ):
        disk.play(*step)
    assert disk.would_return() == ["/a"]
    disk.play("fsync", "7</r>")
    assert disk.would_return() == []


def test_the_model_knows_that_nothing_comes_back_below_a_folder_that_is_gone() -> None:
    disk = Disk("/r")
    for step in (
        ("mkdirat", '5</r>, "a", 0755'),
        ("mkdirat", '5</r/a>, "b", 0755'),
        ("fsync", "6</r/a>"),
        ("fsync", "7</r>"),
        ("unlinkat", '6</r/a>, "b", AT_REMOVEDIR'),
        ("unlinkat", '7</r>, "a", AT_REMOVEDIR'),
    ):
        disk.play(*step)
    assert disk.would_return() == ["/a", "/a/b"]
    disk.play("fsync", "7</r>")
    assert disk.would_return() == []
