"""Pushing, pulling and deleting manifests: to the byte, under their own type and name, visible last."""

from __future__ import annotations

import hashlib
import json
from hashlib import sha512
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from backends.model import jws
from tests.support.serving_here import OCI_MANIFEST, Answer, Client, blob_file, describe, digest_of, make_manifest
from tests.support.trees import read_files, read_tree

NAME = "team/app"
CONFIG, LAYER = b'{"architecture": "amd64"}', b"a layer"
SCHEMA2 = "application/vnd.docker.distribution.manifest.v2+json"
LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
INDEX = "application/vnd.oci.image.index.v1+json"
SIGNED = "application/vnd.docker.distribution.manifest.v1+prettyjws"
MOST = 4 * 1024 * 1024
KEY = ec.derive_private_key(7, ec.SECP256R1())


def manifest_path(reference: str, name: str = NAME) -> str:
    return f"/v2/{name}/manifests/{reference}"


async def push_blobs(client: Client) -> None:
    for blob in (CONFIG, LAYER):
        await client.push_blob(NAME, blob)


def make_index(*children: bytes, media_type: str = INDEX, **more: Any) -> bytes:
    entries = [describe(child, OCI_MANIFEST) for child in children]
    return json.dumps({"schemaVersion": 2, "mediaType": media_type, "manifests": entries, **more}).encode()


def make_schema1(*layers: bytes, tag: str = "old") -> bytes:
    document = {
        "schemaVersion": 1,
        "name": NAME,
        "tag": tag,
        "architecture": "amd64",
        "fsLayers": [{"blobSum": digest_of(layer)} for layer in layers],
        "history": [{"v1Compatibility": json.dumps({"id": f"{number:064x}"})} for number, _ in enumerate(layers)],
    }
    return jws.sign(json.dumps(document, indent=3).encode(), KEY)


def assert_is(answer: Answer, content: bytes, media_type: str, digest: str) -> None:
    assert (answer.status, answer.body) == (200, content)
    assert answer["Content-Type"] == media_type
    assert answer["Content-Length"] == str(len(content))
    assert answer["Docker-Content-Digest"] == digest
    assert answer["Etag"] == f'"{digest}"'
    assert answer["Docker-Distribution-Api-Version"] == "registry/2.0"
    assert answer.head.value("Transfer-Encoding") is None


@pytest.mark.parametrize("media_type", [OCI_MANIFEST, SCHEMA2])
@pytest.mark.parametrize("chunked", [True, False])
async def test_an_image_manifest_comes_back_to_the_byte(
    registry: Client,
    other_worker: Client,
    media_type: str,
    chunked: bool,  # noqa: FBT001 - a table's column
) -> None:
    await push_blobs(registry)
    content = make_manifest(CONFIG, LAYER, media_type=media_type) + b" \n"
    how: dict[str, Any] = {"chunks": [content[:9], content[9:]]} if chunked else {"body": content}
    answer = await registry.ask("PUT", manifest_path("latest"), {"Content-Type": media_type}, **how)
    digest = digest_of(content)
    assert (answer.status, answer.body, answer["Content-Length"]) == (201, b"", "0")
    assert (answer.path, answer["Docker-Content-Digest"]) == (manifest_path(digest), digest)
    accept = [("Accept", INDEX), ("Accept", media_type)]
    for client in (registry, other_worker, registry):
        for reference in ("latest", digest):
            answer = await client.ask("GET", manifest_path(reference), accept)
            assert_is(answer, content, media_type, digest)
            head = await client.ask("HEAD", manifest_path(reference), accept)
            assert (head.status, head.body) == (200, b"")
            assert [each for each in head.head.headers if each[0] != "Date"] == [
                each for each in answer.head.headers if each[0] != "Date"
            ]


async def test_a_manifest_by_digest_has_no_tag(registry: Client) -> None:
    content = await registry.push_image(NAME)
    assert (await registry.ask("GET", manifest_path(digest_of(content)))).body == content
    answer = await registry.ask("GET", f"/v2/{NAME}/tags/list")
    assert answer.json == {"name": NAME, "tags": []}


async def test_a_manifest_by_sha512(registry: Client) -> None:
    await push_blobs(registry)
    content = make_manifest(CONFIG, LAYER)
    digest = "sha512:" + sha512(content).hexdigest()
    answer = await registry.put_manifest(NAME, digest, content)
    assert (answer.status, answer["Docker-Content-Digest"], answer.path) == (201, digest, manifest_path(digest))
    assert_is(await registry.ask("GET", manifest_path(digest)), content, OCI_MANIFEST, digest)


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
async def test_a_manifest_by_digest_gets_the_tags_of_the_query(
    registry: Client, other_worker: Client, algorithm: str
) -> None:
    await push_blobs(registry)
    content = make_manifest(CONFIG, LAYER)
    digest = f"{algorithm}:{hashlib.new(algorithm, content).hexdigest()}"
    answer = await registry.put_manifest(NAME, f"{digest}?tag=b&tag=a&x=y&tag=b&tag=%63", content)
    assert (answer.status, answer["OCI-Tag"], answer.path) == (201, "b, a, c", manifest_path(digest))
    for tag in "abc":
        assert_is(await other_worker.ask("GET", manifest_path(tag)), content, OCI_MANIFEST, digest)
        assert (await other_worker.ask("HEAD", manifest_path(tag)))["Docker-Content-Digest"] == digest
    assert (await registry.ask("GET", f"/v2/{NAME}/tags/list")).json["tags"] == ["a", "b", "c"]


async def test_tags_of_the_query_count_only_beside_a_digest(registry: Client) -> None:
    await push_blobs(registry)
    content = make_manifest(CONFIG, LAYER)
    for reference in ("one?tag=two", f"{digest_of(content)}?tags=two"):
        answer = await registry.put_manifest(NAME, reference, content)
        assert (answer.status, answer.head.value("OCI-Tag")) == (201, None)
    assert (await registry.ask("GET", f"/v2/{NAME}/tags/list")).json["tags"] == ["one"]


async def test_a_manifest_gets_at_most_a_hundred_tags_at_once(registry: Client, root: Path) -> None:
    await push_blobs(registry)
    content = make_manifest(CONFIG, LAYER)
    reference = f"{digest_of(content)}?" + "&".join(f"tag={number:0>128}" for number in range(100))
    before = read_tree(root)
    for more in ("&tag=x", "&tag=x" * 300):
        assert (await registry.put_manifest(NAME, reference + more, content)).told == (414, "UNSUPPORTED")
    for wrong in ("", ".x", "a%2fb", digest_of(content), "x" * 129):
        answer = await registry.put_manifest(NAME, f"{digest_of(content)}?tag=ok&tag={wrong}", content)
        assert answer.told == (400, "TAG_INVALID")
    assert read_tree(root) == before
    answer = await registry.put_manifest(NAME, reference, content)
    assert (answer.status, len(answer["OCI-Tag"].split(", "))) == (201, 100)
    assert len((await registry.ask("GET", f"/v2/{NAME}/tags/list")).json["tags"]) == 100


@pytest.mark.parametrize("media_type", [INDEX, LIST])
async def test_indexes_of_every_shape(registry: Client, media_type: str) -> None:
    child = await registry.push_image(NAME)
    inner = make_index(child, media_type=media_type)
    assert (await registry.put_manifest(NAME, digest_of(inner), inner, media_type)).status == 201
    outer = make_index(inner, child, media_type=media_type)
    empty = make_index(media_type=media_type, annotations={"a": "b"})
    for tag, content in (("nested", outer), ("empty", empty)):
        assert (await registry.put_manifest(NAME, tag, content, media_type)).status == 201
        assert_is(await registry.ask("GET", manifest_path(tag)), content, media_type, digest_of(content))


@pytest.mark.parametrize(
    "more",
    [
        {"artifactType": "application/x.y"},
        {"subject": describe(b"a manifest that nobody has", OCI_MANIFEST)},
        {"layers": []},
        {"org.custom": {"field": [1, 2.5, None]}, "annotations": {"é": "\U0001f600"}},
        {"layers": [{**describe(LAYER, "application/x"), "data": "YSBsYXllcg==", "platform": {}}]},
        {
            "layers": [
                {
                    **describe(b"elsewhere", "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"),
                    "urls": ["https://x"],
                }
            ]
        },
    ],
    ids=["artifact", "missing-subject", "no-layers", "custom-fields", "data", "nondistributable"],
)
async def test_what_the_specification_allows_is_taken(registry: Client, more: dict[str, Any]) -> None:
    await push_blobs(registry)
    content = make_manifest(CONFIG, LAYER, **more)
    assert (await registry.put_manifest(NAME, "x", content)).status == 201
    assert_is(await registry.ask("GET", manifest_path("x")), content, OCI_MANIFEST, digest_of(content))


@pytest.mark.parametrize("content_type", [None, "application/json", SIGNED, SIGNED.replace("prettyjws", "json")])
async def test_schema_1_is_served_back_to_the_byte(
    registry: Client, other_worker: Client, content_type: str | None
) -> None:
    await registry.push_blob(NAME, LAYER)
    content = make_schema1(LAYER, LAYER)
    headers = {"Content-Type": content_type} if content_type else {}
    answer = await registry.ask("PUT", manifest_path("old"), headers, body=content)
    digest = digest_of(jws.verify(content))
    assert (answer.status, answer["Docker-Content-Digest"], answer.path) == (201, digest, manifest_path(digest))
    for client in (registry, other_worker):
        for reference in ("old", digest):
            assert_is(await client.ask("GET", manifest_path(reference)), content, SIGNED, digest)
    again = await registry.ask("PUT", manifest_path(digest), headers, body=content)
    assert again.status == 201


async def test_schema_1_without_a_kept_signature_is_signed_anew_the_same_each_time(
    registry: Client, other_worker: Client, root: Path
) -> None:
    await registry.push_blob(NAME, LAYER)
    content = make_schema1(LAYER)
    assert (await registry.put_manifest(NAME, "old", content, SIGNED)).status == 201
    # as a volume of distribution 2.3 and later has none
    (root / f"docker/registry/portside/primary/schema1/{NAME}/_signed").rename(root / "away")
    bodies = set()
    for client in (registry, other_worker, registry):
        answer = await client.ask("GET", manifest_path("old"))
        assert jws.verify(answer.body) == jws.verify(content)
        assert_is(answer, answer.body, SIGNED, digest_of(jws.verify(content)))
        bodies.add(answer.body)
    assert len(bodies) == 1


@pytest.mark.parametrize(
    ("damage", "code"),
    [
        ((b'"tag": "old"', b'"tag": "new"'), "MANIFEST_UNVERIFIED"),
        ((b'"signatures"', b'"signaturez"'), "MANIFEST_INVALID"),
        ((b'"alg": "ES256"', b'"alg": "ES384"'), "MANIFEST_UNVERIFIED"),
        ((b'"schemaVersion": 1', b'"schemaVersion": 2'), "MANIFEST_INVALID"),
    ],
)
async def test_damaged_schema_1_changes_nothing(
    registry: Client, root: Path, damage: tuple[bytes, bytes], code: str
) -> None:
    await registry.push_blob(NAME, LAYER)
    before = read_tree(root)
    content = make_schema1(LAYER)
    assert damage[0] in content
    answer = await registry.put_manifest(NAME, "old", content.replace(*damage), SIGNED)
    assert answer.told == (400, code)
    assert read_tree(root) == before


async def test_a_tag_moves_and_the_old_manifest_stays_by_its_digest(registry: Client, other_worker: Client) -> None:
    first = await registry.push_image(NAME, "latest", seed="first")
    second = await other_worker.push_image(NAME, "latest", seed="second")
    for client in (registry, other_worker):
        assert (await client.ask("GET", manifest_path("latest"))).body == second
        assert (await client.ask("GET", manifest_path(digest_of(first)))).body == first


async def test_who_has_a_manifest_is_told_that_it_has_not_changed(registry: Client) -> None:
    content = await registry.push_image(NAME, "latest")
    answer = await registry.ask("GET", manifest_path("latest"), {"If-None-Match": f'"{digest_of(content)}"'})
    assert (answer.status, answer.body) == (304, b"")


async def test_a_manifest_that_names_missing_blobs_says_which_and_changes_nothing(registry: Client, root: Path) -> None:
    await push_blobs(registry)
    await registry.push_blob("team/private", b"private")
    before = read_tree(root)
    for content, media_type in (
        (make_manifest(CONFIG, LAYER, b"missing"), OCI_MANIFEST),
        (make_manifest(b"missing", LAYER), OCI_MANIFEST),
        (make_manifest(CONFIG, b"missing", media_type=SCHEMA2), SCHEMA2),
        (make_schema1(LAYER, b"missing"), SIGNED),
        (make_index(b"missing"), INDEX),
        (make_index(b"missing", media_type=LIST), LIST),
        (make_manifest(CONFIG, b"private"), OCI_MANIFEST),
    ):
        answer = await registry.put_manifest(NAME, "latest", content, media_type)
        assert answer.told == (400, "MANIFEST_BLOB_UNKNOWN")
        missing = b"private" if b"private" in content or digest_of(b"private").encode() in content else b"missing"
        assert [error["detail"] for error in answer.json["errors"]] == [digest_of(missing)]
        assert read_tree(root) == before


@pytest.mark.parametrize("how", ["length", "chunked"])
@pytest.mark.parametrize(("size", "status"), [(MOST, 201), (MOST + 1, 413)])
async def test_four_mebibytes_are_the_most(registry: Client, root: Path, how: str, size: int, status: int) -> None:
    await push_blobs(registry)
    before = read_tree(root)
    content = make_manifest(CONFIG, LAYER, annotations={"pad": ""})
    content = content.replace(b'"pad": ""', b'"pad": "%s"' % (b"x" * (size - len(content))))
    assert len(content) == size
    headers = {"Content-Type": OCI_MANIFEST}
    how_sent: dict[str, Any] = (
        {"body": content}
        if how == "length"
        else {"chunks": [content[:MOST], content[MOST:] or b" "][: 1 + (size > MOST)]}
    )
    answer = await registry.ask("PUT", manifest_path("big"), headers, **how_sent)
    if status == 201:
        assert answer.status == 201
        assert (await registry.ask("GET", manifest_path("big"))).body == content
    else:
        assert answer.told == (413, "MANIFEST_INVALID")
        assert read_tree(root) == before


async def test_a_promise_of_too_much_is_refused_before_it_is_sent(registry: Client) -> None:
    async with registry.connection() as peer:
        await peer.send(f"PUT {manifest_path('x')} HTTP/1.1\r\nHost: x\r\nContent-Length: {10**18}\r\n\r\n")
        assert (await peer.read_head()).status == 413


@pytest.mark.parametrize(
    ("content", "content_type"),
    [
        (b"", OCI_MANIFEST),
        (b"{", OCI_MANIFEST),
        (b"[]", OCI_MANIFEST),
        (b"\xff\xfe", OCI_MANIFEST),
        (make_manifest(CONFIG, LAYER), SCHEMA2),
        (make_manifest(CONFIG, LAYER), "text/html"),
        (make_manifest(CONFIG, LAYER, manifests=[]), OCI_MANIFEST),
        (make_manifest(CONFIG, LAYER).replace(b"{", b'{"schemaVersion": 2, ', 1), OCI_MANIFEST),
        (make_manifest(CONFIG, LAYER).replace(b'"size"', b'"digest": "sha256:x", "size"'), OCI_MANIFEST),
        (make_manifest(CONFIG, LAYER, mediaType=[]), OCI_MANIFEST),
        (make_manifest(CONFIG, LAYER, x=float("nan")), OCI_MANIFEST),
        (make_manifest(CONFIG, LAYER, x="\ud800"), OCI_MANIFEST),
        (b'{"a":' * 100_000, OCI_MANIFEST),
        (b"[" * MOST, OCI_MANIFEST),
        (make_manifest(CONFIG, LAYER, schemaVersion=1), OCI_MANIFEST),
        (make_manifest(CONFIG, LAYER, layers=[{"digest": digest_of(LAYER)}]), OCI_MANIFEST),
    ],
    ids=range(16),
)
async def test_what_is_no_manifest_changes_nothing(
    registry: Client, root: Path, content: bytes, content_type: str
) -> None:
    await push_blobs(registry)
    before = read_tree(root)
    for reference in ("latest", digest_of(content)):
        answer = await registry.put_manifest(NAME, reference, content, content_type)
        assert answer.told == (400, "MANIFEST_INVALID")
    assert read_tree(root) == before


@pytest.mark.parametrize(
    ("reference", "told"),
    [
        (digest_of(b"other"), (400, "DIGEST_INVALID")),
        ("sha512:" + "a" * 128, (400, "DIGEST_INVALID")),
        ("sha256:baddigeststring", (400, "DIGEST_INVALID")),
        ("sha384:" + "a" * 96, (400, "DIGEST_INVALID")),
        (".hidden", (400, "TAG_INVALID")),
        ("..", (400, "TAG_INVALID")),
        ("%2e%2e", (400, "TAG_INVALID")),
        ("a%2fb", (400, "TAG_INVALID")),
        ("a%2Fcurrent", (400, "TAG_INVALID")),
        ("%00", (400, "TAG_INVALID")),
        ("a%20b", (400, "TAG_INVALID")),
        ("%C3%A9", (400, "TAG_INVALID")),
        ("%ff", (400, "TAG_INVALID")),
        ("x" * 129, (400, "TAG_INVALID")),
        ("x" * 10_000, (400, "TAG_INVALID")),
    ],
)
async def test_a_reference_that_is_none_changes_nothing(
    registry: Client, root: Path, reference: str, told: tuple[int, str]
) -> None:
    await push_blobs(registry)
    before = read_tree(root)
    answer = await registry.put_manifest(NAME, reference, make_manifest(CONFIG, LAYER))
    assert answer.told == told
    asked = told if told[1] == "DIGEST_INVALID" and digest_is_malformed(reference) else (404, "MANIFEST_UNKNOWN")
    assert (await registry.ask("GET", manifest_path(reference))).told == asked
    assert (await registry.ask("HEAD", manifest_path(reference))).status == asked[0]
    assert read_tree(root) == before


def digest_is_malformed(reference: str) -> bool:
    return reference.startswith(("sha256:bad", "sha384:"))


@pytest.mark.parametrize("reference", ["none", digest_of(b"none"), "sha512:" + "0" * 128])
async def test_a_manifest_that_is_not_here(registry: Client, reference: str) -> None:
    for name in ("team/never", NAME):
        for method in ("GET", "DELETE"):
            assert (await registry.ask(method, manifest_path(reference, name))).told == (404, "MANIFEST_UNKNOWN")
        assert (await registry.ask("HEAD", manifest_path(reference, name))).status == 404
        await registry.push_image(NAME, "latest")


async def test_a_manifest_of_another_repository_is_unknown_here(registry: Client) -> None:
    content = await registry.push_image("team/private", "latest")
    await registry.push_image(NAME, "latest", seed="other")
    answer = await registry.ask("GET", manifest_path(digest_of(content)))
    assert answer.told == (404, "MANIFEST_UNKNOWN")


async def test_deleting_a_tag_leaves_the_manifest(registry: Client, other_worker: Client) -> None:
    content = await registry.push_image(NAME, "one", "two")
    answer = await registry.ask("DELETE", manifest_path("one"))
    assert (answer.status, answer.body) == (202, b"")
    for client in (registry, other_worker):
        assert (await client.ask("HEAD", manifest_path("one"))).status == 404
        assert (await client.ask("GET", manifest_path("two"))).body == content
        assert (await client.ask("GET", manifest_path(digest_of(content)))).body == content
        assert (await client.ask("GET", f"/v2/{NAME}/tags/list")).json["tags"] == ["two"]
    assert (await registry.ask("DELETE", manifest_path("one"))).told == (404, "MANIFEST_UNKNOWN")


async def test_deleting_a_manifest_takes_its_tags_and_a_push_brings_it_back(
    registry: Client, other_worker: Client
) -> None:
    content = await registry.push_image(NAME, "one", "two")
    other = await registry.push_image(NAME, "three", seed="three")
    assert (await registry.ask("GET", manifest_path(digest_of(content)))).status == 200  # kept in memory
    assert (await other_worker.ask("DELETE", manifest_path(digest_of(content)))).status == 202
    for client in (registry, other_worker):
        for reference in ("one", "two", digest_of(content)):
            assert (await client.ask("GET", manifest_path(reference))).told == (404, "MANIFEST_UNKNOWN")
        assert (await client.ask("GET", f"/v2/{NAME}/tags/list")).json["tags"] == ["three"]
        assert (await client.ask("GET", manifest_path("three"))).body == other
    assert (await registry.put_manifest(NAME, "one", content)).status == 201
    assert (await other_worker.ask("GET", manifest_path("one"))).body == content


async def test_a_ruin_of_a_manifest_is_told_and_a_push_mends_it(
    registry: Client, other_worker: Client, root: Path
) -> None:
    content = await registry.push_image(NAME, "latest")
    digest = digest_of(content)
    blob_file(root, digest).write_bytes(b"")
    assert (await registry.ask("GET", manifest_path("latest"))).told == (404, "MANIFEST_UNKNOWN")
    assert (await registry.put_manifest(NAME, "latest", content)).status == 201
    assert (await other_worker.ask("GET", manifest_path("latest"))).body == content


@pytest.mark.parametrize("text", ["", "sha256:", "nonsense", "sha256:" + "a" * 64, "../../../etc/passwd\n"])
async def test_a_ruin_of_a_link_is_absent(registry: Client, root: Path, text: str) -> None:
    content = await registry.push_image(NAME, "latest", "other")
    link = root / f"docker/registry/v2/repositories/{NAME}/_manifests/tags/latest/current/link"
    link.write_text(text)
    assert (await registry.ask("GET", manifest_path("latest"))).told == (404, "MANIFEST_UNKNOWN")
    assert (await registry.ask("GET", manifest_path("other"))).body == content
    assert (await registry.put_manifest(NAME, "latest", content)).status == 201
    assert (await registry.ask("GET", manifest_path("latest"))).body == content


async def test_nothing_is_left_among_the_temporary_files(registry: Client, root: Path) -> None:
    await registry.push_image(NAME, "latest")
    assert not list((root / "docker/registry/portside/tmp").iterdir())
    assert all(
        path.rpartition("/")[2] in {"data", "link"}
        for path in read_files(root)
        if "/portside/index/holders/" not in path
    )
