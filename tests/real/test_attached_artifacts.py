"""Signatures and SBOMs as cosign, notation and syft attach them, by oras, regctl and crane: listed, copied, deleted.

Each of these programs writes a tag `sha256-<hex>` where it takes a registry for one without referrers: oras and regctl
look at the header of a push, crane at the listing. So the tags of every repository are looked at too.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.commands import running_command
from tests.support.ports import free_port
from tests.support.programs import find_program
from tests.support.serving_here import Client

pytestmark = [pytest.mark.real, pytest.mark.timeout(120)]

COSIGN = "application/vnd.dev.cosign.artifact.sig.v1+json"
NOTATION = "application/vnd.cncf.notary.signature"
SBOM = "application/spdx+json"


@dataclass(frozen=True, slots=True)
class Programs:
    """The three programs, and the registry that they use.

    Attributes:
        host: its address; it speaks plain HTTP.
        folder: where they run, with no settings of anybody's.
    """

    host: str
    folder: Path

    def run(self, program: str, *arguments: str) -> str:
        done = subprocess.run(
            [find_program(program), *arguments],
            cwd=self.folder,
            env={**os.environ, "HOME": str(self.folder), "DOCKER_CONFIG": str(self.folder)},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 0, f"{program} {' '.join(arguments)}:\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def oras(self, *arguments: str) -> str:
        return self.run("oras", *arguments, "--plain-http")

    def regctl(self, *arguments: str) -> str:
        return self.run("regctl", "--host", f"reg={self.host},tls=disabled", *arguments)

    def crane(self, *arguments: str) -> str:
        return self.run("crane", "--insecure", *arguments)

    def make_image(self, reference: str) -> str:
        """Pushes an image and returns its digest."""
        (self.folder / "layer.txt").write_text(reference)
        return self.pushed("push", f"{self.host}/{reference}", "layer.txt:text/plain")

    def attach(self, reference: str, kind: str, text: str, *more: str) -> str:
        """Attaches a file by oras and returns the digest of the referrer."""
        (self.folder / "attached.json").write_text(text)
        file = "attached.json:application/json"
        return self.pushed("attach", "--artifact-type", kind, *more, f"{self.host}/{reference}", file)

    def pushed(self, command: str, *arguments: str) -> str:
        digest: str = json.loads(self.oras(command, *arguments, "--format", "json"))["digest"]
        return digest

    def by_oras(self, reference: str, *more: str) -> list[dict[str, Any]]:
        found = json.loads(self.oras("discover", *more, "--format", "json", f"{self.host}/{reference}"))
        referrers: list[dict[str, Any]] = found.get("referrers") or []
        return referrers

    def by_regctl(self, reference: str, *more: str) -> list[dict[str, Any]]:
        asked = ("artifact", "list", *more, "--format", "{{json .Descriptors}}", f"{self.host}/{reference}")
        return json.loads(self.regctl(*asked)) or []


@pytest.fixture(params=["one process", "through the proxy"])
def programs(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Programs]:
    port, behind = free_port(), free_port()
    registry = {
        "storage": {"filesystem": {"rootdirectory": str(tmp_path / "data")}, "delete": {"enabled": True}},
        "gateway": {"v2": {"addr": f"127.0.0.1:{behind}"}, "metrics": {"addr": ""}},
    }
    front = {
        "addr": "127.0.0.1:0",
        "plain": {"addr": f"127.0.0.1:{port}"},
        "certs": str(tmp_path / "certs"),
        "v1": {"addr": ""},
        "metrics": {"addr": ""},
    }
    with ExitStack() as stack:
        if request.param == "one process":
            settings = {**registry, "gateway": {**front, "v2": {"addr": ""}}}
            _start(stack, tmp_path, "serve", settings, port)
        else:
            _start(stack, tmp_path, "v2", registry, behind)
            _start(stack, tmp_path, "proxy", {"gateway": {**front, "v2": _upstream(behind)}}, port)
        folder = tmp_path / "client"
        folder.mkdir()
        yield Programs(f"localhost:{port}", folder)


def _upstream(port: int) -> dict[str, str]:
    return {"upstream": f"http://127.0.0.1:{port}"}


def _start(stack: ExitStack, folder: Path, role: str, settings: dict[str, Any], port: int) -> None:
    place = folder / role
    place.mkdir()
    (place / "settings.yml").write_text(json.dumps(settings))
    stack.enter_context(running_command(role, "settings.yml", folder=place, port=port))


async def tags_of(programs: Programs, name: str) -> list[str]:
    client = Client("127.0.0.1", int(programs.host.rpartition(":")[2]))
    tags: list[str] = (await client.ask("GET", f"/v2/{name}/tags/list")).json["tags"]
    return tags


def digests(found: Sequence[dict[str, Any]]) -> set[str]:
    return {each["digest"] for each in found}


async def test_what_oras_attaches_all_find_and_no_tag_is_written(programs: Programs) -> None:
    programs.make_image("team/app:1")
    signed = programs.attach("team/app:1", COSIGN, "{}", "--annotation", "who=me")
    notary = programs.attach("team/app:1", NOTATION, "[]")
    for found in (programs.by_oras("team/app:1"), programs.by_regctl("team/app:1")):
        assert digests(found) == {signed, notary}
        (one,) = [each for each in found if each["digest"] == signed]
        assert (one["artifactType"], one["annotations"]["who"]) == (COSIGN, "me")
    for found in (
        programs.by_oras("team/app:1", "--artifact-type", NOTATION),
        programs.by_regctl("team/app:1", "--filter-artifact-type", NOTATION),
    ):
        assert digests(found) == {notary}
    assert await tags_of(programs, "team/app") == ["1"]


async def test_what_regctl_attaches_all_find_and_no_tag_is_written(programs: Programs) -> None:
    programs.make_image("team/app:1")
    (programs.folder / "sbom.json").write_text('{"spdxVersion": "SPDX-2.3"}')
    subject = ("--subject", f"{programs.host}/team/app:1")
    programs.regctl("artifact", "put", *subject, "--artifact-type", SBOM, "--file", "sbom.json")
    (one,) = programs.by_oras("team/app:1")
    assert one["artifactType"] == SBOM
    assert digests(programs.by_regctl("team/app:1")) == {one["digest"]}
    assert json.loads(programs.regctl("artifact", "get", *subject, "--filter-artifact-type", SBOM)) == {
        "spdxVersion": "SPDX-2.3"
    }
    assert SBOM in programs.regctl("artifact", "tree", f"{programs.host}/team/app:1")
    assert await tags_of(programs, "team/app") == ["1"]


async def test_an_image_is_copied_with_what_is_attached_to_it(programs: Programs) -> None:
    """Also what is attached to what is attached."""
    host, image = programs.host, programs.make_image("team/app:1")
    signed = programs.attach("team/app:1", COSIGN, "{}")
    of_the_signature = programs.attach(f"team/app@{signed}", NOTATION, "[]")
    programs.run("oras", "cp", "-r", "--from-plain-http", "--to-plain-http", f"{host}/team/app:1", f"{host}/by/oras:1")
    programs.regctl("image", "copy", "--referrers", f"{host}/team/app:1", f"{host}/by/regctl:1")
    for name in ("by/oras", "by/regctl"):
        assert digests(programs.by_oras(f"{name}:1", "--depth", "1")) == {signed}
        assert digests(programs.by_regctl(f"{name}@{signed}")) == {of_the_signature}
        assert programs.crane("digest", f"{host}/{name}:1").strip() == image
        assert await tags_of(programs, name) == ["1"]


async def test_crane_finds_the_listing_and_writes_no_tag(programs: Programs) -> None:
    host = programs.host
    programs.make_image("team/app:1")
    signed = programs.attach("team/app:1", COSIGN, "{}")
    programs.crane("copy", f"{host}/team/app:1", f"{host}/by/crane:1")
    programs.crane("copy", f"{host}/team/app@{signed}", f"{host}/by/crane:signature")
    assert digests(programs.by_oras("by/crane:1")) == {signed}
    assert await tags_of(programs, "by/crane") == ["1", "signature"]


async def test_what_is_deleted_is_listed_no_more_and_what_is_not_stays(programs: Programs) -> None:
    host, image = programs.host, programs.make_image("team/app:1")
    first, second = programs.attach("team/app:1", COSIGN, "{}"), programs.attach("team/app:1", NOTATION, "[]")
    programs.oras("manifest", "delete", "--force", f"{host}/team/app@{first}")
    assert digests(programs.by_regctl("team/app:1")) == {second}
    programs.regctl("manifest", "delete", "--referrers", f"{host}/team/app@{second}")
    assert programs.by_oras("team/app:1") == []
    third = programs.attach("team/app:1", COSIGN, '{"n": 3}')
    programs.crane("delete", f"{host}/team/app@{image}")
    client = Client("127.0.0.1", int(host.rpartition(":")[2]))
    answer = await client.ask("GET", f"/v2/team/app/referrers/{image}")
    assert digests(answer.json["manifests"]) == {third}
    assert (await client.ask("GET", f"/v2/team/app/manifests/{image}")).status == 404
