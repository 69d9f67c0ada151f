"""What every contestant serves: one image with small and large blobs, the same bytes for all.

A registry gets it by pushes through its own interface, nginx as files. Before anything is measured, every answer is
compared to the byte.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import shutil
import ssl
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from http.client import HTTPSConnection

from bench.contestants import HOST, Contestant
from bench.load import Load
from bench.programs import Hindrance
from bench.scale import EIGHT

REPOSITORY = "bench/image"
PUSHED = "bench/pushed"
TAG = "latest"
MANIFEST_TYPE = "application/vnd.docker.distribution.manifest.v2+json"
AGENT = "docker/24.0.7 go/go1.20.10 git-commit/311b9ff kernel/6.1.0 os/linux arch/amd64"
SMALL_BYTES = 4096
OLD_SECONDS = 2.1
"""Portside keeps no answer of a file that was written less than two seconds ago: it might be written again without
another time (`backends/storage/kept_files.py`)."""


@dataclass(frozen=True, slots=True)
class Blob:
    """A content of the load generator."""

    seed: int
    size: int
    digest: str

    @property
    def path(self) -> str:
        """The path at which every contestant serves it."""
        return f"/v2/{REPOSITORY}/blobs/{self.digest}"


@dataclass(frozen=True, slots=True)
class Image:
    """A tag, its manifest, and what that names: the configuration, then the layers."""

    tag: str
    blobs: tuple[Blob, ...]
    manifest: bytes

    @property
    def manifest_digest(self) -> str:
        return f"sha256:{hashlib.sha256(self.manifest).hexdigest()}"

    @property
    def tag_path(self) -> str:
        return f"/v2/{REPOSITORY}/manifests/{self.tag}"

    @property
    def digest_path(self) -> str:
        return f"/v2/{REPOSITORY}/manifests/{self.manifest_digest}"


@dataclass(frozen=True, slots=True)
class Contents(Image):
    """The image that is asked for: a configuration and a layer of 4 KiB each, one large layer, several others."""

    @property
    def small(self) -> Blob:
        return self.blobs[1]

    @property
    def large(self) -> Blob:
        return self.blobs[2]

    @property
    def several(self) -> tuple[Blob, ...]:
        return self.blobs[3:]


def make_contents(load: Load, *, large: int, several: int) -> Contents:
    """Makes the image.

    Args:
        load: computes digests.
        large: bytes of the large layer.
        several: bytes of each of the eight others.
    """
    sizes = [SMALL_BYTES, SMALL_BYTES, large, *[several] * EIGHT]
    image = make_image(load, tag=TAG, seeds=[1, 2, 3, *range(10, 10 + EIGHT)], sizes=sizes)
    return Contents(image.tag, image.blobs, image.manifest)


def make_image(load: Load, *, tag: str, seeds: Sequence[int], sizes: Sequence[int]) -> Image:
    """Makes an image of the load generator's contents.

    Args:
        load: computes digests.
        tag: its tag.
        seeds: of its configuration, and of each layer.
        sizes: the same in bytes.
    """
    blobs = tuple(_blobs(load, seeds, sizes))
    configuration, *layers = blobs
    layer_type = "application/vnd.docker.image.rootfs.diff.tar.gzip"
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "config": _descriptor(configuration, "application/vnd.docker.container.image.v1+json"),
        "layers": [_descriptor(blob, layer_type) for blob in layers],
    }
    return Image(tag, blobs, json.dumps(manifest, indent=3).encode())


def put_image(contestant: Contestant, image: Image, load: Load) -> None:
    """Gives a running contestant an image.

    Raises:
        Hindrance: it refused it.
    """
    if not contestant.takes_pushes:
        _put_files(contestant, image, load)
        return
    for size, blobs in itertools.groupby(image.blobs, key=lambda blob: blob.size):
        known = [flag for blob in blobs for flag in (f"-seed={blob.seed}", f"-digest={blob.digest}")]
        load.measure(contestant, "push", f"-repository={REPOSITORY}", f"-size={size}", *known)
    status, _, body = _ask(contestant, "PUT", image.tag_path, body=image.manifest)
    if status != 201:
        raise Hindrance(f"{contestant.name} answered {status} to the manifest: {body.decode(errors='replace')[:300]}")


def check(contestant: Contestant, contents: Contents, load: Load) -> str:
    """Compares every answer that is going to be measured, to the byte.

    Returns:
        what TLS was spoken.

    Raises:
        Hindrance: an answer is wrong.
    """
    bodies = {contents.tag_path: contents.manifest_digest, contents.digest_path: contents.manifest_digest}
    for path, digest in {**bodies, contents.small.path: contents.small.digest}.items():
        status, headers, body = _ask(contestant, "GET", path)
        if status != 200 or f"sha256:{hashlib.sha256(body).hexdigest()}" != digest:
            raise Hindrance(f"{contestant.name} answered {status} with wrong bytes to GET {path}")
        named = headers.get("docker-content-digest")
        if contestant.takes_pushes and named != digest:
            raise Hindrance(f"{contestant.name} says that {path} has digest {named}")
    status, _, body = _ask(contestant, "GET", "/v2/")
    if status != 200 or json.loads(body) != {}:
        raise Hindrance(f"{contestant.name} answered {status} to GET /v2/: {body[:100]!r}")
    status, headers, _ = _ask(contestant, "HEAD", contents.small.path)
    if status != 200 or headers.get("content-length") != str(SMALL_BYTES):
        raise Hindrance(f"{contestant.name} answered {status} to HEAD {contents.small.path}: {dict(headers)}")
    large = [f"-path={blob.path}" for blob in (contents.large, *contents.several)]
    with load.run(contestant, "pull", f"-clients={len(large)}", "-verify", *large) as run:
        run.begin()
        run.result()
        return run.spoken


def wait_until_old(written: float) -> None:
    """Waits until answers of files are kept: rounds of a quick bench are over before.

    Args:
        written: when they were written, by `time.monotonic`.
    """
    time.sleep(max(0.0, written + OLD_SECONDS - time.monotonic()))


def forget_pushes(contestant: Contestant, digests: tuple[str, ...]) -> None:
    """Removes what a push measured from a registry's disk (both kinds have the same layout)."""
    root = contestant.data / "docker/registry/v2"
    shutil.rmtree(root / "repositories" / PUSHED, ignore_errors=True)
    for digest in digests:
        algorithm, _, text = digest.partition(":")
        shutil.rmtree(root / "blobs" / algorithm / text[:2] / text, ignore_errors=True)


def blobs_of(contestant: Contestant) -> tuple[str, ...]:
    """Returns the digests of all blobs on a registry's disk."""
    found = (contestant.data / "docker/registry/v2/blobs").glob("*/*/*/data")
    return tuple(f"{path.parts[-4]}:{path.parts[-2]}" for path in found)


def _put_files(contestant: Contestant, image: Image, load: Load) -> None:
    root = contestant.data / "v2"
    for folder in ("blobs", "manifests"):
        (root / REPOSITORY / folder).mkdir(parents=True, exist_ok=True)
    for path in (image.tag_path, image.digest_path):
        (contestant.data / path.lstrip("/")).write_bytes(image.manifest)
    for blob in image.blobs:
        load.write(contestant.data / blob.path.lstrip("/"), seed=blob.seed, size=blob.size)


def _ask(
    contestant: Contestant, method: str, path: str, *, body: bytes | None = None
) -> tuple[int, Mapping[str, str], bytes]:
    context = ssl.create_default_context(cafile=str(contestant.credentials.ca))
    connection = HTTPSConnection(HOST, contestant.port, context=context, timeout=60)
    headers = {"User-Agent": AGENT, "Accept": MANIFEST_TYPE}
    if contestant.authorization:
        headers["Authorization"] = contestant.authorization
    if body is not None:
        headers["Content-Type"] = MANIFEST_TYPE
    try:
        connection.request(method, path, body=body, headers=headers)
        answer = connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
    finally:
        connection.close()


def _blobs(load: Load, seeds: Sequence[int], sizes: Sequence[int]) -> Iterator[Blob]:
    """Yields blobs; those of one size are made together."""
    for size, pairs in itertools.groupby(zip(seeds, sizes, strict=True), key=lambda pair: pair[1]):
        alike = [seed for seed, _ in pairs]
        for seed, digest in zip(alike, load.digests(alike, size=size), strict=True):
            yield Blob(seed, size, digest)


def _descriptor(blob: Blob, media_type: str) -> dict[str, str | int]:
    return {"mediaType": media_type, "size": blob.size, "digest": blob.digest}
