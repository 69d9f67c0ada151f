"""What answers say to browsers, and what they repeat of a request: nothing that a browser or terminal would act on."""

from __future__ import annotations

import pytest

from tests.support.limits import CONFIG, NAME, Place, text_of
from tests.support.serving_here import digest_of
from tests.support.upstreams import Head
from tests.support.v1server import make_pushed

PAGE = b"<html><script>document.title='stored'</script></html>"
ABSENT = f"sha256:{'0' * 64}"
TARGETS = [
    "/", "/v2/", "/v2", "/v2/_catalog", "/v2/a/tags/list", "/v2/A/tags/list", f"/v2/{NAME}/tags/list", "//v2/",
    "/nothing",
    f"/v2/{NAME}/manifests/latest", f"/v2/{NAME}/manifests/absent", f"/v2/{NAME}/blobs/{ABSENT}",
    "/v2/a/blobs/uploads/",
    f"/v2/{NAME}/blobs/{digest_of(PAGE)}", f"/v2/{NAME}/referrers/{ABSENT}", "/v1/_ping", "/v1/search?q=<b>",
    "/v1/users/",
    "/v1/images/x/json", "/v1/repositories/a/tags", "/v1/repositories/a/images", "/v1/nothing", "/favicon.ico",
]  # fmt: skip


def assert_safe(head: Head) -> None:
    if head.status not in {204, 304} and head.value("Content-Length") != "0":
        assert head.value("X-Content-Type-Options") == "nosniff", head
        kind = (head.value("Content-Type") or "text/plain").partition(";")[0]  # a HEAD of nothing has none
        assert kind == "text/plain" or kind.startswith(("application/", "multipart/byteranges")), head
    assert not [name for name, _ in head.headers if name.lower().startswith("access-control-")]
    assert head.value("Set-Cookie") is None


@pytest.mark.parametrize("place", ["alone", "in the proxy", "behind the proxy"], indirect=True)
async def test_no_answer_is_a_page_and_no_other_site_may_read_it(place: Place) -> None:
    await place.v2.push_image(NAME, "latest")
    await place.v2.push_blob(NAME, PAGE)
    for target in TARGETS:
        for client in (place.v1, place.v2):
            for method in ("GET", "HEAD", "OPTIONS", "POST", "PUT", "DELETE"):
                headers = {"Origin": "https://elsewhere.example", "Access-Control-Request-Method": "PUT"}
                answer = await client.ask(method, target, headers, body=b"" if method in {"PUT", "POST"} else None)
                assert_safe(answer.head)


@pytest.mark.parametrize("headers", [{}, {"Range": "bytes=0-9"}, {"Range": "bytes=0-1,5-6"}, {"Accept": "text/html"}])
async def test_a_layer_is_bytes_whatever_it_was_pushed_as(place: Place, headers: dict[str, str]) -> None:
    begun = await place.v2.begin(NAME)
    pushed = await place.v2.ask("PUT", f"{begun}?digest={digest_of(PAGE)}", {"Content-Type": "text/html"}, body=PAGE)
    assert pushed.status == 201
    image = make_pushed("a", layer=PAGE)
    for part, body, more in (
        ("json", image.json, {}),
        ("layer", PAGE, {"Content-Type": "text/html"}),
        ("checksum", b"", {"X-Docker-Checksum-Payload": image.payload}),
    ):
        answer = await place.v1.ask("PUT", f"/v1/images/{image.id}/{part}", more, body=body)
        assert answer.status == 200
    for client, path in ((place.v2, f"/v2/{NAME}/blobs/{digest_of(PAGE)}"), (place.v1, f"/v1/images/{image.id}/layer")):
        answer = await client.ask("GET", path, headers)
        assert answer.status in {200, 206}
        assert_safe(answer.head)
        kind = answer.head.value("Content-Type") or ""
        assert kind == "application/octet-stream" or kind.startswith("multipart/byteranges; ")


REPEATED = ["%1b[31m", "%0d%0aX-Evil:%20yes", "%00", "%e2%80%ae", "%ff", "<script>", '"', "\x80\xff", "%7f", "%08"]


@pytest.mark.parametrize("odd", REPEATED)
async def test_what_an_error_repeats_is_printable(place: Place, odd: str) -> None:
    await place.push_blobs()
    for client, path in (
        (place.v2, f"/v2/a{odd}/tags/list"),
        (place.v2, f"/v2/a/manifests/x{odd}"),
        (place.v2, f"/v2/a/blobs/sha256:{odd}"),
        (place.v2, f"/v2/a/blobs/uploads/{odd}"),
        (place.v2, f"/v2/_catalog?n={odd}"),
        (place.v2, f"/v2/x{odd}"),
        (place.v1, f"/v1/images/{odd}/json"),
        (place.v1, f"/v1/repositories/a{odd}/tags"),
        (place.v1, f"/v1/x{odd}"),
    ):
        answer = await client.ask("GET", path)
        assert 400 <= answer.status < 500, path
        assert answer.body.isascii()
        assert text_of(answer).isprintable(), path
        assert answer.head.value("X-Evil") is None
    for header in ("Range", "Content-Type", "Content-Range", "Expect"):
        value = "bytes=9-" if header == "Range" else odd
        method = "GET" if header == "Range" else "PUT"
        path = f"/v2/{NAME}/blobs/{digest_of(CONFIG)}" if method == "GET" else f"/v2/{NAME}/manifests/x"
        answer = await place.v2.ask(method, path, {header: value}, body=b"{}" if method == "PUT" else None)
        assert 400 <= answer.status < 500
        assert text_of(answer).isprintable()
