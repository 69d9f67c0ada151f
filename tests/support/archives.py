"""Images as programs save them: what `docker save`, `podman save`, `skopeo copy`, `crane pull`, `ctr export` write."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

from tests.support.images import Pulled


def read_archive(path: Path) -> Pulled:
    """The one image of an archive in Docker's layout: its configuration and layers."""
    with tarfile.open(path) as archive:

        def read(name: str) -> bytes:
            member = archive.extractfile(name)
            assert member is not None, f"{name} is no file of {path}"
            return member.read()

        (image,) = json.loads(read("manifest.json"))
        return Pulled("", (read(image["Config"]),), tuple(read(layer) for layer in image["Layers"]))
