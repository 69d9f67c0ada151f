"""What a document may hold: depth, numbers, texts, keys; one meaning for all readers, and no address is followed."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from backends.model import jws
from backends.model.descriptors import MAX_SIZE
from backends.model.strict_json import MAX_DEPTH, MAX_DIGITS
from backends.model.v1names import MAX_V1_NAME
from backends.registry.references import MOST_NAMED
from backends.registry.validation import Validation
from tests.support.limits import CONFIG, LAYER, NAME, Place, manifest_with
from tests.support.serving_here import OCI_MANIFEST, describe, digest_of, make_manifest

SCHEMA1 = "application/vnd.docker.distribution.manifest.v1+prettyjws"
SCHEMA2 = "application/vnd.docker.distribution.manifest.v2+json"
INDEX = "application/vnd.oci.image.index.v1+json"
ID = "a" * 64
SIZED = describe(LAYER, "application/vnd.oci.image.layer.v1.tar")


def nested(levels: int) -> bytes:
    """A manifest whose deepest value lies so many levels deep."""
    inner = b"[" * (levels - 1) + b"]" * (levels - 1)
    return manifest_with(x=0).replace(b'"x": 0', b'"x": ' + inner)


def with_number(text: str) -> bytes:
    return manifest_with(x=0).replace(b'"x": 0', f'"x": {text}'.encode())


AT_THE_BOUND: dict[str, tuple[bytes, bytes]] = {
    "depth": (nested(MAX_DEPTH), nested(MAX_DEPTH + 1)),
    "digits of an integer": (with_number("1" * MAX_DIGITS), with_number("1" * (MAX_DIGITS + 1))),
    "digits of a negative integer": (with_number("-" + "1" * (MAX_DIGITS - 1)), with_number("-" + "1" * MAX_DIGITS)),
    "an escaped pair of surrogates": (with_number(r'"\ud83d\ude00"'), with_number(r'"\ud83d"')),
    "keys once": (with_number('1, "y": 2'), with_number('1, "x": 2')),
    "keys of a descriptor once": (
        with_number('{"a": 1, "b": {"a": 2}}'),
        with_number('{"a": 1, "\\u0061": 2}'),
    ),
    "numbers that are numbers": (with_number("1e300"), with_number("NaN")),
    "size": (
        make_manifest(CONFIG, layers=[{**SIZED, "size": MAX_SIZE}]),
        make_manifest(CONFIG, layers=[{**SIZED, "size": MAX_SIZE + 1}]),
    ),
    "size of nothing": (
        make_manifest(CONFIG, layers=[{**SIZED, "size": 0}]),
        make_manifest(CONFIG, layers=[{**SIZED, "size": -1}]),
    ),
    "utf-8": (with_number('"\xe9"'), with_number('"\xe9"').replace(b"\xc3\xa9", b"\xe9")),
    "one kind of document": (manifest_with(), manifest_with(manifests=[])),
    "keys as they are written": (manifest_with(layersX=1), manifest_with(Layers=[])),
}


@pytest.mark.parametrize("what", AT_THE_BOUND)
async def test_a_manifest_at_the_bound_is_taken_and_one_above_it_changes_nothing(place: Place, what: str) -> None:
    within, beyond = AT_THE_BOUND[what]
    await place.push_blobs()
    before = place.tree()
    answer = await place.put(beyond)
    assert answer.told == (400, "MANIFEST_INVALID")
    assert place.tree() == before
    answer = await place.put(within)
    assert answer.status == 201, answer.body
    assert (await place.v2.ask("GET", f"/v2/{NAME}/manifests/latest")).body == within


@pytest.mark.parametrize("what", ["depth", "digits of an integer", "keys once", "numbers that are numbers", "utf-8"])
@pytest.mark.parametrize("kind", ["json", "images", "tag", "properties", "users"])
async def test_a_document_of_v1_has_one_meaning_too(place: Place, kind: str, what: str) -> None:
    _, beyond = AT_THE_BOUND[what]
    start, _, rest = beyond.partition(b'"x": ')
    value = b'"x": ' + rest
    path, body = {
        "json": (f"/v1/images/{ID}/json", b'{"id": "%s", ' % ID.encode() + value),
        "images": ("/v1/repositories/team/app/images", b'[{"id": "x", ' + value + b"]"),
        "tag": ("/v1/repositories/team/app/tags/latest", b"{" + value),
        "properties": ("/v1/repositories/team/app/properties", b'{"access": "private", ' + value),
        "users": ("/v1/users/", b"{" + value),
    }[kind]
    assert start
    before = place.tree()
    answer = await place.v1.ask("POST" if kind == "users" else "PUT", path, body=body)
    assert answer.status == 400, answer.body
    assert place.tree() == before


async def test_thousands_of_descriptors_are_answered_and_others_meanwhile(place: Place) -> None:
    """As many as fit into 4 MiB: the size of the body is their limit."""
    layers = [{"mediaType": "x", "digest": digest_of(b"%d" % number), "size": 1} for number in range(36_000)]
    content = make_manifest(CONFIG, layers=layers)
    assert len(content) < 4 << 20
    await place.push_blobs()
    before = place.tree()
    push = asyncio.create_task(place.put(content))
    slowest = 0.0
    while not push.done():
        start = asyncio.get_running_loop().time()
        assert (await place.v2.ask("GET", "/v2/")).status == 200
        slowest = max(slowest, asyncio.get_running_loop().time() - start)
        await asyncio.sleep(0.01)
    answer = await push
    assert answer.status == 400
    assert {error["code"] for error in answer.json["errors"]} == {"MANIFEST_BLOB_UNKNOWN"}
    assert len(answer.json["errors"]) <= MOST_NAMED + 1
    assert place.tree() == before
    assert slowest < 5


@pytest.mark.parametrize(
    ("document", "content_type"),
    [
        (manifest_with(), SCHEMA2),
        (manifest_with(), INDEX),
        (make_manifest(CONFIG, LAYER, media_type=SCHEMA2), OCI_MANIFEST),
        (json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": []}).encode(), OCI_MANIFEST),
        (json.dumps({"schemaVersion": 2, "manifests": [], "layers": []}).encode(), INDEX),
        (json.dumps({"schemaVersion": 2, "manifests": [], "config": {}}).encode(), ""),
        (manifest_with(fsLayers=[]), OCI_MANIFEST),
        (manifest_with(mediaType="text/html"), "text/html"),
        (manifest_with(mediaType=INDEX), OCI_MANIFEST),
    ],
    ids=range(9),
)
async def test_a_document_that_two_readers_could_take_for_two_things_is_refused(
    place: Place, document: bytes, content_type: str
) -> None:
    await place.push_blobs()
    before = place.tree()
    for reference in ("latest", digest_of(document)):
        assert (await place.put(document, content_type, reference=reference)).told == (400, "MANIFEST_INVALID")
    assert place.tree() == before


KEY = ec.generate_private_key(ec.SECP256R1())


def schema1(**more: Any) -> bytes:
    document = {
        "schemaVersion": 1,
        "name": NAME,
        "tag": "latest",
        "architecture": "amd64",
        "fsLayers": [{"blobSum": digest_of(LAYER)}],
        "history": [{"v1Compatibility": json.dumps({"id": ID})}],
        **more,
    }
    return jws.sign(json.dumps(document, indent=3).encode(), KEY)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (schema1().replace(b'"tag": "latest"', b'"tag": "newest"'), (400, "MANIFEST_UNVERIFIED")),
        (schema1(name="Team/App"), (400, "NAME_INVALID")),
        (schema1(name="../app"), (400, "NAME_INVALID")),
        (schema1(name="a" * 256), (400, "NAME_INVALID")),
        (schema1(tag="-x"), (400, "TAG_INVALID")),
        (schema1(tag="t" * 129), (400, "TAG_INVALID")),
        (schema1(fsLayers=[], history=[]), (400, "MANIFEST_INVALID")),
    ],
    ids=["signature", "upper case", "dots", "256", "dash", "129", "no layers"],
)
async def test_schema_1_that_is_not_what_it_says_changes_nothing(
    place: Place, content: bytes, told: tuple[int, str]
) -> None:
    await place.push_blobs()
    before = place.tree()
    assert (await place.put(content, SCHEMA1)).told == told
    assert place.tree() == before


@pytest.mark.parametrize("more", [{"name": "other/app"}, {"tag": "other"}, {"tag": ""}, {"name": "a" * 255}])
async def test_schema_1_of_another_name_is_taken_as_distribution_takes_it(place: Place, more: dict[str, str]) -> None:
    """Who copies an image or gives it a second tag cannot sign it anew; nothing is decided by what it says."""
    await place.push_blobs()
    content = schema1(**more)
    assert (await place.put(content, SCHEMA1)).status == 201
    assert (await place.v2.ask("GET", f"/v2/{NAME}/manifests/latest")).body == content
    assert (await place.v2.ask("GET", "/v2/other/app/manifests/latest")).status == 404
    assert (await place.v2.ask("GET", f"/v2/{NAME}/manifests/other")).status == 404


@pytest.mark.parametrize("damage", ["another's", "payload alone", "other signature", "cut", "empty"])
async def test_a_signed_document_that_is_damaged_on_disk_is_told_and_signed_anew(
    place: Place, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    await place.push_blobs()
    content = schema1()
    assert (await place.put(content, SCHEMA1)).status == 201
    payload = jws.verify(content)
    digest = digest_of(payload)
    (kept,) = place.root.glob(f"docker/registry/portside/primary/schema1/{NAME}/_signed/sha256/*")
    assert kept.read_bytes() == content
    other = schema1(tag="other")
    signature = content.index(b'"signature": "') + 20
    kept.write_bytes(
        {
            "another's": other,
            "payload alone": payload,
            "other signature": content[:signature] + bytes([content[signature] ^ 1]) + content[signature + 1 :],
            "cut": content[:-30],
            "empty": b"",
        }[damage]
    )
    for reference in ("latest", digest):
        answer = await place.v2.ask("GET", f"/v2/{NAME}/manifests/{reference}")
        assert (answer.status, answer["Docker-Content-Digest"]) == (200, digest)
        assert jws.verify(answer.body) == payload
    assert f"the signed {digest} of {NAME} is damaged on disk" in caplog.text


class TestAddressesInAManifest:
    """Where layers may be elsewhere."""

    @pytest.fixture
    def validation(self) -> Validation:
        return Validation(layers=False, children=False)

    async def test_none_is_ever_asked(self, place: Place) -> None:
        asked: list[object] = []

        def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            asked.append(writer)
            writer.close()

        async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
            address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/layer"
            elsewhere = {**SIZED, "digest": digest_of(b"elsewhere"), "urls": [address]}
            elsewhere["mediaType"] = "application/vnd.oci.image.layer.nondistributable.v1.tar"
            await place.push_blobs()
            assert (await place.put(make_manifest(CONFIG, layers=[elsewhere]))).status == 201
            await place.v2.ask("GET", f"/v2/{NAME}/manifests/latest")
            assert (await place.v2.ask("GET", f"/v2/{NAME}/blobs/{digest_of(b'elsewhere')}")).status == 404
            await asyncio.sleep(0.2)
            assert asked == []


@pytest.mark.parametrize(("length", "status"), [(MAX_V1_NAME, 204), (MAX_V1_NAME + 1, 400)])
async def test_a_name_of_v1_has_a_bound_where_nothing_else_has_one(place: Place, length: int, status: int) -> None:
    """This operation touches no file: what it answers names the repository, so it would be as long as any request."""
    name = f"{'n' * 255}/{'r' * (length - 256)}"
    assert (await place.v1.ask("DELETE", f"/v1/repositories/{name}/images")).status == status
