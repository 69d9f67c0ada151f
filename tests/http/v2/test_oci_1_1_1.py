"""What the conformance suite of OCI distribution 1.1.1 demands beyond the suite that runs in `tests/real`.

That suite can no longer be installed, so its demands are tests of our own. Each runs against the registry itself,
through the proxy in its process, and through the proxy in front of a separate registry.

| demand | test |
|---|---|
| `tags/list?n=N` has exactly N tags, `?n=N&last=T` at most N | `test_pages_of_tags` |
| a first chunk out of order is 416; so is a repeated one | `test_chunks` |
| `Range: 0-<end>` after a chunk and when the upload is asked for; then it goes on | `test_chunks` |
| a mount of what nobody has, without `from`, is an upload | `test_mounts` |
| a mount's Location is `/v2/<name>/blobs/<digest>` | `test_mounts` |
| a malformed digest is 404, or 400 with a code of the specification, also with a body | `test_malformed_digests` |
| referrers: as many as were pushed, two of one kind, with `OCI-Filters-Applied` | `test_referrers` |
| one of a subject that is missing; none, with 200, of a digest that is unknown | `test_referrers` |
| an entry has its manifest's own annotations, and no others | `test_referrers` |
| a tag is deleted, then the manifest, then a blob: 404 afterwards, and the tags follow | `test_deletes` |
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support.serving_here import OCI_MANIFEST, Client, describe, digest_of, make_manifest

NAME = "conformance/repo1"
INDEX = "application/vnd.oci.image.index.v1+json"
CODES = {
    "BLOB_UNKNOWN", "BLOB_UPLOAD_INVALID", "BLOB_UPLOAD_UNKNOWN", "DIGEST_INVALID", "MANIFEST_BLOB_UNKNOWN",
    "MANIFEST_INVALID", "MANIFEST_UNKNOWN", "NAME_INVALID", "NAME_UNKNOWN", "SIZE_INVALID", "UNAUTHORIZED",
    "DENIED", "UNSUPPORTED", "TOOMANYREQUESTS",
}  # fmt: skip
CONFIG, LAYER = b'{"architecture": "amd64"}', b"a layer"


async def test_pages_of_tags(client: Client) -> None:
    tags = [f"test{number}" for number in range(4)] + ["TagTest", "tagtest0"]
    await client.push_image(NAME, *tags)
    listed = (await client.ask("GET", f"/v2/{NAME}/tags/list")).json["tags"]
    assert sorted(tags) == listed
    for number in range(1, len(tags) + 1):
        assert len((await client.ask("GET", f"/v2/{NAME}/tags/list?n={number}")).json["tags"]) == number
        for last in listed:
            page = (await client.ask("GET", f"/v2/{NAME}/tags/list?n={number}&last={last}")).json["tags"]
            assert page == listed[listed.index(last) + 1 :][:number]


async def test_chunks(client: Client) -> None:
    content = b"0123456789abcdefghijklmnopqrstuvwxyz"
    parts = content[:10], content[10:]
    first, second = {"Content-Range": "0-9"}, {"Content-Range": f"10-{len(content) - 1}"}
    place = await client.begin(NAME)
    assert (await client.ask("PATCH", place, second, body=parts[1])).status == 416
    answer = await client.ask("PATCH", place, first, body=parts[0])
    assert (answer.status, answer["Range"]) == (202, "0-9")
    assert (await client.ask("PATCH", answer.path, first, body=parts[0])).status == 416
    answer = await client.ask("GET", place)
    assert (answer.status, answer["Range"], answer.path) == (204, "0-9", place)
    answer = await client.ask("PATCH", answer.path, second, body=parts[1])
    assert (answer.status, answer["Range"]) == (202, f"0-{len(content) - 1}")
    answer = await client.ask("PUT", f"{answer.path}?digest={digest_of(content)}")
    assert (answer.status, answer.path) == (201, f"/v2/{NAME}/blobs/{digest_of(content)}")
    assert (await client.ask("GET", answer.path)).body == content


async def test_mounts(client: Client) -> None:
    digest = await client.push_blob("conformance/repo2", LAYER)
    uploads = f"/v2/{NAME}/blobs/uploads/"
    answer = await client.ask("POST", f"{uploads}?mount={digest_of(b'never')}")
    assert (answer.status, answer.path.startswith(uploads)) == (202, True)
    for query in (f"mount={digest}&from=conformance/repo2", f"mount={digest}"):
        answer = await client.ask("POST", f"{uploads}?{query}")
        assert (answer.status, answer.path) == (201, f"/v2/{NAME}/blobs/{digest}")
        assert (await client.ask("GET", answer.path)).body == LAYER


@pytest.mark.parametrize("kind", ["manifests", "blobs"])
@pytest.mark.parametrize("reference", ["sha256:totallywrong", "sha256:", "sha512:totallywrong"])
async def test_malformed_digests(client: Client, kind: str, reference: str) -> None:
    answer = await client.ask("GET", f"/v2/{NAME}/{kind}/{reference}", body=b'{"a": "body"}')
    assert answer.status in {400, 404}
    assert answer.json["errors"][0]["code"] in CODES
    assert (await client.ask("GET", f"/v2/{NAME}/manifests/.INVALID_MANIFEST_NAME")).status == 404


async def test_referrers(client: Client) -> None:
    for blob in (CONFIG, LAYER, b"{}"):
        await client.push_blob(NAME, blob)
    subject, missing = make_manifest(CONFIG, LAYER), b"a subject that is missing"
    await client.put_manifest(NAME, "subject", subject)
    empty = describe(b"{}", "application/vnd.oci.empty.v1+json")

    def artifact(of: bytes, number: int, **more: Any) -> bytes:
        document = json.loads(make_manifest(CONFIG, subject=describe(of, OCI_MANIFEST), layers=[empty]))
        annotations = {"org.opencontainers.conformance.test": f"test {number}"}
        return json.dumps({**document, "annotations": annotations, **more}).encode()

    kind = "application/vnd.nba.strawberry.jam.croissant"
    pushed: dict[str, bytes] = {
        "config": artifact(subject, 1, config={**empty, "mediaType": kind}),
        "config and layer": artifact(subject, 2),
        "type": artifact(subject, 3, artifactType=kind, config=empty),
        "another type": artifact(subject, 4, artifactType="application/vnd.food.stand", config=empty),
    }
    index = {
        "schemaVersion": 2,
        "mediaType": INDEX,
        "manifests": [],
        "artifactType": "application/vnd.food.stand",
        "subject": describe(subject, OCI_MANIFEST),
        "annotations": {"of": "the index"},
    }
    for content in pushed.values():
        answer = await client.put_manifest(NAME, digest_of(content), content)
        assert (answer.status, answer["OCI-Subject"]) == (201, digest_of(subject))
    content = json.dumps(index).encode()
    assert (await client.put_manifest(NAME, digest_of(content), content, INDEX)).status == 201
    alone = artifact(missing, 5)
    assert (await client.put_manifest(NAME, digest_of(alone), alone)).status == 201

    answer = await client.ask("GET", f"/v2/{NAME}/referrers/{digest_of(subject)}")
    assert (answer.status, answer["Content-Type"]) == (200, INDEX)
    listed = {each["digest"]: each for each in answer.json["manifests"]}
    assert len(answer.json["manifests"]) == len(listed) == 5
    for each in (*pushed.values(), content):
        assert listed[digest_of(each)]["annotations"] == json.loads(each)["annotations"]
        assert listed[digest_of(each)]["size"] == len(each)
    filtered = await client.ask("GET", f"/v2/{NAME}/referrers/{digest_of(subject)}?artifactType={kind}")
    assert filtered["OCI-Filters-Applied"] == "artifactType"
    found = {each["digest"] for each in filtered.json["manifests"]}
    assert found == {digest_of(pushed["config"]), digest_of(pushed["type"])}
    answer = await client.ask("GET", f"/v2/{NAME}/referrers/{digest_of(missing)}")
    assert [each["digest"] for each in answer.json["manifests"]] == [digest_of(alone)]
    answer = await client.ask("GET", f"/v2/{NAME}/referrers/{digest_of(b'unknown')}")
    assert (answer.status, answer["Content-Type"], answer.json["manifests"]) == (200, INDEX, [])


async def test_deletes(client: Client) -> None:
    content = await client.push_image(NAME, "test0", "test1")
    place = f"/v2/{NAME}/manifests"
    assert (await client.ask("DELETE", f"{place}/test0")).status == 202
    assert (await client.ask("GET", f"{place}/test0")).status == 404
    assert (await client.ask("GET", f"/v2/{NAME}/tags/list")).json["tags"] == ["test1"]
    assert (await client.ask("DELETE", f"{place}/{digest_of(content)}")).status == 202
    for reference in ("test1", digest_of(content)):
        assert (await client.ask("GET", f"{place}/{reference}")).status == 404
    assert (await client.ask("DELETE", f"{place}/{digest_of(content)}")).status == 404
    answer = await client.ask("GET", f"/v2/{NAME}/tags/list")
    assert answer.status == 404 or answer.json["tags"] == []
    blob = json.loads(content)["layers"][0]["digest"]
    assert (await client.ask("DELETE", f"/v2/{NAME}/blobs/{blob}")).status == 202
    assert (await client.ask("GET", f"/v2/{NAME}/blobs/{blob}")).status == 404
    assert (await client.ask("DELETE", f"/v2/{NAME}/blobs/{blob}")).status == 404
