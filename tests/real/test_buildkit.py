"""BuildKit's cache in the registry: an index whose entries are blobs, layers and its own configuration (FOUND 11)."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.real.conftest import Served, curl
from tests.support.leftovers import FOLDER, clean_folder
from tests.support.programs import find_program, wait_for_socket

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("real"), pytest.mark.timeout(300)]

INDEX = "application/vnd.oci.image.index.v1+json"
CACHE_CONFIG = "application/vnd.buildkit.cacheconfig.v0"
SETTINGS = """root = "{folder}/root"
[grpc]
  address = ["unix://{folder}/socket"]
[worker.oci]
  enabled = true
  snapshotter = "native"
  networkMode = "host"
[worker.containerd]
  enabled = false
[registry."{host}"]
  ca = ["{ca}"]
"""


@dataclass(frozen=True, slots=True)
class BuildKit:
    """A running buildkitd."""

    folder: Path

    def run(self, *arguments: str) -> str:
        done = subprocess.run(
            [find_program("buildctl"), "--addr", f"unix://{self.folder / 'socket'}", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == 0, f"buildctl {' '.join(arguments)}:\n{done.stdout}"
        return done.stdout

    def build(self, context: Path, *more: str) -> str:
        local = ("--local", f"context={context}", "--local", f"dockerfile={context}")
        return self.run("build", "--progress", "plain", "--frontend", "dockerfile.v0", *local, *more)


@pytest.fixture
def buildkit(served: Served) -> Iterator[BuildKit]:
    folder = FOLDER / "buildkit"
    clean_folder(folder)
    folder.mkdir(parents=True)
    settings = folder / "buildkitd.toml"
    settings.write_text(SETTINGS.format(folder=folder, host=served.host, ca=served.ca))
    with contextlib.ExitStack() as stack:
        stack.callback(clean_folder, folder)
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                [find_program("buildkitd"), "--config", str(settings)], stdout=log, stderr=subprocess.STDOUT
            )
        stack.callback(process.wait, 30)
        stack.callback(process.terminate)
        wait_for_socket(folder / "socket", process)
        yield BuildKit(folder)


@pytest.mark.parametrize("form", ["oci", "docker"])
def test_a_cache_that_was_exported_saves_the_next_machine_the_build(
    form: str, buildkit: BuildKit, served: Served, tmp_path: Path
) -> None:
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY a /a\nCOPY b /b\n")
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(os.urandom(200_000))
    name = f"team/cache-{uuid.uuid4().hex[:8]}"
    cache = f"type=registry,ref={served.host}/{name}:1"
    types = f"mode=max,oci-mediatypes={'true' if form == 'oci' else 'false'}"
    assert "CACHED" not in buildkit.build(tmp_path, "--export-cache", f"{cache},{types}")

    url = f"https://{served.host}/v2/{name}/manifests/1"
    accept = f"Accept: {INDEX}, application/vnd.docker.distribution.manifest.list.v2+json"
    index = json.loads(curl("--cacert", str(served.ca), "-H", accept, url).partition("\n\n")[2])
    entries = [entry["mediaType"] for entry in index["manifests"]]
    assert len(entries) == 3
    assert CACHE_CONFIG in entries
    assert not any("manifest" in entry for entry in entries)

    buildkit.run("prune", "--all")  # another machine, which has nothing
    out = ("--output", f"type=oci,dest={tmp_path / 'out.tar'}")
    assert "CACHED" in buildkit.build(tmp_path, "--import-cache", cache, *out)
