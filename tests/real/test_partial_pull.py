"""A partial pull fetches the table of contents of a zstd:chunked layer, then only the files that are not there yet.

The ranges of several files are asked for in one request; newer releases of the library ask for two ranges even of the
table of contents. Debian's podman does it, and the newest release of the library that podman, skopeo and CRI-O share.
What they move is read from the access log (FOUND 1).
"""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.real.conftest import Served
from tests.support.ocilayout import make_oci_image
from tests.support.programs import build_go_program, find_program

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("real"), pytest.mark.timeout(600)]

FILES = 40
FILE_SIZE = 150_000
LINE = re.compile(r'"GET /v2/\S+/blobs/(?P<digest>sha256:[0-9a-f]{64}) HTTP/1\.1" (?P<status>\d+) (?P<size>\d+) ')
STORAGE = """[storage]
driver = "overlay"
graphroot = "{folder}/root"
runroot = "{folder}/run"
[storage.options]
pull_options = {{enable_partial_images = "true", use_hard_links = "false", ostree_repos = ""}}
"""


@dataclass(frozen=True, slots=True)
class Podman:
    """Podman with a storage of its own in `folder`, and the repository that it pushes to."""

    folder: Path
    served: Served
    repository: str

    def run(self, *arguments: str) -> str:
        done = subprocess.run(
            [find_program("podman"), *arguments],
            env={**os.environ, "CONTAINERS_STORAGE_CONF": str(self.folder / "storage.conf")},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == 0, f"podman {' '.join(arguments)}:\n{done.stdout}"
        return done.stdout

    def push(self, tag: str, tree: Path) -> tuple[str, int]:
        """Pushes a tree as an image of one zstd:chunked layer and forgets it; returns the layer's digest and size."""
        archive = self.folder / "layer.tar"
        subprocess.run(["tar", "-C", str(tree), "-cf", str(archive), "."], check=True)
        name = f"{self.repository}:{tag}"
        self.run("import", "-q", str(archive), name)
        trust = ("--cert-dir", str(self.served.certificates))
        self.run("push", *trust, "--compression-format", "zstd:chunked", name)
        layer = chunked_layer(self.served, name)
        self.run("rmi", "-f", name)
        return layer

    def pull(self, tag: str) -> None:
        self.run("pull", "--cert-dir", str(self.served.certificates), f"{self.repository}:{tag}")

    def files(self) -> Path:
        """Where the files of the image that was pulled last lie."""
        (image,) = json.loads(self.run("image", "inspect", f"{self.repository}:2"))
        return Path(image["GraphDriver"]["Data"]["UpperDir"])


@dataclass(frozen=True, slots=True)
class Library:
    """The image library of late 2026 with a storage of its own in `folder`, and the repository that it pushes to."""

    folder: Path
    served: Served
    repository: str

    def run(self, verb: str, source: str, destination: str) -> None:
        program = build_go_program("imagelibrary", tags="containers_image_openpgp exclude_graphdriver_btrfs")
        done = subprocess.run(
            [program, verb, str(self.served.certificates), source, destination],
            env={**os.environ, "CONTAINERS_STORAGE_CONF": str(self.folder / "storage.conf")},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == 0, done.stdout

    def push(self, tag: str, tree: Path) -> tuple[str, int]:
        layout = self.folder / f"layout-{tag}"
        make_oci_image(layout, tree)
        self.run("push", f"{layout}:one", f"{self.repository}:{tag}")
        return chunked_layer(self.served, f"{self.repository}:{tag}")

    def pull(self, tag: str) -> None:
        self.run("pull", f"{self.repository}:{tag}", f"localhost/pulled:{tag}")

    def files(self) -> Path:
        """Where the files of the image that was pulled last lie."""
        layers = json.loads((self.folder / "root" / "overlay-layers" / "layers.json").read_text())
        newest = str(max(layers, key=lambda layer: str(layer["created"]))["id"])
        return self.folder / "root" / "overlay" / newest / "diff"


@pytest.fixture(params=[Podman, Library])
def puller(request: pytest.FixtureRequest, served: Served) -> Iterator[Podman | Library]:
    with tempfile.TemporaryDirectory(prefix="p", dir="/var/tmp") as name:  # a real file system: overlay needs one
        folder = Path(name)
        (folder / "storage.conf").write_text(STORAGE.format(folder=folder))
        yield request.param(folder, served, f"{served.host}/team/chunked-{uuid.uuid4().hex[:8]}")
        # Overlay keeps its folder a mount point.
        subprocess.run(["umount", str(folder / "root" / "overlay")], check=False, capture_output=True)


def chunked_layer(served: Served, name: str) -> tuple[str, int]:
    """Digest and size of an image's only layer, which must be zstd:chunked."""
    command = [find_program("skopeo"), "inspect", "--raw", "--cert-dir", str(served.certificates), f"docker://{name}"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    (layer,) = json.loads(done.stdout)["layers"]
    assert any(name.endswith("zstd-chunked.manifest-position") for name in layer["annotations"])
    return str(layer["digest"]), int(layer["size"])


def moved(served: Served, digest: str) -> list[tuple[int, int]]:
    """Status and bytes of each answer with this blob, once the log stands still."""
    before = ""
    while (text := served.log.read_text(errors="replace")) != before:
        before = text
        time.sleep(0.5)  # the access log is written in batches
    found = [match for match in LINE.finditer(text) if match["digest"] == digest]
    return [(int(match["status"]), int(match["size"])) for match in found]


def write(tree: Path, number: int) -> None:
    """Text, since podman 4.3 cannot push bytes that do not compress in this form ("short write")."""
    (tree / f"file-{number}").write_bytes(base64.b64encode(os.urandom(FILE_SIZE)))


def test_an_update_of_three_files_of_forty_moves_three_files(puller: Podman | Library, served: Served) -> None:
    tree = puller.folder / "tree"
    tree.mkdir()
    for number in range(FILES):
        write(tree, number)
    puller.push("1", tree)
    for number in (3, 17, 31):
        write(tree, number)
    changed, size = puller.push("2", tree)
    puller.pull("1")
    puller.pull("2")
    answers = moved(served, changed)
    assert {status for status, _ in answers} == {206}
    assert 2 / FILES < sum(sent for _, sent in answers) / size < 4 / FILES
    assert len(answers) == 2  # the table of contents, then all three files in one request
    for number in range(FILES):
        assert (puller.files() / f"file-{number}").read_bytes() == (tree / f"file-{number}").read_bytes()
