"""BuildKit's cache in the registry: an index whose entries are blobs, layers and its own configuration (FOUND 11)."""

from __future__ import annotations

import json
import os
import uuid
from pathlib import Path

import pytest

from tests.real.conftest import Served, curl
from tests.support.buildkit import BuildKit

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("real"), pytest.mark.timeout(300)]

INDEX = "application/vnd.oci.image.index.v1+json"
CACHE_CONFIG = "application/vnd.buildkit.cacheconfig.v0"


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
