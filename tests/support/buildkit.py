"""BuildKit of the tests' own, without containerd: its root and socket are its own, and nothing of it stays behind."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.support.leftovers import clean_folder
from tests.support.programs import find_program, wait_for_socket

_SETTINGS = """root = "{folder}/root"
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


@contextlib.contextmanager
def running_buildkit(folder: Path, host: str, ca: Path) -> Iterator[BuildKit]:
    """Runs buildkitd in `folder` until the end of the block; it trusts the registry `host` by `ca`."""
    clean_folder(folder)
    folder.mkdir(parents=True)
    settings = folder / "buildkitd.toml"
    settings.write_text(_SETTINGS.format(folder=folder, host=host, ca=ca))
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
