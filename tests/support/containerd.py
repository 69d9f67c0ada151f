"""containerd 2 of the tests' own: its root, state and socket are its own, and nothing of it stays behind."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.leftovers import clean_folder
from tests.support.programs import find_program, wait_for_socket

_SETTINGS = """version = 3
root = "{folder}/root"
state = "{folder}/state"
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.cri.v1.images", "io.containerd.cri.v1.runtime"]
[grpc]
  address = "{folder}/socket"
[ttrpc]
  address = "{folder}/socket.ttrpc"
[[plugins."io.containerd.transfer.v1.local".unpack_config]]
  platform = "linux/amd64"
  snapshotter = "native"
"""
# It copies: overlays cannot be mounted on every file system.


@dataclass(frozen=True, slots=True)
class Containerd:
    """A client of a running daemon."""

    folder: Path

    def ctr(self, *arguments: str, check: bool = True) -> str:
        """Runs `ctr ...` and returns what it printed, errors included.

        Raises:
            AssertionError: `check`, and it did not end with status 0; with all that it printed.
        """
        done = subprocess.run(
            [find_program("containerd/ctr"), "--address", str(self.folder / "socket"), *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=120,
        )
        if check and done.returncode:
            raise AssertionError(f"ctr {' '.join(arguments)} ended with {done.returncode}:\n{done.stdout}")
        return done.stdout if done.returncode == 0 else f"status {done.returncode}: {done.stdout}"

    def pull(self, reference: str, ca: Path, *, check: bool = True) -> str:
        """Pulls and unpacks an image, which checks every diff_id; `reference` is ``HOST:PORT/NAME:TAG``."""
        host = reference.partition("/")[0]
        hosts = self.folder / "hosts" / host
        hosts.mkdir(parents=True, exist_ok=True)
        (hosts / "hosts.toml").write_text(f'server = "https://{host}"\n[host."https://{host}"]\n  ca = "{ca}"\n')
        store = ("--snapshotter", "native", "--hosts-dir", str(self.folder / "hosts"))
        return self.ctr("images", "pull", *store, reference, check=check)

    def export(self, reference: str, archive: Path) -> None:
        """Writes an image to an archive.

        By itself: where the daemon writes it, `ctr` ends now and then before the file is whole.
        """
        self.ctr("images", "export", "--local", "--platform", "linux/amd64", str(archive), reference)


@contextlib.contextmanager
def running_containerd(folder: Path) -> Iterator[Containerd]:
    """Runs a daemon in `folder` until the end of the block."""
    if os.geteuid() != 0:
        pytest.skip("containerd needs root: run the tests as root")
    program = find_program("containerd/containerd")
    clean_folder(folder)
    folder.mkdir(parents=True)
    settings = folder / "config.toml"
    settings.write_text(_SETTINGS.format(folder=folder))
    with contextlib.ExitStack() as stack:
        stack.callback(clean_folder, folder)
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen([program, "--config", str(settings)], stdout=log, stderr=subprocess.STDOUT)
        stack.callback(process.wait, 30)
        stack.callback(process.terminate)
        wait_for_socket(folder / "socket", process)
        yield Containerd(folder)
