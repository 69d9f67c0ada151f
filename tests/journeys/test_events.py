"""What real clients do at the one address is told to a real webhook, in every form."""

from __future__ import annotations

import asyncio
import json
import ssl
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.docker import Docker
from tests.support.images import make_image
from tests.support.ocilayout import make_oci_layout
from tests.support.portside import Form, RunningPortside, running_portside
from tests.support.programs import find_program
from tests.support.serving_here import OCI_MANIFEST, Client, digest_of
from tests.support.told import events_of, wait_for, words
from tests.support.v1server import DOCKER, make_pushed
from tests.support.webhooks import Webhook, webhook

BLOB = "application/octet-stream"


@dataclass(frozen=True, slots=True)
class Told:
    """A Portside with a webhook."""

    portside: RunningPortside
    hook: Webhook

    def until(self, start: str) -> list[dict[str, Any]]:
        """What is told of a repository up to the first event whose words begin so: `push team/app:1`."""
        repository = start.split()[1].partition(":")[0]
        return wait_for(self.hook, repository, lambda found: found.startswith(start))

    def until_all(self, wanted: Sequence[str]) -> None:
        """Waits until there are events with all of these words."""
        deadline = time.monotonic() + 20
        while missing := set(wanted) - {words(event) for event in events_of(self.hook)}:
            assert time.monotonic() < deadline, missing
            time.sleep(0.05)


def settings(hook: Webhook, folder: Path) -> dict[str, Any]:
    endpoint = {"name": "test", "url": hook.url, "timeout": "5s", "threshold": 3, "backoff": "100ms"}
    return {
        "storage": {"filesystem": {"rootdirectory": str(folder / "data")}, "delete": {"enabled": True}},
        "notifications": {"endpoints": [endpoint]},
    }


@pytest.fixture(scope="module", params=list(Form), ids=lambda form: form.name.lower())
def told(request: pytest.FixtureRequest) -> Iterator[Told]:
    with (
        tempfile.TemporaryDirectory(prefix="portside-") as folder,
        webhook() as hook,
        running_portside(request.param, Path(folder), settings(hook, Path(folder))) as running,
    ):
        yield Told(running, hook)


def run(program: str, ca: Path | None, home: Path, *arguments: str) -> str:
    environment = {"SSL_CERT_FILE": str(ca), "HOME": str(home), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        [find_program(program), *arguments],
        env=environment, capture_output=True, text=True, timeout=60, check=False, cwd=home,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.real
def test_crane_pushes_copies_and_pulls(told: Told, tmp_path: Path) -> None:
    address = told.portside.address
    layout = make_oci_layout(tmp_path / "in")
    run("crane", address.ca, tmp_path, "push", str(layout), f"{address.netloc}/crane/a:1", "--index")
    pushed = told.until("push crane/a:1")
    blobs = {event["target"]["digest"] for event in pushed if event["target"]["mediaType"] == BLOB}
    assert len(blobs) >= 4
    assert all(event["request"]["useragent"].startswith("crane/") for event in pushed)
    assert {event["request"]["host"] for event in pushed} == {address.netloc}
    assert all(event["target"]["url"].startswith(f"https://{address.netloc}/v2/crane/a/") for event in pushed)
    run("crane", address.ca, tmp_path, "copy", f"{address.netloc}/crane/a:1", f"{address.netloc}/crane/b:2")
    copied = told.until("push crane/b:2")
    mounts = [event["target"] for event in copied if event["action"] == "mount"]
    assert {target["digest"] for target in mounts} == blobs
    assert {target["fromRepository"] for target in mounts} == {"crane/a"}
    assert words(copied[-1]) == words(pushed[-1]).replace("crane/a:1", "crane/b:2")


@pytest.mark.real
def test_oras_attaches(told: Told, tmp_path: Path) -> None:
    address = told.portside.address
    layout = make_oci_layout(tmp_path / "in")
    run("crane", address.ca, tmp_path, "push", str(layout), f"{address.netloc}/oras/a:1", "--index")
    before = len(told.until("push oras/a:1"))
    (tmp_path / "sbom.json").write_text("{}")
    # It takes localhost for a registry without TLS.
    said = run("oras", address.ca, tmp_path, "attach", "--plain-http=false", "--artifact-type", "test/sbom",
               f"{address.netloc}/oras/a:1", "sbom.json")  # fmt: skip
    digest = said.split("Digest: ")[1].strip()
    more = told.until(f"push oras/a {digest}")[before:]
    assert more[-1]["target"]["mediaType"] == OCI_MANIFEST
    assert {event["target"]["mediaType"] for event in more if event["action"] == "push"} == {BLOB, OCI_MANIFEST}
    assert all(event["request"]["useragent"].startswith("oras/") for event in more if event["action"] == "push")


@pytest.mark.parametrize(("version", "generation"), [("1.5.0", "v1"), ("1.9.1", "v2"), ("20.10.24", "v2")])
def test_every_generation_of_docker_is_told(told: Told, version: str, generation: str) -> None:
    name = f"team/by-{version}"
    image = make_image(name)
    assert Docker(version, told.portside.address).push(name, "b", image).ok
    assert Docker(version, told.portside.address).pull(name, "b").ok
    told.until(f"pull {name}")
    events = told.until(f"push {name}:b")
    assert words(events[-1]).startswith(f"push {name}:b sha256:")
    assert {event.get("portside", {}).get("generation", "v2") for event in events} == {generation}
    assert all(event["request"]["useragent"].startswith("docker/") for event in events)
    assert all(event["request"]["addr"].startswith("127.0.0.1") for event in events)


async def test_every_effect_of_both_protocols_is_told(told: Told) -> None:
    address = told.portside.address
    client = Client("localhost", address.port, ssl.create_default_context(cafile=str(address.ca)))
    content = await client.push_image("each/app", "1", "2")
    manifest, blob = digest_of(content), digest_of(b"image layer")
    base = make_pushed("e", layer=b"each")
    old = {"User-Agent": DOCKER}
    payload = {**old, "X-Docker-Checksum-Payload": base.payload}
    named = json.dumps(base.id).encode()
    for method, path, headers, body, status in (
        ("POST", f"/v2/each/b/blobs/uploads/?mount={blob}&from=each/app", {}, None, 201),
        ("GET", f"/v2/each/app/blobs/{blob}", {}, None, 200),
        ("HEAD", "/v2/each/app/manifests/1", {}, None, 200),
        ("DELETE", "/v2/each/app/manifests/2", {}, None, 202),
        ("DELETE", f"/v2/each/app/manifests/{manifest}", {}, None, 202),
        ("DELETE", f"/v2/each/app/blobs/{blob}", {}, None, 202),
        ("PUT", f"/v1/images/{base.id}/json", old, base.json, 200),
        ("PUT", f"/v1/images/{base.id}/layer", old, base.layer, 200),
        ("PUT", f"/v1/images/{base.id}/checksum", payload, b"", 200),
        ("PUT", "/v1/repositories/library/each/tags/1", old, named, 200),
        ("PUT", "/v1/repositories/library/each/tags/2", old, named, 200),
        ("PUT", "/v1/repositories/library/each/images", old, b"[]", 204),
        ("GET", "/v1/repositories/library/each/images", old, None, 200),
        ("GET", "/v1/repositories/library/each/tags/1", old, None, 200),
        ("GET", f"/v1/images/{base.id}/layer", old, None, 200),
        ("DELETE", "/v1/repositories/library/each/tags/2", old, None, 200),
        ("DELETE", "/v1/repositories/library/each/", old, None, 200),
    ):
        answer = await client.ask(method, path, headers, body=body)
        assert answer.status == status, (method, path, answer)
    loop = asyncio.get_running_loop()
    await loop.run_in_executor(None, wait_for, told.hook, "each", lambda found: found == "delete each")
    config, layer = digest_of(b"image config"), digest_of(b"each")
    expected = [
        f"push each/app {config}",
        f"push each/app {blob}",
        f"push each/app:1 {manifest}",
        f"push each/app:2 {manifest}",
        f"mount each/b {blob}",
        f"pull each/app {blob}",
        f"pull each/app:1 {manifest}",
        "delete each/app:2",
        "delete each/app:1",
        f"delete each/app {manifest}",
        f"delete each/app {blob}",
        f"push - {layer}",
        f"push each:1 {layer}",
        f"push each:2 {layer}",
        "pull each",
        f"pull each:1 {layer}",
        f"pull - {layer}",
        "delete each:2",
        "delete each:1",
        "delete each",
    ]
    pulls = [each for each in expected if each.startswith("pull")]
    await loop.run_in_executor(None, told.until_all, pulls)  # another process may write its own a second later
    found = [words(event) for event in events_of(told.hook)]
    mine = [each for each in found if each in expected]
    assert sorted(mine) == sorted(expected)
    # Pulls are told in groups, so they may come after what changed later.
    assert [each for each in mine if each not in pulls] == [each for each in expected if each not in pulls]


def test_one_start_is_one_instance_in_all_its_processes(told: Told) -> None:
    address = told.portside.address
    for version in ("1.5.0", "20.10.24"):
        for tag in ("a", "b", "c"):
            assert Docker(version, address).push(f"same/{version}", tag, make_image(tag)).ok
        told.until(f"push same/{version}:c")
    instances = {event["source"]["instanceID"] for event in events_of(told.hook)}
    assert len(instances) == (2 if told.portside.form is Form.ROLES else 1)
