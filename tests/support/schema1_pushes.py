"""Pushes of schema 1 to a store, without HTTP."""

from __future__ import annotations

from collections.abc import Sequence

from cryptography.hazmat.primitives.asymmetric import ec

from backends.model.digest import Digest
from backends.model.manifests import digested_bytes, parse_manifest
from backends.model.names import RepositoryName, TagName
from backends.registry.store import Store
from tests.support.actors import ACTOR
from tests.support.formats import digest_of
from tests.support.schema1 import Entry, payload, sign
from tests.support.stores import put_blob
from tests.support.v1server import Pushed

_KEY = ec.generate_private_key(ec.SECP256R1())


async def push_schema1(
    store: Store, name: RepositoryName, tag: str, chain: Sequence[Pushed], *, doubled: bool = False
) -> Digest:
    """Pushes v1 images as Docker 1.6 to 1.9 did; 1.6 and 1.7 name the topmost twice."""
    for image in chain:
        await put_blob(store, name, image.layer)
    entries = [Entry(str(digest_of(image.layer)), image.json.decode()) for image in reversed(chain)]
    document = payload(name, tag, entries[:1] * doubled + entries, version_first=True)
    manifest = parse_manifest(sign(document, _KEY), "")
    digest = digest_of(digested_bytes(manifest))
    await store.open(name).put_manifest(manifest, digest, TagName(tag), actor=ACTOR)
    return digest
