"""Lists of files beside docker-registry 0.9.1: the same bytes, and each program serves what the other has kept."""

from __future__ import annotations

import http.client
import json
import os
import random
import shutil
import subprocess
import tarfile
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from backends.storage.factory import open_folder
from tests.support.docker_registry_0_9_1 import docker_registry_0_9_1, find_python_2_7, install_packages
from tests.support.layers import Compression, pack
from tests.support.tars import make_tar, member
from tests.support.v1server import Pushed, make_pushed, running_v1

FORMATS = (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT)
NAMES = (
    *("./", ".", "./etc/", "./etc/hello", "etc/x", "/abs", "./.wh.top", "/.wh.abs", "./.wh..wh.plnk", "etc/.wh.hello"),
    *(".wh.nodot", "a b", 'q"\\', "grüße/ä", "日本", "d" * 90 + "/" + "e" * 60, "n" * 90 + "/" + "m" * 60 + "/"),
)
LONG = ("x" * 300, "folder/" + "y" * 300 + "/", "./" + "z" * 200)
TYPES = (tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE, tarfile.CONTTYPE, b"Z")
OLD = (Compression.NONE, Compression.GZIP, Compression.BZIP2, Compression.XZ)
DIFF = """
import sys
from docker_registry.lib import layers
sys.stdout.write(layers.get_image_diff_json(sys.argv[1]))
"""


def _members(chosen: random.Random, form: int) -> list[tuple[tarfile.TarInfo, bytes]]:
    names = [*NAMES, *(LONG if form != tarfile.USTAR_FORMAT else ())]
    found = []
    for name in chosen.sample(names, 8):
        kind = tarfile.DIRTYPE if name.endswith("/") else chosen.choice(TYPES)
        content = b"c" * chosen.choice((0, 1, 511, 512, 5000)) if kind in {tarfile.REGTYPE, b"Z"} else b""
        large = 2**40 if form != tarfile.USTAR_FORMAT else 1000
        more: dict[str, Any] = {"mtime": chosen.choice((0, 1_400_000_000, 1_400_000_000.25, 2**32))}
        if form == tarfile.USTAR_FORMAT:
            more["mtime"] = int(more["mtime"])
        if form == tarfile.PAX_FORMAT:
            more["pax_headers"] = {"SCHILY.xattr.user.a": "ü", "comment": name}
        found.append(
            member(name, content, type=kind, linkname="to", uid=chosen.choice((0, large)), mode=0o4755, **more)
        )
    return found


def make_chain(seed: int) -> Sequence[Pushed]:
    """Images over each other, whose layers are packed in all ways that the original reads."""
    chosen, images = random.Random(seed), list[Pushed]()
    for number in range(6):
        form = FORMATS[number % 3]
        layer = pack(make_tar(_members(chosen, form), form=form), OLD[(number + seed) % 4])
        parent = images[-1].id if images else None
        images.append(make_pushed(f"{seed:02x}{number:02x}" * 16, parent=parent, layer=layer))
    return images


def ask(port: int, target: str) -> tuple[int, bytes]:
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
        connection.request("GET", target)
        answer = connection.getresponse()
        return answer.status, answer.read()


def by_its_own_code(root: Path, image: Pushed) -> bytes:
    """What the original's worker makes of an image; over HTTP it would need Redis."""
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONUSERBASE": str(install_packages()),
        "DOCKER_REGISTRY_CONFIG": "config_sample.yml",
        "SETTINGS_FLAVOR": "local",
        "STORAGE_PATH": str(root),
    }
    done = subprocess.run(
        [find_python_2_7(), "-c", DIFF, image.id], env=environment, cwd=root.parent, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.mark.parametrize("seed", range(3))
async def test_both_list_the_same_and_serve_what_the_other_kept(tmp_path: Path, seed: int) -> None:
    install_packages()
    chain = make_chain(seed)
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    storage = open_folder(ours)
    async with running_v1(storage) as registry:
        await registry.push_images(chain)
        shutil.copytree(ours / "images", theirs / "images")
        with docker_registry_0_9_1(tmp_path / "original", root=theirs) as original:
            for image in chain:
                target = f"/v1/images/{image.id}/files"
                told = await registry.ask("GET", target)
                assert (told.status, told.body) == ask(original.port, target)
                kept = [(root / "images" / image.id / "_files").read_bytes() for root in (ours, theirs)]
                assert kept == [told.body, told.body]
        for image in chain:
            told = await registry.ask("GET", f"/v1/images/{image.id}/diff")
            assert told.json == json.loads(by_its_own_code(theirs, image))
            assert by_its_own_code(ours, image) == told.body  # what Portside has kept
            made = (theirs / "images" / image.id / "_diff").read_bytes()
            (ours / "images" / image.id / "_diff").write_bytes(made)
            assert (await registry.ask("GET", f"/v1/images/{image.id}/diff")).body == made
    await storage.close()
    for image in chain:
        (ours / "images" / image.id / "layer").unlink()
    with docker_registry_0_9_1(tmp_path / "again", root=ours) as original:
        for image in chain:  # without a layer it has nothing but the list that Portside has made
            kept_by_us = (ours / "images" / image.id / "_files").read_bytes()
            assert ask(original.port, f"/v1/images/{image.id}/files") == (200, kept_by_us)
