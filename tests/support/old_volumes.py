"""Volumes as registries of other times left them on disk: docker-registry 0.9.1, and distribution since 2.0."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from tests.support import schema1
from tests.support.images import Image, V1Image, digest_of
from tests.support.layers import unpack
from tests.support.tarsum import TarSumVersion, payload_checksum, tarsum
from tests.support.trees import write_tree

V2 = "docker/registry/v2"


def write_0_9_1(root: Path, name: str, tag: str, chain: Sequence[V1Image], *, checksums: bool = True) -> None:
    """What docker-registry 0.9.1 has after a push of a chain, base first; before 0.6 there were no checksums."""
    files: dict[str, bytes | str] = {}
    ids: list[str] = []
    for image in chain:
        ids.insert(0, image.id)
        files[f"images/{image.id}/json"] = image.json
        files[f"images/{image.id}/layer"] = image.layer
        files[f"images/{image.id}/ancestry"] = json.dumps(ids)
        if checksums:
            checksum = payload_checksum(image.json, image.layer)
            files[f"images/{image.id}/_checksum"] = json.dumps([checksum])
    described = (
        '{"last_update": 1420070400, "docker_version": "1.5.0", "os": "linux", "arch": "amd64", "kernel": "3.16"}'
    )
    folder = f"repositories/{name}"
    files[f"{folder}/_index_images"] = json.dumps([{"id": image.id} for image in chain])
    files[f"{folder}/tag_{tag}"] = chain[-1].id
    files[f"{folder}/tag{tag}_json"] = described
    files[f"{folder}/json"] = described
    write_tree(root, files)


def write_2_0(root: Path, name: str, tag: str, image: Image) -> bytes:
    """What distribution 2.0 has after a push by Docker 1.6, and returns the manifest as it was pushed.

    The manifest's blob is its payload; the signatures lie apart, in a folder of the revision. Layers are linked by
    their tarsum too, under which Docker 1.5's preview named them.
    """
    chain = image.v1_chain(final_newline=True, closing_blocks=True)
    entries = [schema1.Entry(digest_of(each.layer), each.json.decode()) for each in reversed([*chain, chain[-1]])]
    payload = schema1.payload(name, tag, entries, version_first=False)
    signed = schema1.sign(payload, schema1.new_key())
    signature = schema1.go_json(json.loads(signed)["signatures"][0]).encode()
    repository = f"{V2}/repositories/{name}"
    revision = f"{repository}/_manifests/revisions/sha256/{digest_of(payload)[7:]}"
    files: dict[str, bytes | str] = {
        **dict(_blob(each) for each in (payload, signature, *(item.layer for item in chain))),
        f"{revision}/link": digest_of(payload),
        f"{revision}/signatures/sha256/{digest_of(signature)[7:]}/link": digest_of(signature),
        f"{repository}/_manifests/tags/{tag}/index/sha256/{digest_of(payload)[7:]}/link": digest_of(payload),
        f"{repository}/_manifests/tags/{tag}/current/link": digest_of(payload),
    }
    for item in chain:
        digest = digest_of(item.layer)
        summed = tarsum(unpack(item.layer), item.json, version=TarSumVersion.V1).partition(":")[2]
        files[f"{repository}/_layers/sha256/{digest[7:]}/link"] = digest
        files[f"{repository}/_layers/tarsum/v1/sha256/{summed}/link"] = digest
    write_tree(root, files)
    return signed


def remove_revision_links(root: Path, name: str) -> None:
    """As half-finished collections of garbage left it: a tag and a blob, and no revision between them."""
    for link in (root / V2 / "repositories" / name / "_manifests" / "revisions").rglob("link"):
        link.unlink()


def _blob(content: bytes) -> tuple[str, bytes]:
    digest = digest_of(content)[7:]
    return f"{V2}/blobs/sha256/{digest[:2]}/{digest}/data", content
