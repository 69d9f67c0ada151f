"""Names at the bounds of their grammars, in every place where a request can name something."""

from __future__ import annotations

from itertools import pairwise

import pytest

from backends.model.names import MAX_REPOSITORY_NAME
from backends.v2.manifests import MAX_TAGS
from tests.support.limits import CONFIG, LAYER, NAME, Place, manifest_with
from tests.support.serving_here import OCI_MANIFEST, OCTETS, digest_of

UPLOAD = "0ff71b58-9f1e-4a5c-8a9d-0123456789ab"
ABSENT = f"sha256:{'0' * 64}"
HEX = digest_of(CONFIG).partition(":")[2]

GOOD_NAMES = [
    "a" * MAX_REPOSITORY_NAME, "/".join("a" * 128), "a-b", "a--b", "a---b", "a_b", "a__b", "a.b", "0", "a/b-c/d_e/f.g",
    "uploads", "blobs/uploads", "manifests/latest", "tags/list", "referrers", "tag_latest", "manifests",
]  # fmt: skip
BAD_NAMES = [
    "a" * (MAX_REPOSITORY_NAME + 1), "/".join("a" * 129), "a___b", "a..b", "a._b", "a_-b", "-a", "a-", ".a", "a.", "_a",
    "a_", "A", "a/B", "a/-b", "_uploads", "_layers", "_manifests", "a/_manifests/tags", "_index_images", "a/.", "a/..",
    "a%2fb", "a%2Fb", "a:b", "a@b", "a%20b", "a%0a", "a%00", "%c0%ae", "%d0%b0",
]  # fmt: skip


async def test_a_name_within_the_grammar_names_a_repository_of_its_own(place: Place) -> None:
    for name in GOOD_NAMES:
        content = await place.v2.push_image(name, "latest")
        assert (await place.v2.ask("GET", f"/v2/{name}/manifests/latest")).body == content
        assert (await place.v2.ask("GET", f"/v2/{name}/tags/list")).json == {"name": name, "tags": ["latest"]}
        assert name in (await place.v2.ask("GET", "/v2/_catalog")).json["repositories"]
        assert (await place.v2.ask("GET", f"/v2/{name}/referrers/{digest_of(content)}")).json["manifests"] == []


async def test_a_name_outside_of_it_is_refused_wherever_it_stands(place: Place) -> None:
    await place.push_blobs()
    for name in BAD_NAMES:
        before = place.tree()
        for method, rest in (
            ("GET", "manifests/latest"), ("PUT", "manifests/latest"), ("DELETE", "manifests/latest"),
            ("GET", f"blobs/{ABSENT}"), ("HEAD", f"blobs/{ABSENT}"), ("DELETE", f"blobs/{ABSENT}"),
            ("POST", "blobs/uploads/"),
            ("PATCH", f"blobs/uploads/{UPLOAD}"), ("PUT", f"blobs/uploads/{UPLOAD}?digest={ABSENT}"),
            ("DELETE", f"blobs/uploads/{UPLOAD}"), ("GET", f"referrers/{ABSENT}"), ("GET", "tags/list"),
        ):  # fmt: skip
            answer = await place.v2.ask(method, f"/v2/{name}/{rest}", body=b"x" if method in {"PUT", "PATCH"} else None)
            assert answer.status == 400, (method, name, rest)
            if method != "HEAD":
                assert answer.told == (400, "NAME_INVALID"), (method, rest)
        # As the source of a mount it is no name at all: an upload begins, and takes nothing from anywhere.
        answer = await place.v2.ask("POST", f"/v2/{NAME}/blobs/uploads/?mount={digest_of(LAYER)}&from={name}")
        assert answer.status == 202
        assert (await place.v2.ask("DELETE", answer.path)).status == 204
        assert {path: file for path, file in place.tree().items() if "_uploads" not in path} == {
            path: file for path, file in before.items() if "_uploads" not in path
        }


GOOD_TAGS = ["t" * 128, "_", "0", "A.b-c_d", "latest", "...".join("ab"), "x" + "-" * 127]
BAD_TAGS = [
    "t" * 129, "-a", ".a", "a%2Fb", "a+b", "a%20b", "%00", "a%0Ab", "a%0D%0AX=y", "..", ".", "\\a", "~", "a%25",
    "%FF", "%d0%b0",
]  # fmt: skip


async def test_a_tag_within_the_grammar_is_kept(place: Place) -> None:
    for tag in GOOD_TAGS:
        content = await place.v2.push_image(NAME, tag)
        assert (await place.v2.ask("GET", f"/v2/{NAME}/manifests/{tag}")).body == content
        assert (await place.v2.ask("GET", f"/v2/{NAME}/tags/list")).json["tags"] == [tag]
        assert (await place.v2.ask("DELETE", f"/v2/{NAME}/manifests/{tag}")).status == 202


async def test_a_tag_outside_of_it_is_refused_and_never_found(place: Place) -> None:
    await place.push_blobs()
    for tag in BAD_TAGS:
        content = manifest_with()
        before = place.tree()
        put = await place.v2.ask("PUT", f"/v2/{NAME}/manifests/{tag}", {"Content-Type": OCI_MANIFEST}, body=content)
        assert put.told == (400, "TAG_INVALID"), tag
        query = f"/v2/{NAME}/manifests/{digest_of(content)}?tag=fine&tag={tag}"
        put = await place.v2.ask("PUT", query, {"Content-Type": OCI_MANIFEST}, body=content)
        assert put.told == (400, "TAG_INVALID"), tag
        assert place.tree() == before
        assert (await place.v2.ask("GET", f"/v2/{NAME}/manifests/{tag}")).told == (404, "MANIFEST_UNKNOWN")
        assert (await place.v2.ask("DELETE", f"/v2/{NAME}/manifests/{tag}")).status in {400, 404}
        assert place.tree() == before


@pytest.mark.parametrize(("count", "status"), [(MAX_TAGS, 201), (MAX_TAGS + 1, 414)])
async def test_a_manifest_gets_a_hundred_tags_in_one_request(place: Place, count: int, status: int) -> None:
    await place.push_blobs()
    content = manifest_with()
    tags = [f"{number:0128}" for number in range(count)]
    before = place.tree()
    query = "&".join(f"tag={tag}" for tag in tags)
    path = f"/v2/{NAME}/manifests/{digest_of(content)}?{query}"
    answer = await place.v2.ask("PUT", path, {"Content-Type": OCI_MANIFEST}, body=content)
    assert answer.status == status
    if status == 201:
        assert answer["OCI-Tag"].split(", ") == tags
        assert (await place.v2.ask("GET", f"/v2/{NAME}/tags/list")).json["tags"] == tags
    else:
        assert place.tree() == before


BAD_DIGESTS = [
    f"sha256:{HEX[:63]}", f"sha256:{HEX}0", f"sha256:{HEX.upper()}", f"sha256:{'g' * 64}", f"sha512:{HEX}",
    f"sha512:{'0' * 127}", f"sha512:{'0' * 129}", f"SHA256:{HEX}", f"md5:{'0' * 32}", f"sha384:{'0' * 96}",
    f"sha1:{'0' * 40}", f"sha256+b64u:{HEX}", f"sha256:{HEX}%20", f"%20sha256:{HEX}", f"sha256:{HEX[:62]}%00",
    "sha256:", f":{HEX}", f"sha256:..%2F{'0' * 59}", f"sha256:{'..%2F' * 12}{'0' * 28}", f"tarsum.v1+sha256:{HEX}",
    f"sha256:{'%D9%A0' * 64}", f"sha256:sha256:{HEX}",
]  # fmt: skip


async def test_a_digest_that_is_not_one_is_refused_wherever_it_stands(place: Place) -> None:
    await place.push_blobs()
    for digest in BAD_DIGESTS:
        begun = await place.v2.begin(NAME)
        before = place.tree()
        for method, path in (
            ("GET", f"/v2/{NAME}/blobs/{digest}"),
            ("DELETE", f"/v2/{NAME}/blobs/{digest}"),
            ("GET", f"/v2/{NAME}/manifests/{digest}"),
            ("DELETE", f"/v2/{NAME}/manifests/{digest}"),
            ("PUT", f"/v2/{NAME}/manifests/{digest}"),
            ("GET", f"/v2/{NAME}/referrers/{digest}"),
            ("POST", f"/v2/{NAME}/blobs/uploads/?digest={digest}"),
            ("PUT", f"{begun}?digest={digest}"),
        ):
            answer = await place.v2.ask(method, path, OCTETS, body=CONFIG if method in {"PUT", "POST"} else None)
            assert answer.told == (400, "DIGEST_INVALID"), (method, path)
            assert place.tree() == before
        # A mount of what cannot be is an upload, as in distribution.
        for query in (f"mount={digest}&from={NAME}", f"mount={digest}"):
            answer = await place.v2.ask("POST", f"/v2/team/other/blobs/uploads/?{query}")
            assert answer.status == 202
        assert not list(place.root.glob("docker/registry/v2/repositories/team/other/_layers"))


async def test_an_upload_belongs_to_one_repository(place: Place) -> None:
    """Who knows its name has nothing of it by another one."""
    begun = await place.v2.begin(NAME)
    assert (await place.v2.ask("PATCH", begun, OCTETS, body=b"half ")).status == 202
    upload = begun.rpartition("/")[2]
    before = place.tree()
    for other in ("team/other", "team", f"{NAME}/x", "app", "library/app"):
        path = f"/v2/{other}/blobs/uploads/{upload}"
        for method, target in (
            ("GET", path),
            ("HEAD", path),
            ("PATCH", path),
            ("PUT", f"{path}?digest={digest_of(b'half ')}"),
            ("DELETE", path),
        ):
            answer = await place.v2.ask(method, target, OCTETS, body=b"" if method in {"PATCH", "PUT"} else None)
            assert answer.status == 404, (method, other)
            assert method == "HEAD" or answer.told[1] == "BLOB_UPLOAD_UNKNOWN"
        assert place.tree() == before
    assert (await place.v2.ask("PUT", f"{begun}?digest={digest_of(b'half ')}")).status == 201


async def test_a_name_within_another_is_another_repository(place: Place) -> None:
    names = ["a", "a/b", "a/b/c", "ab", "a/tags", "a/manifests"]
    contents = {name: await place.v2.push_image(name, "latest", seed=name) for name in names}
    for name, content in contents.items():
        assert (await place.v2.ask("GET", f"/v2/{name}/manifests/latest")).body == content
    for one, other in pairwise(names):
        layer = digest_of(f"{one} layer".encode())
        assert (await place.v2.ask("GET", f"/v2/{other}/blobs/{layer}")).told == (404, "BLOB_UNKNOWN")
        assert (await place.v2.ask("GET", f"/v2/{other}/manifests/{digest_of(contents[one])}")).status == 404
    assert (await place.v2.ask("DELETE", f"/v2/a/manifests/{digest_of(contents['a'])}")).status == 202
    assert (await place.v2.ask("GET", "/v2/a/b/manifests/latest")).body == contents["a/b"]
