"""What the bench writes to a disk by itself is what the programs would have written."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

from backends.notify.appending import Appender
from backends.notify.records import Kind, split
from bench.contents import MANIFEST_TYPE, Blob, Contents
from bench.converting import write_v1_image
from bench.growth import _layer
from bench.many import OLD, append_events, fill_v1, fill_v2, multiply_conversions

COUNT = 7


def test_every_manifest_and_blob_has_the_digest_that_it_is_stored_under(tmp_path: Path) -> None:
    fill_v2(tmp_path, _contents(), count=COUNT)
    _convert_first(tmp_path)
    fill_v1(tmp_path, _layer(), count=COUNT)
    multiply_conversions(tmp_path)
    stored = {path.parent.name: path for path in tmp_path.glob("docker/registry/v2/blobs/sha256/*/*/data")}
    derived = {path.name: path for path in tmp_path.glob("docker/registry/portside/primary/derived/blobs/sha256/*/*")}
    assert len(stored) == 2 * COUNT
    assert len(derived) == 2 * COUNT + 2
    for digest, path in (stored | derived).items():
        assert hashlib.sha256(path.read_bytes()).hexdigest() == digest
        assert digest[:2] in path.parts


def test_each_image_gets_what_the_first_conversion_left(tmp_path: Path) -> None:
    _convert_first(tmp_path)
    fill_v1(tmp_path, _layer(), count=COUNT)
    multiply_conversions(tmp_path)
    repository = tmp_path / "docker/registry/portside/primary/derived/repositories" / OLD
    images = {path.read_text() for path in (tmp_path / "repositories" / OLD).glob("tag_*")}
    assert len(images) == COUNT + 1
    for image in images:
        (plan,) = (repository / "_plans" / f"v1-{image}").iterdir()
        digest = plan.read_text().removeprefix("sha256:")
        assert (repository / "_manifests/sha256" / digest / f"v1-{image}").is_file()
        assert (repository / "_sources" / f"v1-{image}" / f"sha256-{digest}").is_file()
        users = tmp_path / "docker/registry/portside/primary/derived/users/sha256" / digest[:2] / digest
        assert [path.name for path in users.iterdir()] == [OLD.replace("/", "%")]


def test_events_are_read_back(tmp_path: Path) -> None:
    root = os.open(tmp_path, os.O_RDONLY)
    appender = Appender(root, segment_bytes=1 << 20, floor=lambda: 0)
    appender.append([(Kind.EVENT, b'{"id":"a"}')], durable=True)
    append_events(tmp_path, count=2500)
    assert appender.append([(Kind.EVENT, b"{}")], durable=True) == 2502
    appender.close()
    os.close(root)
    (segment,) = (tmp_path / "docker/registry/portside/primary/events/log").iterdir()
    found, _ = split(segment.read_bytes().rstrip(b"\0"))
    assert [each.sequence for each in found] == list(range(1, 2503))


def _contents() -> Contents:
    blob = Blob(1, 4, f"sha256:{'a' * 64}")
    part = {"mediaType": "application/octet-stream", "digest": blob.digest, "size": 4}
    manifest = {"schemaVersion": 2, "mediaType": MANIFEST_TYPE, "config": part, "layers": [part]}
    return Contents("latest", (blob,) * 4, json.dumps(manifest).encode())


def _convert_first(data: Path) -> None:
    """What Portside leaves of the first conversion, in small."""
    write_v1_image(data, OLD, "latest", [_layer()])
    image = (data / "repositories" / OLD / "tag_latest").read_text()
    derived = data / "docker/registry/portside/primary/derived"
    config = b'{"created":"2015-03-20T18:03:00.123456789Z"}'
    named = hashlib.sha256(config).hexdigest()
    manifest = json.dumps({"schemaVersion": 2, "config": {"digest": f"sha256:{named}"}, "layers": []}).encode()
    digest = hashlib.sha256(manifest).hexdigest()
    repository = f"repositories/{OLD}"
    for path, content in {
        f"blobs/sha256/{named[:2]}/{named}": config,
        f"blobs/sha256/{digest[:2]}/{digest}": manifest,
        f"users/sha256/{digest[:2]}/{digest}/{OLD.replace('/', '%')}": b"",
        f"{repository}/_manifests/sha256/{digest}/v1-{image}": b"{}",
        f"{repository}/_blobs/sha256/{named}/v1-{image}": b'{"size":44}',
        f"{repository}/_sources/v1-{image}/sha256-{digest}": b"",
        f"{repository}/_plans/v1-{image}/schema2-0": f"sha256:{digest}".encode(),
    }.items():
        (derived / path).parent.mkdir(parents=True, exist_ok=True)
        (derived / path).write_bytes(content)
