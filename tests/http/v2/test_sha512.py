"""Content that was pushed by sha512: every way to it agrees, in all forms, before and after a restart."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.commands import running_command
from tests.support.ports import free_port
from tests.support.serving_here import OCI_MANIFEST, Client, digest_of, make_manifest

NAME = "team/app"
INDEX = "application/vnd.oci.image.index.v1+json"
CONFIG, LAYER = b'{"architecture": "amd64"}', b"a layer"


def sha512_of(content: bytes) -> str:
    return f"sha512:{hashlib.sha512(content).hexdigest()}"


def describe512(content: bytes, media_type: str) -> dict[str, object]:
    return {"mediaType": media_type, "digest": sha512_of(content), "size": len(content)}


def make_image512() -> bytes:
    """An image whose config and layer are named by sha512."""
    document = json.loads(make_manifest(CONFIG, LAYER))
    document["config"]["digest"] = sha512_of(CONFIG)
    document["layers"][0]["digest"] = sha512_of(LAYER)
    return json.dumps(document).encode()


async def push_blobs512(client: Client) -> None:
    for blob in (CONFIG, LAYER):
        place = await client.begin(NAME)
        answer = await client.ask("PUT", f"{place}?digest={sha512_of(blob)}", body=blob)
        assert (answer.status, answer["Docker-Content-Digest"]) == (201, sha512_of(blob))


async def assert_answers(client: Client, reference: str, content: bytes, digest: str) -> None:
    for method in ("GET", "HEAD"):
        answer = await client.ask(method, f"/v2/{NAME}/manifests/{reference}")
        assert (answer.status, answer.body) == (200, content if method == "GET" else b"")
        assert (answer["Docker-Content-Digest"], answer["Etag"]) == (digest, f'"{digest}"')
        assert answer["Content-Length"] == str(len(content))


async def fill(client: Client) -> bytes:
    """Pushes an image by sha512 with two tags, and once more by a tag alone, which knows only sha256."""
    await push_blobs512(client)
    content = make_image512()
    path = f"/v2/{NAME}/manifests/{sha512_of(content)}?tag=a&tag=b"
    answer = await client.ask("PUT", path, {"Content-Type": OCI_MANIFEST}, body=content)
    assert (answer.status, answer["OCI-Tag"], answer["Docker-Content-Digest"]) == (201, "a, b", sha512_of(content))
    answer = await client.ask("GET", f"/v2/{NAME}/manifests/{digest_of(content)}")
    assert answer.status == 404  # nobody has pushed it by this one
    answer = await client.put_manifest(NAME, "c", content)
    assert (answer.status, answer["Docker-Content-Digest"]) == (201, digest_of(content))
    return content


async def assert_all_agrees(client: Client, content: bytes) -> None:
    for reference in ("a", "b", sha512_of(content)):
        await assert_answers(client, reference, content, sha512_of(content))
    for reference in ("c", digest_of(content)):
        await assert_answers(client, reference, content, digest_of(content))
    assert (await client.ask("GET", f"/v2/{NAME}/tags/list")).json["tags"] == ["a", "b", "c"]
    for blob in (CONFIG, LAYER):
        answer = await client.ask("GET", f"/v2/{NAME}/blobs/{sha512_of(blob)}", {"Range": "bytes=1-"})
        assert (answer.status, answer.body, answer["Docker-Content-Digest"]) == (206, blob[1:], sha512_of(blob))


async def test_every_way_to_it_agrees(client: Client, other_worker: Client) -> None:
    content = await fill(client)
    for each in (client, other_worker):
        await assert_all_agrees(each, content)


async def test_deleting_by_one_digest_leaves_what_the_other_names(client: Client) -> None:
    content = await fill(client)
    assert (await client.ask("DELETE", f"/v2/{NAME}/manifests/{sha512_of(content)}")).status == 202
    for reference in ("a", "b", sha512_of(content)):
        assert (await client.ask("GET", f"/v2/{NAME}/manifests/{reference}")).status == 404
    for reference in ("c", digest_of(content)):
        await assert_answers(client, reference, content, digest_of(content))


async def test_a_tag_moves_between_digests_of_one_content(client: Client) -> None:
    content = await fill(client)
    assert (await client.put_manifest(NAME, "a", content)).status == 201
    await assert_answers(client, "a", content, digest_of(content))
    assert (await client.put_manifest(NAME, f"{sha512_of(content)}?tag=c", content)).status == 201
    await assert_answers(client, "c", content, sha512_of(content))


async def test_referrers_of_a_subject_are_those_that_name_it_by_this_digest(client: Client) -> None:
    content = await fill(client)
    document = json.loads(make_image512())
    by512 = json.dumps({**document, "subject": describe512(content, OCI_MANIFEST)}).encode()
    by256 = json.dumps({**document, "subject": {**describe512(content, OCI_MANIFEST), "digest": digest_of(content)}})
    answer = await client.put_manifest(NAME, sha512_of(by512), by512)
    assert (answer.status, answer["OCI-Subject"]) == (201, sha512_of(content))
    answer = await client.put_manifest(NAME, digest_of(by256.encode()), by256.encode())
    assert (answer.status, answer["OCI-Subject"]) == (201, digest_of(content))
    for subject, referrer in (
        (sha512_of(content), sha512_of(by512)),
        (digest_of(content), digest_of(by256.encode())),
    ):
        answer = await client.ask("GET", f"/v2/{NAME}/referrers/{subject}")
        assert [each["digest"] for each in answer.json["manifests"]] == [referrer]


@pytest.mark.parametrize("by", [sha512_of, digest_of])
async def test_an_index_of_sha512_children(client: Client, by: Callable[[bytes], str]) -> None:
    content = await fill(client)
    index = json.dumps(
        {"schemaVersion": 2, "mediaType": INDEX, "manifests": [describe512(content, OCI_MANIFEST)]}
    ).encode()
    missing = json.dumps(
        {"schemaVersion": 2, "mediaType": INDEX, "manifests": [describe512(b"missing", OCI_MANIFEST)]}
    ).encode()
    assert (await client.put_manifest(NAME, by(index), index, INDEX)).status == 201
    await assert_answers(client, by(index), index, by(index))
    answer = await client.put_manifest(NAME, by(missing), missing, INDEX)
    assert answer.status == 400
    assert answer.json["errors"][0]["code"] == "MANIFEST_BLOB_UNKNOWN"


async def test_a_sha512_blob_is_mounted_with_and_without_a_source(client: Client) -> None:
    await push_blobs512(client)
    for name, query in (("team/b", f"&from={NAME}"), ("team/c", "")):
        answer = await client.ask("POST", f"/v2/{name}/blobs/uploads/?mount={sha512_of(LAYER)}{query}")
        assert (answer.status, answer["Docker-Content-Digest"]) == (201, sha512_of(LAYER))
        assert (await client.ask("GET", f"/v2/{name}/blobs/{sha512_of(LAYER)}")).body == LAYER


async def test_it_all_agrees_after_a_restart_in_a_process_of_both_protocols(tmp_path: Path) -> None:
    port = free_port()
    settings = {
        "storage": {"filesystem": {"rootdirectory": str(tmp_path / "data")}},
        "gateway": {
            "addr": "127.0.0.1:0",
            "plain": {"addr": f"127.0.0.1:{port}"},
            "certs": str(tmp_path / "certs"),
            **{each: {"addr": ""} for each in ("v1", "v2", "metrics")},
        },
    }
    (tmp_path / "portside.yml").write_text(json.dumps(settings))
    client = Client("127.0.0.1", port)
    with running_command("serve", "portside.yml", folder=tmp_path):
        content = await fill(client)
        await assert_all_agrees(client, content)
    with running_command("serve", "portside.yml", folder=tmp_path):
        await assert_all_agrees(client, content)
    with running_command("v2", "--addr", f"127.0.0.1:{port}", "--data", tmp_path / "data", folder=tmp_path):
        await assert_all_agrees(client, content)
