"""Much of everything below a registry's root, written as the programs write it: what a request's cost must not feel."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from uuid import UUID

from backends.notify.appending import Appender
from backends.notify.records import Kind, split
from backends.registry.search.snapshot import Snapshot, encode_snapshot, new_changes
from bench.contents import REPOSITORY, Contents
from bench.converting import write_v1_image

OLD = "bench/old"
"""The v1 repository that has many tags, images and conversions."""
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
ARTIFACT = "application/vnd.example.signature"
STARTED = "2026-01-01T00:00:00Z"
_SEGMENT = 4 * 1024 * 1024
_AT_ONCE = 1000
_IDENTITY = "0123456789abcdef"
_PASS_SECONDS = 60.0
_STARTED_WITHIN = 60.0
_FRACTION = b"123456789"
"""Of a second: when the images of `write_v1_image` were made."""


def note_passes(data: Path) -> None:
    """Has a registry that is started soon go through everything tomorrow, and not while it is measured."""
    own = data / "docker/registry/portside"
    (own / "index").mkdir(parents=True)
    (own / "purged").touch()
    for name in ("referrers-built", "layers-read"):
        (own / "index" / name).write_text(f"{time.time() + _STARTED_WITHIN:.3f}\n")


def fill_v2(data: Path, contents: Contents, *, count: int) -> None:
    """Puts so many more tags, repositories, blobs, uploads and referrers below a root, each with what makes it one.

    Args:
        data: the root; the image has been pushed.
        contents: the image that gets tags and uploads, and whose manifest gets referrers.
        count: how many of each.
    """
    root = data / "docker/registry/v2"
    image = root / "repositories" / REPOSITORY
    subject = contents.manifest_digest
    referrers = data / "docker/registry/portside/index/referrers" / REPOSITORY / "_subjects" / subject.replace(":", "/")
    referrers.mkdir(parents=True)
    for number in range(count):
        _link(image / "_manifests/tags" / f"tag-{number:06}" / "current", subject)
        (root / "repositories/many" / f"r{number:06}" / "_manifests").mkdir(parents=True)
        digest = _put(root, number.to_bytes(8, "big"))
        _link(image / "_layers/sha256" / digest, f"sha256:{digest}")
        _file(image / "_uploads" / str(UUID(int=number, version=4)), "startedat", STARTED.encode())
        manifest = referrer(contents, number)
        digest = _put(root, manifest)
        _link(image / "_manifests/revisions/sha256" / digest, f"sha256:{digest}")
        described = {"mediaType": OCI_MANIFEST, "digest": f"sha256:{digest}", "size": len(manifest)}
        _file(referrers, f"sha256-{digest}", json.dumps({**described, "artifactType": ARTIFACT}).encode())


def referrer(contents: Contents, number: int) -> bytes:
    """Returns a manifest that refers to the image's."""
    image = json.loads(contents.manifest)
    subject = {"mediaType": image["mediaType"], "digest": contents.manifest_digest, "size": len(contents.manifest)}
    return json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "artifactType": ARTIFACT,
            "config": image["config"],
            "layers": image["layers"][:1],
            "subject": subject,
            "annotations": {"number": str(number)},
        }
    ).encode()


def fill_v1(data: Path, layer: bytes, *, count: int) -> None:
    """Puts so many images with one layer below a root, each under a tag, as docker-registry 0.9.1 leaves them."""
    for number in range(count):
        write_v1_image(data, OLD, f"tag-{number:06}", [layer])


def multiply_conversions(data: Path) -> None:
    """Has every image of OLD converted as the one under `latest` was: what that conversion has left is copied.

    It must be the only one. All images have the same layer, so it is a member by all of them.
    """
    derived = data / "docker/registry/portside/primary/derived"
    tags = {path.name.removeprefix("tag_"): path.read_text() for path in (data / "repositories" / OLD).glob("tag_*")}
    original = tags.pop("latest")
    files = {path.relative_to(derived): path.read_bytes() for path in derived.rglob("*") if path.is_file()}
    contents = {path.name: content for path, content in files.items() if path.parts[0] == "blobs"}
    [manifest] = (digest for digest, content in contents.items() if b"schemaVersion" in content)
    [config] = contents.keys() - {manifest}
    for number, image_id in enumerate(tags.values()):
        texts = {original: image_id}
        changed = {config: contents[config].replace(_FRACTION, b"%09d" % number)}
        texts[config] = hashlib.sha256(changed[config]).hexdigest()
        changed[manifest] = _replaced(contents[manifest].decode(), texts).encode()
        texts[manifest] = hashlib.sha256(changed[manifest]).hexdigest()
        for path, content in files.items():
            parts = path.parts
            if parts[0] in {"blobs", "users"}:  # below the first two figures of its name
                parts = tuple(texts[parts[3]][:2] if place == 2 else part for place, part in enumerate(parts))
            target = derived / _replaced("/".join(parts), texts)
            own = changed[path.name] if parts[0] == "blobs" else _replaced(content.decode(), texts).encode()
            _file(target.parent, target.name, own)


def append_events(data: Path, *, count: int) -> None:
    """Appends so many events to a registry's log that waits for its endpoint: like the last one that is there."""
    log = data / "docker/registry/portside/primary/events/log"
    newest = max(path for path in log.iterdir() if path.name.isdigit())
    event = [record.payload for record in split(newest.read_bytes().rstrip(b"\0"))[0] if record.kind is Kind.EVENT][-1]
    root = os.open(data, os.O_RDONLY | os.O_DIRECTORY)
    try:
        appender = Appender(root, segment_bytes=_SEGMENT, floor=lambda: 0)
        for begin in range(0, count, _AT_ONCE):
            appender.append([(Kind.EVENT, event)] * min(_AT_ONCE, count - begin), durable=False)
        appender.close()
    finally:
        os.close(root)


def write_search_index(data: Path) -> None:
    """Writes the index of a search as a pass leaves it that took so long that the next one is not due for a while."""
    folder = data / "docker/registry/portside/index/search"
    folder.mkdir(parents=True)
    v2 = (data / "docker/registry/v2/repositories").glob("*/*")
    v1 = (data / "repositories").glob("*/*")
    names = sorted({f"{path.parent.name}/{path.name}" for path in (*v2, *v1)})
    begun = new_changes(_IDENTITY)
    snapshot = Snapshot(
        names, ["="] * len(names), _IDENTITY, len(begun), time.time(), took=_PASS_SECONDS, described=time.time()
    )
    (folder / "names").write_bytes(encode_snapshot(snapshot))
    (folder / "changes").write_bytes(begun)


def _replaced(text: str, texts: Mapping[str, str]) -> str:
    for before, after in texts.items():
        text = text.replace(before, after)
    return text


def _put(root: Path, content: bytes) -> str:
    """Stores a blob; returns its digest's figures."""
    digest = hashlib.sha256(content).hexdigest()
    _file(root / "blobs/sha256" / digest[:2] / digest, "data", content)
    return digest


def _link(folder: Path, digest: str) -> None:
    _file(folder, "link", digest.encode())


def _file(folder: Path, name: str, content: bytes) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(content)
