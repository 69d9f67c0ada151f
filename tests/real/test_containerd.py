"""containerd 2 against :5000: pulled, unpacked with every digest checked, and the same files as were pushed."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest

from tests.real.conftest import Served
from tests.support.archives import read_archive
from tests.support.bridge_pushes import PUSHES, Place
from tests.support.containerd import Containerd
from tests.support.seen import seen_in

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("real"), pytest.mark.timeout(300)]


@pytest.mark.parametrize("kind", [
    # Not 1.10.3: of an image whose configuration has no type that it knows it fetches no layers, from any registry.
    "schema 2 by Docker 1.13.1",
    "manifest list of amd64 and arm64",
    "OCI manifest with plain layers",
    "OCI manifest, zstd with skippable frames, several frames",
    "OCI index with attestations",
])  # fmt: skip
def test_it_pulls_what_was_pushed(kind: str, containerd: Containerd, served: Served, tmp_path: Path) -> None:
    name = f"team/{uuid.uuid4().hex[:12]}"
    pushed = PUSHES[kind](Place(served.address, name, "b"))
    reference = f"{served.host}/{name}:b"
    containerd.pull(reference, served.ca)
    containerd.export(reference, tmp_path / "saved.tar")
    assert seen_in(read_archive(tmp_path / "saved.tar")) == pushed.image
