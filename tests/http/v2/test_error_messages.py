"""Each way to get a path wrong: what the answer says is about that path and that mistake.

Most clients show the code and the message of an error, some the detail, and few follow a redirection with another
method than GET.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from backends.http.error_bodies import MOST_ERRORS
from backends.v2.routes import ROUTES
from backends.web.dispatch import Route
from tests.support.serving_here import OCI_MANIFEST, Answer, Client, describe, digest_of, make_manifest

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "REPORT")
UPLOAD = "01234567-89ab-cdef-0123-456789abcdef"
VALID = {"name": "team/app", "reference": "latest", "digest": f"sha256:{'d' * 64}", "upload": UPLOAD}
MALFORMED = {
    "name": ["Team/app", "team//app/..", "-x", "team_/app", "_app"],
    "reference": ["sha256:zz", "md5:00", f"sha256:{'D' * 64}", ":", "-tag", "x" * 129],
    "digest": ["sha256:zz", "latest", f"sha256:{'d' * 63}", "d" * 64, "md5:d41d8cd98f00b204e9800998ecf8427e", "%00"],
    "upload": ["1", UPLOAD.upper(), "%2e%2e"],
}


def path_of(route: Route, **values: str) -> str:
    path = route.pattern
    for name, value in {**VALID, **values}.items():
        path = path.replace(f"{{{name}*}}", value).replace(f"{{{name}}}", value)
    return path


def shape_of(route: Route) -> str:
    return route.pattern.replace("{", "<").replace("*}", ">").replace("}", ">")


def methods_of(route: Route) -> set[str]:
    return {*route.operations} | ({"HEAD"} if "GET" in route.operations else set())


def one_error(answer: Answer) -> dict[str, Any]:
    (error,) = answer.json["errors"]
    assert set(error) == {"code", "message", "detail"}
    found: dict[str, Any] = error
    return found


def wrong_methods() -> Iterator[tuple[Route, str]]:
    for route in ROUTES:
        for method in METHODS:
            if method not in methods_of(route):
                yield route, method


@pytest.mark.parametrize(("route", "method"), list(wrong_methods()), ids=lambda value: getattr(value, "pattern", value))
async def test_a_method_that_a_path_does_not_take(registry: Client, route: Route, method: str) -> None:
    answer = await registry.ask(method, path_of(route))
    assert answer.status == 405
    assert answer["Allow"] == ", ".join(sorted(methods_of(route)))
    if method != "HEAD":
        error = one_error(answer)
        assert error["code"] == "UNSUPPORTED"
        expected = f"{method} is not possible at {shape_of(route)}, which takes {answer['Allow']}"
        assert error["detail"] == {"reason": expected}


def malformed() -> Iterator[tuple[Route, str, str, str]]:
    for route in ROUTES:
        for name, values in MALFORMED.items():
            if f"{{{name}" in route.pattern:
                for value in values:
                    for method in sorted(route.operations):
                        yield route, method, name, value


EXPECTED = {
    "name": ("NAME_INVALID", 400, "invalid repository name", "is not a valid repository name"),
    "digest": ("DIGEST_INVALID", 400, "is not a valid digest", "is not a valid digest; write sha256: and 64"),
    "upload": ("BLOB_UPLOAD_UNKNOWN", 404, "blob upload unknown to registry", "there is no upload"),
    "reference": ("TAG_INVALID", 400, "is not a valid tag", "is not a valid tag; use up to 128 letters"),
}


@pytest.mark.parametrize(
    ("route", "method", "name", "value"),
    list(malformed()),
    ids=lambda value: getattr(value, "pattern", str(value)[:12]),
)
async def test_a_value_that_is_not_valid_is_named_by_message_and_detail(
    registry: Client, route: Route, method: str, name: str, value: str
) -> None:
    answer = await registry.ask(method, path_of(route, **{name: value}), body=b"x" if method[0] == "P" else None)
    if answer.status == 301:  # "//" is put right first
        assert "//" in value
        return
    kind = "digest" if name == "reference" and ":" in value else name
    code, status, message, detail = EXPECTED[kind]
    if kind == "reference" and method == "GET":  # such a tag is not there, for who asks for it
        code, status, message = "MANIFEST_UNKNOWN", 404, "manifest unknown"
    assert answer.told == (status, code)
    error = one_error(answer)
    assert message in error["message"]
    assert detail in error["detail"]["reason"]
    if "%" not in value:
        assert value[:80] in error["detail"]["reason"]
    assert "did not match" not in error["message"]


@pytest.mark.parametrize(
    ("name", "old"), [("a..b", "a..b"), ("library/a..b", "a..b"), ("team/app_", "team/app_"), ("_app", "_app")]
)
async def test_of_a_name_that_only_v1_can_have_the_detail_says_how_others_could_pull_it(
    registry: Client, name: str, old: str
) -> None:
    error = one_error(await registry.ask("GET", f"/v2/{name}/manifests/latest"))
    sentence = error["detail"]["reason"]
    assert "clients of v1 pushed by this name they alone can pull" in sentence
    assert sentence.endswith(f"portside migrate run --map {old}=NEW")


@pytest.mark.parametrize("name", ["a b", "a/b/c..d", "-x", "team//app/.."])
async def test_of_a_name_that_v1_clients_could_not_push_it_says_nothing_of_them(registry: Client, name: str) -> None:
    answer = await registry.ask("GET", f"/v2/{name.replace(' ', '%20')}/tags/list")
    if answer.status != 301:
        assert "v1" not in one_error(answer)["detail"]["reason"]


@pytest.mark.parametrize("method", ["POST", "GET", "DELETE"])
async def test_uploads_without_their_slash_are_not_taken_for_a_blob(registry: Client, method: str) -> None:
    answer = await registry.ask(method, "/v2/team/app/blobs/uploads?mount=x")
    assert (answer.status, answer["Location"]) == (301, "/v2/team/app/blobs/uploads/?mount=x")
    if method != "GET":
        assert one_error(answer)["detail"]["reason"].startswith(
            f"{method} /v2/team/app/blobs/uploads is at /v2/team/app/blobs/uploads/"
        )
    if method == "POST":
        answer = await registry.ask(method, "/v2/Team/blobs/uploads")
        assert answer.told == (400, "NAME_INVALID")
        answer = await registry.ask("GET", "/v2/team/app/blobs/uploads/")  # what follows with GET learns what it takes
        assert answer["Allow"] == "POST"


async def test_a_final_put_without_a_digest_says_that_it_is_missing(registry: Client) -> None:
    answer = await registry.ask("PUT", await registry.begin("team/app"), body=b"x")
    assert answer.told == (400, "DIGEST_INVALID")
    assert one_error(answer)["message"] == "the digest is missing"


# what a manifest names and is not here


async def test_each_missing_blob_is_an_error_with_its_digest(registry: Client) -> None:
    there = await registry.push_blob("team/app", b"there")
    content = make_manifest(b"config", b"there", b"one", b"two", b"one")
    answer = await registry.put_manifest("team/app", "latest", content)
    assert answer.status == 400
    assert answer.json["errors"] == [
        {"code": "MANIFEST_BLOB_UNKNOWN", "message": "blob unknown to registry", "detail": digest_of(blob)}
        for blob in (b"config", b"one", b"two")
    ]
    assert there not in answer.body.decode()


@pytest.mark.parametrize("number", [MOST_ERRORS, MOST_ERRORS + 1, 5000])
async def test_so_many_are_named_and_no_more(registry: Client, number: int) -> None:
    content = make_manifest(*(b"%d" % each for each in range(number)))
    answer = await registry.put_manifest("team/app", "latest", content)
    assert answer.status == 400
    errors = answer.json["errors"]
    assert [error["detail"] for error in errors[:MOST_ERRORS]] == [digest_of(b"%d" % each) for each in range(100)]
    assert len(errors) == MOST_ERRORS + (number > MOST_ERRORS)
    if number > MOST_ERRORS:
        assert "more than 97 more; push that first" in errors[-1]["detail"]["reason"]


async def test_each_missing_entry_of_an_index_is_an_error_too(registry: Client) -> None:
    entries = [describe(content, OCI_MANIFEST) for content in (b"one", b"two")]
    index = "application/vnd.oci.image.index.v1+json"
    content = json.dumps({"schemaVersion": 2, "mediaType": index, "manifests": entries}).encode()
    answer = await registry.put_manifest("team/app", "latest", content, index)
    assert [error["detail"] for error in answer.json["errors"]] == [digest_of(b"one"), digest_of(b"two")]
