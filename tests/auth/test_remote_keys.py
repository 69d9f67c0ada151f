"""An issuer's keys: fetched over HTTPS from a real server, kept, fetched again, and never asked for too often."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import re
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path

import pytest
from aiohttp import web

from backends.auth.openid_settings import OpenIdSettings, is_allowed
from backends.auth.remote_keys import ASK_SECONDS, MAX_BYTES, MAX_KEYS, Fetched, RemoteKeys, UnreachableIssuer
from backends.auth.schemes import Busy, Failure
from portside import fetching_keys
from portside.fetching_keys import fetch_keys
from tests.support.issuer import Issuer, Page, jwks_text, page, running_issuer, silence
from tests.support.tokens import make_ec


@pytest.fixture
async def issuer(tmp_path: Path) -> AsyncIterator[Issuer]:
    async with running_issuer(tmp_path / "issuer") as running:
        yield running


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def keys_of(issuer: Issuer, clock: Clock, *, url: str = "", token: Path | None = None) -> RemoteKeys:
    settings = OpenIdSettings(issuer.url, ("registry",), url, issuer.ca, token)
    return RemoteKeys(partial(fetch_keys, settings), issuer=issuer.url, clock=clock)


async def test_keys_are_found_by_discovery_and_at_an_address(issuer: Issuer) -> None:
    for url in ("", f"{issuer.url}/jwks"):
        assert "one" in (await keys_of(issuer, Clock(), url=url).find("one")).by_id
    assert [path for path, _ in issuer.asked] == ["/.well-known/openid-configuration", "/jwks", "/jwks"]


async def test_a_key_that_is_there_is_never_asked_for_again(issuer: Issuer) -> None:
    keys, clock = keys_of(issuer, Clock()), Clock()
    first = await keys.find("one")
    clock.now += 1e6
    assert await keys.find("one") is first
    assert await keys.held() is first
    assert issuer.count() == 1


async def test_all_who_wait_for_the_first_answer_get_it_from_one_question(issuer: Issuer) -> None:
    keys = keys_of(issuer, Clock())
    found = await asyncio.gather(*(keys.find("one") for _ in range(50)))
    assert len(set(map(id, found))) == 1
    assert issuer.count() == 1


async def test_unknown_keys_are_asked_for_at_most_once_in_ten_seconds_and_a_rotated_one_is_found(
    issuer: Issuer,
) -> None:
    clock = Clock()
    keys = keys_of(issuer, clock)
    await keys.find("one")
    for number in range(100):
        assert f"made-up-{number}" not in (await keys.find(f"made-up-{number}")).by_id
    assert issuer.count() == 1
    issuer.keys["two"] = make_ec()
    clock.now += ASK_SECONDS
    found = await asyncio.gather(*(keys.find(each) for each in ("two", "made-up", "two")))
    assert all(set(each.by_id) == {"one", "two"} for each in found)
    assert issuer.count() == 2
    del issuer.keys["one"]
    clock.now += ASK_SECONDS
    assert set((await keys.find("made-up")).by_id) == {"two"}, "a key that was withdrawn still holds"


async def test_the_same_answer_is_the_same_object_so_that_nothing_is_verified_again(issuer: Issuer) -> None:
    clock = Clock()
    keys = keys_of(issuer, clock)
    first = await keys.find("one")
    clock.now += ASK_SECONDS
    assert await keys.find("made-up") is first
    assert issuer.count() == 2


async def test_keys_hold_while_the_issuer_is_down_and_that_is_said_once(
    issuer: Issuer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    clock = Clock()
    keys = keys_of(issuer, clock)
    await keys.find("one")
    issuer.pages["/jwks"] = page("down", status=503)
    for _ in range(3):
        clock.now += ASK_SECONDS
        assert "one" in (await keys.find("one")).by_id
        with pytest.raises(Busy) as busy:  # it may be one that the issuer has had since
            await keys.find("two")
        assert busy.value.failure is Failure.UNAVAILABLE
        assert busy.value.retry_after > 0
    assert keys.trouble == f"{issuer.url}/jwks: it answers 503"
    del issuer.pages["/jwks"]
    clock.now += ASK_SECONDS
    issuer.keys["two"] = make_ec()
    assert "two" in (await keys.find("two")).by_id
    assert keys.trouble == ""
    lines = [record.getMessage() for record in caplog.records if record.name == "portside.auth.openid"]
    assert lines == [
        f"the keys of {issuer.url} cannot be had: {issuer.url}/jwks: it answers 503; those fetched before still hold",
        f"the keys of {issuer.url} can be had again",
    ]


async def test_without_any_answer_nobody_can_tell(issuer: Issuer) -> None:
    issuer.pages["/jwks"] = page("down", status=503)
    with pytest.raises(Busy, match="cannot be checked now"):
        await keys_of(issuer, Clock()).find("one")


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ("", 2880), ("max-age=600", 480), ("public, max-age=3600, must-revalidate", 2880), ('max-age="600"', 480),
        ("max-age=1", 48), ("max-age=0", 48), ("no-cache", 48), ("no-store, max-age=600", 48),
        ("max-age=99999999999", 69120), ("max-age=-5", 2880), ("max-age=soon", 2880), ("MAX-AGE=600", 480),
    ],
)  # fmt: skip
async def test_keys_are_fetched_again_before_they_age_within_bounds(said: str, seconds: float, issuer: Issuer) -> None:
    if said:
        issuer.headers["Cache-Control"] = said
    clock = Clock()
    keys = keys_of(issuer, clock)
    await keys.find("one")
    assert keys.due_in == pytest.approx(seconds)


async def test_the_background_fetches_them_before_anybody_asks_and_again_when_they_are_due(issuer: Issuer) -> None:
    clock = Clock()
    keys = keys_of(issuer, clock)
    watching = asyncio.create_task(keys.watch(tick=0.01))
    try:
        await until(lambda: keys.current is not None)
        await asyncio.sleep(0.1)
        assert issuer.count() == 1
        issuer.keys["two"] = make_ec()
        clock.now += 3000
        await until(lambda: issuer.count() == 2 and keys._asking is None)
        await until(lambda: keys.current is not None and "two" in keys.current.by_id)
        issuer.pages["/jwks"] = page("down", status=500)
        clock.now += 3000
        await until(lambda: issuer.count() == 3 and keys._asking is None)
        await asyncio.sleep(0.1)
        clock.now += ASK_SECONDS
        await until(lambda: issuer.count() == 4 and keys._asking is None)
        clock.now += ASK_SECONDS
        await asyncio.sleep(0.1)
        assert issuer.count() == 4, "a failing issuer is asked ever more seldom"
        clock.now += ASK_SECONDS
        await until(lambda: issuer.count() == 5 and keys._asking is None)
    finally:
        watching.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watching
        await keys.close()


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not true():  # noqa: ASYNC110 - what is waited for happens elsewhere
            await asyncio.sleep(0.005)


async def test_who_leaves_while_keys_are_fetched_ends_it_for_nobody(issuer: Issuer) -> None:
    go_on = asyncio.Event()

    async def slow(request: web.Request) -> web.StreamResponse:
        await go_on.wait()
        return web.json_response(issuer.jwks())

    issuer.pages["/jwks"] = slow
    keys = keys_of(issuer, Clock())
    leaver, stayer = asyncio.create_task(keys.find("one")), asyncio.create_task(keys.find("one"))
    await until(lambda: issuer.count() == 1)
    leaver.cancel()
    go_on.set()
    assert "one" in (await stayer).by_id


WRONG = [
    ("no JSON", page("<html>"), ""),
    ("no set", page("[]"), 'not a JSON object with a list "keys"'),
    ("no keys", page('{"keys": []}'), "no key in it"),
    ("only a secret's", page('{"keys": [{"kty": "oct", "k": "", "kid": "one"}]}'), "no key in it"),
    ("too many", page(jwks_text({f"k{n}": make_ec() for n in range(MAX_KEYS + 1)})), f"more than {MAX_KEYS} keys"),
    ("huge", page(b" " * (MAX_BYTES + 1)), f"longer than {MAX_BYTES} bytes"),
    ("compressed", page(b"\x1f\x8b", Content_Encoding="gzip"), "compressed"),
    ("not found", page("", status=404), "it answers 404"),
    ("unauthorized", page("", status=401), r"wants a token \(gateway.auth.openid.token\)"),
    ("to another host", page("", status=302, Location="https://other.example/jwks"), "it redirects to another place"),
    ("to another port", page("", status=307, Location="https://localhost:1/jwks"), "it redirects to another place"),
    ("to plain HTTP", page("", status=302, Location="http://localhost/jwks"), "it redirects to another place"),
    ("nowhere", page("", status=302), "redirects more than 3 times"),
    ("in a circle", page("", status=302, Location="/jwks"), "redirects more than 3 times"),
]


@pytest.mark.parametrize(("answer", "why"), [each[1:] for each in WRONG], ids=[each[0] for each in WRONG])
async def test_a_wrong_answer_is_trouble_and_changes_no_keys(answer: Page, why: str, issuer: Issuer) -> None:
    clock = Clock()
    keys = keys_of(issuer, clock)
    first = await keys.find("one")
    issuer.pages["/jwks"] = answer
    clock.now += ASK_SECONDS
    with pytest.raises(Busy):
        await keys.find("two")
    assert re.search(why, keys.trouble), keys.trouble
    assert keys.current is first


async def test_a_set_of_as_many_keys_as_allowed_is_read(issuer: Issuer) -> None:
    issuer.pages["/jwks"] = page(jwks_text({f"k{n}": make_ec() for n in range(MAX_KEYS)}))
    assert len((await keys_of(issuer, Clock()).find("k0")).by_id) == MAX_KEYS


async def test_redirects_are_followed_where_they_stay(issuer: Issuer) -> None:
    issuer.pages["/old"] = page("", status=301, Location="/older")
    issuer.pages["/older"] = page("", status=308, Location=f"{issuer.url}/jwks")
    assert "one" in (await keys_of(issuer, Clock(), url=f"{issuer.url}/old").find("one")).by_id


DISCOVERED = [
    ("another's", {"issuer": "https://other.example", "jwks_uri": "https://localhost/jwks"}, "is of the issuer"),
    ("with a slash more", {"issuer": "SELF/", "jwks_uri": "SELF/jwks"}, "is of the issuer"),
    ("without keys", {"issuer": "SELF"}, "names no https address"),
    ("plain HTTP", {"issuer": "SELF", "jwks_uri": "http://192.0.2.1/jwks"}, "names no https address"),
    ("a file", {"issuer": "SELF", "jwks_uri": "file:///etc/passwd"}, "names no https address"),
    ("a list", [], "is of the issuer"),
]


@pytest.mark.parametrize(("document", "why"), [each[1:] for each in DISCOVERED], ids=[each[0] for each in DISCOVERED])
async def test_a_discovery_document_must_be_the_issuers(document: object, why: str, issuer: Issuer) -> None:
    text = json.dumps(document).replace("SELF", issuer.url)
    issuer.pages["/.well-known/openid-configuration"] = page(text)
    keys = keys_of(issuer, Clock())
    with pytest.raises(Busy):
        await keys.find("one")
    assert why in keys.trouble
    assert issuer.count() == 0


async def test_a_certificate_of_another_ca_is_not_trusted(issuer: Issuer, tmp_path: Path) -> None:
    async with running_issuer(tmp_path / "other") as other:
        with pytest.raises(UnreachableIssuer, match="its certificate is not trusted"):
            await fetch_keys(OpenIdSettings(issuer.url, ("registry",), ca=other.ca))
    with pytest.raises(UnreachableIssuer, match="its certificate is not trusted"):
        await fetch_keys(OpenIdSettings(issuer.url, ("registry",)))
    assert issuer.asked == []


async def test_the_proxy_of_the_environment_is_asked_and_not_for_this_machine(
    issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readline())
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.sockets[0].getsockname()[1]}")
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        with pytest.raises(UnreachableIssuer, match=r"the proxy of the environment refuses \(403\)"):
            await fetch_keys(OpenIdSettings("https://issuer.example", ("registry",)))
        assert asked == [b"CONNECT issuer.example:443 HTTP/1.1\r\n"]
        await fetch_keys(OpenIdSettings(issuer.url, ("registry",), ca=issuer.ca))
        monkeypatch.setenv("HTTPS_PROXY", "socks5://127.0.0.1:1")
        with pytest.raises(UnreachableIssuer, match="HTTPS_PROXY does not name a proxy that can be used"):
            await fetch_keys(OpenIdSettings("https://issuer.example", ("registry",)))


async def test_nobody_there_is_said(tmp_path: Path) -> None:
    async with running_issuer(tmp_path / "gone") as gone:
        pass
    with pytest.raises(UnreachableIssuer, match=r"it cannot be reached \(.*refused"):
        await fetch_keys(OpenIdSettings(gone.url, ("registry",), ca=gone.ca))


@pytest.mark.parametrize("path", ["/.well-known/openid-configuration", "/jwks"])
async def test_an_issuer_that_says_nothing_is_given_up(
    path: str, issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching_keys, "SECONDS", 0.2)
    issuer.pages[path] = silence
    with pytest.raises(UnreachableIssuer, match=r"it did not answer within 0\.2 seconds"):
        await fetch_keys(OpenIdSettings(issuer.url, ("registry",), ca=issuer.ca))


async def test_an_api_server_is_asked_with_a_token_which_is_read_again(issuer: Issuer, tmp_path: Path) -> None:
    file, clock = tmp_path / "token", Clock()
    file.write_text("first.token\n")
    issuer.wants = "first.token"
    keys = keys_of(issuer, clock, token=file)
    await keys.find("one")
    issuer.wants = "second.token"
    file.write_text("second.token")
    clock.now += ASK_SECONDS
    await keys.find("made-up")
    assert keys.trouble == ""
    assert [authorization for _, authorization in issuer.asked] == ["Bearer first.token"] * 2 + [
        "Bearer second.token"
    ] * 2
    for content in ("", "two words", "line\r\nbreak"):
        file.write_text(content)
        with pytest.raises(UnreachableIssuer, match="is empty, or no token") as refused:
            await fetch_keys(OpenIdSettings(issuer.url, ("registry",), ca=issuer.ca, token=file))
        assert content.strip() == "" or content.strip() not in str(refused.value)
    file.unlink()
    with pytest.raises(UnreachableIssuer, match="cannot be read"):
        await fetch_keys(OpenIdSettings(issuer.url, ("registry",), ca=issuer.ca, token=file))


async def test_the_token_goes_to_another_place_only_where_the_operators_ca_vouches_for_it(
    issuer: Issuer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "token"
    file.write_text("a.token")
    async with running_issuer(tmp_path / "keys") as elsewhere:
        document = {"issuer": issuer.url, "jwks_uri": f"{elsewhere.url}/jwks"}
        issuer.pages["/.well-known/openid-configuration"] = page(json.dumps(document))
        both = tmp_path / "both.pem"
        both.write_bytes(issuer.ca.read_bytes() + elsewhere.ca.read_bytes())
        await fetch_keys(OpenIdSettings(issuer.url, ("registry",), ca=both, token=file))
        assert elsewhere.asked == [("/jwks", "Bearer a.token")]
        monkeypatch.setenv("SSL_CERT_FILE", str(both))  # as if both were among the system's
        await fetch_keys(OpenIdSettings(issuer.url, ("registry",), token=file))
        assert elsewhere.asked[1:] == [("/jwks", "")]
        assert issuer.asked == [("/.well-known/openid-configuration", "Bearer a.token")] * 2


@pytest.mark.parametrize(
    ("url", "allowed"),
    [
        ("https://issuer.example", True), ("https://issuer.example:8443/x?y=z", True), ("https://10.0.0.1/jwks", True),
        ("http://localhost:8080/jwks", True), ("http://127.0.0.1/jwks", True), ("http://[::1]:1/jwks", True),
        ("http://issuer.example/jwks", False), ("http://localhost.example/", False), ("ftp://localhost/", False),
        ("https://user:word@issuer.example/", False), ("https://", False), ("https://host:port/", False),
        ("https://host/#part", False), ("", False), ("/jwks", False), ("http://127.0.0.1.example/", False),
    ],
)  # fmt: skip
def test_keys_come_by_https_or_from_this_machine(url: str, allowed: bool) -> None:  # noqa: FBT001 - a table
    assert is_allowed(url) is allowed


async def test_an_unforeseen_failure_is_trouble_with_its_trace_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    async def fetch() -> Fetched:
        raise RuntimeError("unforeseen")

    keys = RemoteKeys(fetch, issuer="https://issuer.example")
    with pytest.raises(Busy):
        await keys.find("one")
    assert keys.trouble == "fetching them failed (RuntimeError)"
    assert any(record.exc_info for record in caplog.records)
