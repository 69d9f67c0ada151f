"""`GET referrers/<digest>` and `OCI-Subject`, which come together: some clients ask for the one, some for the other."""

from __future__ import annotations

import json
from hashlib import sha512
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.support.serving_here import OCI_MANIFEST, Client, describe, digest_of, make_manifest

NAME = "team/app"
INDEX = "application/vnd.oci.image.index.v1+json"
CONFIG, LAYER = b'{"architecture": "amd64"}', b"a layer"
MISSING = b"a manifest that nobody has"
CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"


async def push_blobs(client: Client) -> None:
    for blob in (CONFIG, LAYER):
        await client.push_blob(NAME, blob)


def make_referrer(subject: bytes = MISSING, **more: Any) -> bytes:
    return make_manifest(CONFIG, LAYER, subject=describe(subject, OCI_MANIFEST), **more)


def make_index(**more: Any) -> bytes:
    return json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": [], **more}).encode()


def referrers_path(digest: str, name: str = NAME) -> str:
    return f"/v2/{name}/referrers/{digest}"


async def test_header_and_listing_come_together(client: Client) -> None:
    await push_blobs(client)
    image = make_manifest(CONFIG, LAYER)
    subject = {"subject": describe(image, OCI_MANIFEST)}
    signature = make_referrer(image, artifactType="application/x.signature", annotations={"a": "é", "b": ""})
    plain = make_referrer(image)
    several = make_index(artifactType="application/x.several", annotations={"c": "d"}, **subject)
    untyped = make_index(**subject)
    wanted: dict[str, Any] = {}
    for content, media_type, said in (
        (signature, OCI_MANIFEST, {"artifactType": "application/x.signature", "annotations": {"a": "é", "b": ""}}),
        (plain, OCI_MANIFEST, {"artifactType": CONFIG_TYPE}),
        (several, INDEX, {"artifactType": "application/x.several", "annotations": {"c": "d"}}),
        (untyped, INDEX, {}),
    ):
        for reference in ("tagged", digest_of(content)):
            answer = await client.put_manifest(NAME, reference, content, media_type)
            assert (answer.status, answer["OCI-Subject"]) == (201, digest_of(image))
        wanted[digest_of(content)] = {**describe(content, media_type), **said}
    answer = await client.put_manifest(NAME, "latest", image)
    assert (answer.status, answer.head.value("OCI-Subject")) == (201, None)
    answer = await client.ask("GET", referrers_path(digest_of(image)))
    assert (answer.status, answer["Content-Type"]) == (200, INDEX)
    assert answer["Content-Length"] == str(len(answer.body))
    assert answer.head.value("OCI-Filters-Applied") is None
    assert answer.head.value("Link") is None
    assert answer.json == {
        "schemaVersion": 2,
        "mediaType": INDEX,
        "manifests": [wanted[digest] for digest in sorted(wanted)],
    }
    head = await client.ask("HEAD", referrers_path(digest_of(image)))
    assert (head.status, head.body, head["Content-Length"]) == (200, b"", answer["Content-Length"])


async def test_a_filter_is_applied_and_says_so(client: Client) -> None:
    await push_blobs(client)
    kind = "application/x+y;z=ü"
    wanted = make_referrer(artifactType=kind)
    for content in (wanted, make_referrer(artifactType="application/x"), make_referrer()):
        assert (await client.put_manifest(NAME, digest_of(content), content)).status == 201
    for asked, found in (
        (kind, [digest_of(wanted)]),
        (CONFIG_TYPE, [digest_of(make_referrer())]),
        ("application", []),
    ):
        path = referrers_path(digest_of(MISSING)) + f"?artifactType={quote(asked, safe='')}"
        answer = await client.ask("GET", path)
        assert [each["digest"] for each in answer.json["manifests"]] == found
        assert answer["OCI-Filters-Applied"] == "artifactType"
    answer = await client.ask("GET", referrers_path(digest_of(MISSING)) + "?artifactType=")
    assert len(answer.json["manifests"]) == 3
    assert answer.head.value("OCI-Filters-Applied") is None


@pytest.mark.parametrize("name", [NAME, "never/pushed"])
async def test_what_is_unknown_has_no_referrers(client: Client, name: str) -> None:
    await client.push_image(NAME)
    for digest in (digest_of(MISSING), "sha512:" + sha512(MISSING).hexdigest()):
        answer = await client.ask("GET", referrers_path(digest, name))
        assert (answer.status, answer["Content-Type"]) == (200, INDEX)
        assert answer.json == {"schemaVersion": 2, "mediaType": INDEX, "manifests": []}


async def test_bad_requests_are_refused(registry: Client) -> None:
    for path, code in (
        (referrers_path("sha256:short"), "DIGEST_INVALID"),
        (referrers_path("latest"), "DIGEST_INVALID"),
        (referrers_path(digest_of(MISSING), "A"), "NAME_INVALID"),
        (referrers_path(digest_of(MISSING)) + "?n=x", "PAGINATION_NUMBER_INVALID"),
    ):
        assert (await registry.ask("GET", path)).told == (400, code)
    answer = await registry.ask("DELETE", referrers_path(digest_of(MISSING)))
    assert (answer.told, answer["Allow"]) == ((405, "UNSUPPORTED"), "GET, HEAD")


async def test_a_sha512_referrer_of_a_sha512_subject(client: Client) -> None:
    await push_blobs(client)
    subject = "sha512:" + sha512(MISSING).hexdigest()
    content = make_manifest(CONFIG, LAYER, subject={**describe(MISSING, OCI_MANIFEST), "digest": subject})
    digest = "sha512:" + sha512(content).hexdigest()
    answer = await client.put_manifest(NAME, digest, content)
    assert (answer.status, answer["OCI-Subject"]) == (201, subject)
    answer = await client.ask("GET", referrers_path(subject))
    assert [each["digest"] for each in answer.json["manifests"]] == [digest]


async def test_pages_lead_to_one_another_with_their_filter(client: Client) -> None:
    await push_blobs(client)
    kinds = ["application/x+y", "application/z"]
    contents = [make_referrer(artifactType=kinds[n % 2], annotations={"n": str(n)}) for n in range(9)]
    for content in contents:
        assert (await client.put_manifest(NAME, digest_of(content), content)).status == 201
    for query, wanted in (
        ("", sorted(map(digest_of, contents))),
        (f"&artifactType={quote(kinds[0], safe='')}", sorted(map(digest_of, contents[::2]))),
    ):
        path, found, pages = referrers_path(digest_of(MISSING)) + "?n=4" + query, list[str](), 0
        while path:
            answer = await client.ask("GET", path)
            found += [each["digest"] for each in answer.json["manifests"]]
            pages += 1
            link = answer.head.value("Link")
            path = ""
            if link is not None:
                target, _, relation = link.partition(">; ")
                assert relation == 'rel="next"'
                assert target.startswith(f"</v2/{NAME}/referrers/")
                path = target[1:]
        assert (found, pages) == (wanted, 3)


async def test_a_page_has_a_thousand_entries(registry: Client, root: Path) -> None:
    await push_blobs(registry)
    content = make_referrer()
    assert (await registry.put_manifest(NAME, digest_of(content), content)).status == 201
    (entry,) = (root / "docker/registry/portside/index/referrers").rglob("sha256-*")
    for number in range(1000):  # before and after it, without a manifest: looked at, not shown
        (entry.parent / f"sha256-{number:064x}").write_bytes(b"{}")
    answer = await registry.ask("GET", referrers_path(digest_of(MISSING)))
    assert answer.json["manifests"] == []
    assert "&n=1000>" in answer["Link"]
    answer = await registry.ask("GET", answer["Link"][1:].partition(">")[0])
    assert [each["digest"] for each in answer.json["manifests"]] == [digest_of(content)]
    assert answer.head.value("Link") is None
    answer = await registry.ask("GET", referrers_path(digest_of(MISSING)) + "?n=5000")
    assert "&n=1000>" in answer["Link"]
