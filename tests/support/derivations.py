"""Images of every kind pushed to a store without HTTP, and what conversions made of them, read as a client would."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from backends.model import jws
from backends.model.conversion.derived import DerivedManifest
from backends.model.conversion.plans import Form, Plan
from backends.model.digest import Digest, parse_digest
from backends.model.errors import RegistryError
from backends.model.manifests import digested_bytes, parse_manifest
from backends.model.names import ImageId, RepositoryName, TagName
from backends.model.targets import V1Target
from backends.model.v1names import parse_v1_name
from backends.registry.store import Store
from backends.registry.v1.stored_images import State
from backends.storage import layout
from backends.storage.driver import PathNotFound
from tests.support.actors import ACTOR
from tests.support.formats import FORMATS, digest_of, example
from tests.support.layers import unpack
from tests.support.pushed_examples import OCI_INDEX, OCI_MANIFEST, SCHEMA2, push_example, put_manifest
from tests.support.stores import put_blob
from tests.support.v1pushes import push
from tests.support.v1server import Pushed

MANIFEST_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
EXAMPLE_V1 = "v1-pushed-by-docker-1.5.0"
EXAMPLE_IDS = ("0-272cfe373d33", "1-9d5c999b7921", "2-e46ba0e82218")

Push = Callable[[Store, RepositoryName, str], Awaitable[None]]


def v1_example() -> list[Pushed]:
    """The images that Docker 1.5.0 pushed, from the base up; the one in the middle is empty."""
    texts = [example(f"{EXAMPLE_V1}/{each}.json") for each in EXAMPLE_IDS]
    layers = [example(f"{EXAMPLE_V1}/{each}.layer") for each in EXAMPLE_IDS]
    return [Pushed(json.loads(text)["id"], text, layer) for text, layer in zip(texts, layers, strict=True)]


async def push_v1(store: Store, name: RepositoryName, tag: str, images: Sequence[Pushed] = ()) -> None:
    """Pushes v1 images, the worked example's unless others are given; those that are here are not sent again."""
    chosen = images or v1_example()
    states = [await store.v1_images.state(ImageId(image.id)) for image in chosen]
    missing = [image for image, state in zip(chosen, states, strict=True) if state is not State.COMPLETE]
    await push(store.v1_images, missing)
    await tag_v1(store, name, tag, chosen[-1])


async def tag_v1(store: Store, name: RepositoryName, tag: str, image: Pushed) -> V1Target:
    """Makes a tag name a v1 image that is there."""
    top = ImageId(image.id)
    await store.v1_repositories.put_tag(parse_v1_name(name), tag, top, actor=ACTOR, now=1)
    return V1Target(top)


async def put_manifest_of(store: Store, name: RepositoryName, tag: str, content: bytes) -> Digest:
    """Pushes a manifest of any form, and returns its digest."""
    manifest = parse_manifest(content, "")
    digest = digest_of(digested_bytes(manifest))
    await store.open(name).put_manifest(manifest, digest, TagName(tag), actor=ACTOR)
    return digest


async def _push_schema1(store: Store, name: RepositoryName, tag: str) -> None:
    for blob in [*sorted((FORMATS / "v1-to-schema2/blobs").iterdir()), FORMATS / "empty-layer/empty.tar.gz"]:
        await put_blob(store, name, blob.read_bytes())
    manifest = parse_manifest(example("v1-to-schema1/signed.json"), "")
    digest = digest_of(digested_bytes(manifest))
    await store.open(name).put_manifest(manifest, digest, TagName(tag), actor=ACTOR)


def _example(folder: str) -> Push:
    async def pushed(store: Store, name: RepositoryName, tag: str) -> None:
        await push_example(store, name, tag, folder)

    return pushed


def _list(media_type: str, folder: str, child_type: str, *, more: Sequence[Mapping[str, Any]] = ()) -> Push:
    async def pushed(store: Store, name: RepositoryName, tag: str) -> None:
        child = example(f"{folder}/manifest.json")
        await push_example(store, name, None, folder)
        entry = {"mediaType": child_type, "size": len(child), "digest": str(digest_of(child)), "platform": AMD64}
        document = {"schemaVersion": 2, "mediaType": media_type, "manifests": [entry, *more]}
        await put_manifest(store, name, tag, json.dumps(document).encode())

    return pushed


AMD64 = {"architecture": "amd64", "os": "linux"}
PUSHES: Mapping[str, tuple[Push, Form]] = {
    "v1": (push_v1, Form.V1),
    "schema 1": (_push_schema1, Form.SCHEMA1),
    "schema 2": (_example("schema2-image"), Form.SCHEMA2),
    "OCI": (_example("oci-image"), Form.OCI_MANIFEST),
    "zstd": (_example("oci-zstd-image"), Form.OCI_MANIFEST),
    "list": (_list(MANIFEST_LIST, "schema2-image", SCHEMA2), Form.MANIFEST_LIST),
    "index": (_list(OCI_INDEX, "oci-image", OCI_MANIFEST), Form.OCI_INDEX),
    "zstd index": (_list(OCI_INDEX, "oci-zstd-image", OCI_MANIFEST), Form.OCI_INDEX),
}
"""Every kind of push, and the form that it has."""


def plans_of(form: Form) -> Sequence[Plan]:
    """Every plan that a client's request may come to for an image of this form."""
    singles = [Plan(Form.SCHEMA1, gzip_only=True), Plan(Form.SCHEMA2, gzip_only=True), Plan(Form.SCHEMA2)]
    singles += [Plan(Form.OCI_MANIFEST, gzip_only=True), Plan(Form.OCI_MANIFEST)]
    if not form.is_index:
        return singles
    return [*singles, Plan(Form.MANIFEST_LIST, gzip_only=True), Plan(Form.OCI_INDEX, gzip_only=True)]


async def convert(store: Store, name: RepositoryName, tag: str, plan: Plan | Form) -> DerivedManifest:
    """What a client with this plan gets for a tag."""
    target = await store.tags.target(name, TagName(tag))
    chosen = plan if isinstance(plan, Plan) else Plan(plan)
    return await store.conversions.convert(name, target, chosen, tag=tag, patience=None)


async def read_blob(store: Store, name: RepositoryName, digest: Digest) -> bytes:
    """A blob as it is served."""
    blob = await store.open(name).open_blob(digest)
    try:
        assert await store.open(name).blob_size(digest) == blob.size
        content = b"".join([bytes(chunk) async for chunk in blob.reader.chunks(0, blob.size)])
    finally:
        blob.reader.close()
    assert Digest.of(content, digest.algorithm) == digest
    return content


async def pulled(store: Store, name: RepositoryName, digest: Digest) -> list[tuple[bytes | None, list[bytes]]]:
    """What a client pulls by a digest: of each image its configuration (None of schema 1) and its unpacked layers.

    Raises:
        RegistryError: something of it is not there.
    """
    manifest = await store.open(name).get_manifest(digest)
    document = json.loads(manifest.content)
    if "manifests" in document:
        found = [await pulled(store, name, parse_digest(each["digest"])) for each in document["manifests"]]
        return [image for images in found for image in images]
    if "fsLayers" in document:
        assert digest_of(jws.verify(manifest.content)) == digest
        layers = [parse_digest(each["blobSum"]) for each in document["fsLayers"][::-1]]
        contents = [unpack(await read_blob(store, name, each)) for each in layers]
        return [(None, [each for each in contents if each.strip(b"\0")])]
    assert digest_of(manifest.content) == digest
    config = await read_blob(store, name, parse_digest(document["config"]["digest"]))
    layers = [parse_digest(each["digest"]) for each in document["layers"]]
    tars = [unpack(await read_blob(store, name, each)) for each in layers]
    assert [str(digest_of(tar)) for tar in tars] == json.loads(config)["rootfs"]["diff_ids"]
    return [(config, tars)]


async def recorded(store: Store, name: RepositoryName) -> list[Digest]:
    """All derived manifests that a repository has a record of."""
    driver = store.storage.driver
    try:
        entries = await driver.list(f"{layout.derived_manifests(name)}/sha256")
    except PathNotFound:
        return []
    return [Digest("sha256", entry) for entry in entries]


async def is_there(store: Store, name: RepositoryName, digest: Digest) -> bool:
    """Whether a manifest can be asked for by its digest."""
    try:
        await store.open(name).get_manifest(digest)
    except RegistryError:
        return False
    return True


def expected_config(kind: str) -> bytes | None:
    """The configuration that schema 2 and OCI have of an image; the one that was pushed, where that has one."""
    folders = {
        "v1": "v1-pushed-by-docker-1.5.0/expected-config.json",
        "schema 1": "v1-to-schema2/config.json",
        "schema 2": "schema2-image/config.json",
        "list": "schema2-image/config.json",
        "OCI": "oci-image/config.json",
        "index": "oci-image/config.json",
        "zstd": "oci-zstd-image/config.json",
        "zstd index": "oci-zstd-image/config.json",
    }
    return example(folders[kind]) if kind in folders else None
