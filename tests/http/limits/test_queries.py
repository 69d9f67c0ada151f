"""Queries and ranges: numbers of any length, thousands of fields, positions at the end of what can be counted."""

from __future__ import annotations

import pytest

from backends.http.request_info import MAX_FIELDS
from backends.model.ranges import MAX_OFFSET, MAX_RANGES
from backends.v2.referrers import MAX_ARTIFACT_TYPE
from backends.v2.settings import V2Settings
from tests.support.limits import CONFIG, LAYER, NAME, Place, manifest_with
from tests.support.serving_here import OCI_MANIFEST, OCTETS, describe, digest_of

MOST = V2Settings().catalog_max_entries
SUBJECT = digest_of(manifest_with())
LISTINGS = ["/v2/_catalog", f"/v2/{NAME}/tags/list", f"/v2/{NAME}/referrers/{SUBJECT}"]


async def test_a_page_of_the_catalog_has_a_thousand_names_whatever_is_asked_for(place: Place) -> None:
    for number in range(MOST + 1):
        (place.root / f"docker/registry/v2/repositories/r{number:05}/_manifests").mkdir(parents=True)
    for asked in (str(MOST), str(MOST + 1), "999999999", "9999999999", "9" * 5000):
        answer = await place.v2.ask("GET", f"/v2/_catalog?n={asked}")
        assert (answer.status, len(answer.json["repositories"])) == (200, MOST)
        assert answer["Link"] == f'</v2/_catalog?last=r{MOST - 1:05}&n={MOST}>; rel="next"'
    answer = await place.v2.ask("GET", f"/v2/_catalog?n={MOST - 1}")
    assert len(answer.json["repositories"]) == MOST - 1


@pytest.mark.parametrize("path", LISTINGS)
async def test_a_number_of_entries_is_a_number(place: Place, path: str) -> None:
    await place.v2.push_image(NAME, "a", "b")
    for wrong in (
        "-1",
        "-0",
        "x",
        "1x",
        "1.0",
        "1e3",
        "+1",
        "0x10",
        "%20",
        "1%20",
        "%00",
        "%D9%A1",
        "%C2%B2",
        "-" + "9" * 5000,
    ):
        answer = await place.v2.ask("GET", f"{path}?n={wrong}")
        assert answer.told == (400, "PAGINATION_NUMBER_INVALID"), wrong
        assert len(answer.body) < 500
    for right in ("0", "1", "00", "1000", "9" * 20, ""):
        assert (await place.v2.ask("GET", f"{path}?n={right}")).status == 200, right


@pytest.mark.parametrize("path", LISTINGS)
async def test_a_listing_goes_on_after_any_text(place: Place, path: str) -> None:
    await place.v2.push_image(NAME, "a", "b")
    for last in (
        "x" * 60_000,
        "%00",
        "%ff%fe",
        "..%2f..",
        "%F0%9F%90%B3" * 1000,
        "a" * 256,
        "/",
        "a/" * 10_000,
        "sha256:",
        "%0d%0a",
    ):
        answer = await place.v2.ask("GET", f"{path}?last={last}&n=1")
        assert answer.status == 200, last[:20]
        assert "\n" not in (answer.value("Link") or "")
        assert len(answer.value("Link") or "") < 1000


@pytest.mark.parametrize("path", [*LISTINGS, "/v1/search", f"/v2/{NAME}/blobs/uploads/"])
async def test_a_query_has_a_hundred_fields(place: Place, path: str) -> None:
    await place.v2.push_image(NAME, "a")
    client = place.v1 if path.startswith("/v1/") else place.v2
    method = "POST" if path.endswith("/") else "GET"
    fields = "&".join(["x=y"] * MAX_FIELDS)
    assert (await client.ask(method, f"{path}?{fields}")).status in {200, 202}
    before = place.tree()
    answer = await client.ask(method, f"{path}?{fields}&x=y")
    assert answer.status == 400
    assert place.tree() == before


@pytest.mark.parametrize("unit", ["&", "tag=a&", "=&", "x&", ";", "tag&"])
async def test_a_push_with_thousands_of_fields_is_refused(place: Place, unit: str) -> None:
    await place.push_blobs()
    before = place.tree()
    path = f"/v2/{NAME}/manifests/{SUBJECT}?{(unit * 60_000)[:60_000]}"
    answer = await place.v2.ask("PUT", path, {"Content-Type": OCI_MANIFEST}, body=manifest_with())
    if unit == ";":  # no separator: one field of another name
        assert answer.status == 201
        return
    assert answer.told == (414, "UNSUPPORTED")
    assert place.tree() == before


async def test_a_filter_of_referrers_has_255_characters(place: Place) -> None:
    await place.push_blobs()
    await place.put(manifest_with())
    kind = "application/" + "x" * (MAX_ARTIFACT_TYPE - len("application/"))
    for number in range(2):
        more = {
            "subject": describe(manifest_with(), OCI_MANIFEST),
            "artifactType": kind,
            "annotations": {"n": str(number)},
        }
        content = manifest_with(**more)
        assert (await place.put(content, reference=digest_of(content))).status == 201
    answer = await place.v2.ask("GET", f"{LISTINGS[2]}?artifactType={kind}&n=1")
    assert (answer.status, len(answer.json["manifests"]), answer["OCI-Filters-Applied"]) == (200, 1, "artifactType")
    assert kind.replace("/", "%2F") in answer["Link"]
    assert (await place.v2.ask("GET", f"{LISTINGS[2]}?artifactType={kind}x")).told == (400, "UNSUPPORTED")


CHUNKS = [
    ("1-0", 400), ("5-2", 400), (f"0-{MAX_OFFSET + 1}", 400), (f"{MAX_OFFSET + 1}-{MAX_OFFSET + 2}", 400),
    ("0-" + "9" * 20, 400),
    ("0-1,3-4", 400), ("0-*", 400), ("*-5", 400), ("*/10", 400), ("bytes */10", 400), ("-5", 400), ("0-", 400), ("",
    400),
    ("0x0-0x9", 400), ("lines 0-9", 400), ("0-9/9/9", 400), ("0 - 9", 400), ("\u0660-\u0669", 400),
    ("10-19", 416), (f"{MAX_OFFSET - 9}-{MAX_OFFSET}", 416), ("1-10", 416),
    ("0-8", 400), ("0-10", 400), ("0-9", 202), ("bytes 0-9/*", 202), ("bytes 0-9/10", 202),
]  # fmt: skip
"""What is said of a chunk of ten bytes in an upload that has none."""


@pytest.mark.parametrize("method", ["PATCH", "PUT"])
async def test_a_chunk_is_taken_only_where_it_belongs(place: Place, method: str) -> None:
    content = b"ten bytes!"
    for said, status in CHUNKS:
        begun = await place.v2.begin(NAME)
        before = place.tree()
        target = begun if method == "PATCH" else f"{begun}?digest={digest_of(content)}"
        headers = {**OCTETS, "Content-Range": said.encode().decode("latin-1")}
        answer = await place.v2.ask(method, target, headers, body=content)
        assert answer.status == (201 if method == "PUT" and status == 202 else status), said
        if status >= 400:
            assert answer.told[1] in {"RANGE_INVALID", "SIZE_INVALID"}, said
            assert place.tree() == before, said
        if status == 416:
            assert answer["Range"] == "0-0"
            assert answer.path == begun
        assert (await place.v2.ask("DELETE", begun)).status in {204, 404}
    # Of a chunk without a length only its position counts.
    begun = await place.v2.begin(NAME)
    target = begun if method == "PATCH" else f"{begun}?digest={digest_of(content)}"
    for first, status in ((MAX_OFFSET - 9, 416), (MAX_OFFSET - 8, 400)):
        said = f"{first}-{first + 9}"
        answer = await place.v2.ask(method, target, {**OCTETS, "Content-Range": said}, chunks=[content])
        assert answer.told == (status, "RANGE_INVALID")


RANGES = [
    ("bytes=0-0", 206, LAYER[:1]), (f"bytes=0-{MAX_OFFSET}", 206, LAYER), (f"bytes=0-{'9' * 90}", 206, LAYER),
    (f"bytes=0-{'9' * 99}", 200, LAYER), (f"bytes=-{'9' * 90}", 206, LAYER), ("bytes=-0", 416, b""), ("bytes=7-", 416,
    b""),
    ("bytes=5-2", 416, b""), (f"bytes={MAX_OFFSET}-{MAX_OFFSET + 1}", 416, b""), ("bytes=*", 200, LAYER),
    ("bytes=0-*", 200, LAYER), ("bytes=-", 200, LAYER), ("lines=0-1", 200, LAYER), ("bytes=0-1;2-3", 200, LAYER),
    ("bytes=" + "0-6," * 2, 200, LAYER), ("bytes=" + "," * 10_000, 200, LAYER),
    ("bytes=" + "0-0," * (MAX_RANGES + 1), 200, LAYER), ("bytes=" + "9-9," * MAX_RANGES, 416, b""),
]  # fmt: skip


async def test_a_range_is_a_part_of_what_is_there(place: Place) -> None:
    await place.push_blobs()
    for said, status, body in RANGES:
        answer = await place.v2.ask("GET", f"/v2/{NAME}/blobs/{digest_of(LAYER)}", {"Range": said})
        assert answer.status == status, said[:40]
        if status == 416:
            assert answer["Content-Range"] == f"bytes */{len(LAYER)}"
        else:
            assert answer.body == body, said[:40]


async def test_the_first_of_a_repeated_field_counts(place: Place) -> None:
    wrong = f"sha256:{'0' * 64}"
    right = digest_of(CONFIG)
    for query, status in ((f"digest={right}&digest={wrong}", 201), (f"digest={wrong}&digest={right}", 400)):
        answer = await place.v2.ask("POST", f"/v2/{NAME}/blobs/uploads/?{query}", OCTETS, body=CONFIG)
        assert answer.status == status
