"""Volumes of any era open as they are: every client gets what lies there, and nothing in them is rewritten."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from tests.support.bridge_cells import check_image, pull_by
from tests.support.bridge_pushes import Pushed
from tests.support.http_calls import Caller
from tests.support.images import Image, make_built_image
from tests.support.old_volumes import remove_revision_links, write_0_9_1, write_2_0
from tests.support.portside import Form, RunningPortside, running_portside
from tests.support.seen import seen_of
from tests.support.trees import read_files

CLIENTS: Final = ("1.0.1", "1.5.0", "1.6.2", "1.9.1", "1.10.3", "18.09.9", "19.03.15", "20.10.24", "28.2.2", "podman",
                  "Docker 29", "containerd 2", "crane", "oras")  # fmt: skip
TWO_ROOTS: Final = {"gateway": {"v1": {"storagepath": "old"}}}


@dataclass(frozen=True, slots=True)
class Volume:
    """How a volume is written; the folder has `data`, and `old` where v1 has a root of its own."""

    write: Callable[[Path], Mapping[str, Image]]
    settings: Mapping[str, Any]


def _v1(folder: str, *, checksums: bool, closing_blocks: bool) -> Callable[[Path], Mapping[str, Image]]:
    def write(base: Path) -> Mapping[str, Image]:
        image = make_built_image(f"{folder} {checksums} {closing_blocks}")
        chain = image.v1_chain(final_newline=closing_blocks, closing_blocks=closing_blocks)
        write_0_9_1(base / folder, "team/old", "b", chain, checksums=checksums)
        return {"team/old": image}

    return write


def _v2(base: Path) -> Mapping[str, Image]:
    image = make_built_image("schema 1 of distribution 2.0")
    write_2_0(base / "data", "team/new", "b", image)
    write_2_0(base / "data", "team/broken", "b", image)
    remove_revision_links(base / "data", "team/broken")
    return {"team/new": image}


def _both(folder: str) -> Callable[[Path], Mapping[str, Image]]:
    return lambda base: {**_v1(folder, checksums=True, closing_blocks=True)(base), **_v2(base)}


VOLUMES: Final = {
    "0.9.1": Volume(_v1("data", checksums=True, closing_blocks=True), {}),
    "before checksums, by Docker 1.0": Volume(_v1("data", checksums=False, closing_blocks=False), {}),
    "distribution 2.0": Volume(_v2, {}),
    "both in one root": Volume(_both("data"), {}),
    "both, two roots": Volume(_both("old"), TWO_ROOTS),
}


@contextlib.contextmanager
def opened(volume: Volume) -> Iterator[tuple[RunningPortside, Path, Mapping[str, Image]]]:
    with tempfile.TemporaryDirectory(prefix="portside-") as name:
        folder = Path(name)
        images = volume.write(folder)
        with running_portside(Form.ONE, folder, volume.settings) as portside:
            yield portside, folder, images


def originals(folder: Path) -> dict[str, bytes]:
    """All that is not Portside's own."""
    found: dict[str, bytes] = {}
    for root in ("data", "old"):
        files = read_files(folder / root) if (folder / root).exists() else {}
        found |= {
            f"{root}/{path}": content for path, content in files.items() if "docker/registry/portside/" not in path
        }
    return found


@pytest.mark.parametrize("kind", VOLUMES)
def test_every_client_gets_what_lies_there_and_nothing_is_rewritten(kind: str) -> None:
    with opened(VOLUMES[kind]) as (portside, folder, images):
        before = originals(folder)
        assert before
        for name, image in images.items():
            for client in CLIENTS:
                got = pull_by(client, portside.address, name, "b")
                assert got.form, f"{client}: {got.said}: {got.refusal}"
                check_image(client, got, Pushed("", image=seen_of(image)))
        assert _tags(portside, "team/broken") in ([], ["b"])
        assert originals(folder) == before


def _tags(portside: RunningPortside, name: str) -> Sequence[str]:
    answer = Caller(portside.address, "a test").send("GET", f"/v2/{name}/tags/list")
    assert answer.status in {200, 404}
    return ["b"] if b'"b"' in answer.body else []
