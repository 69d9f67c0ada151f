"""Addresses at which others serve blobs: distribution's forms, and signatures that CloudFront can check."""

from __future__ import annotations

import json
import re
from base64 import b64decode
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from hypothesis import given
from hypothesis import strategies as st

from backends.storage.addressed_driver import AddressedDriver, read_cloudfront_key
from backends.storage.addresses import Cloudfront, Redirect, Rewrite, Step, canned_policy, redirected, rewritten
from backends.storage.capabilities import GivesUrls, capability
from backends.storage.driver import StorageError
from backends.storage.factory import open_memory
from tests.support.drivers import ForwardingDriver

FILE = "/docker/registry/v2/blobs/sha256/ab/abcd/data"
KEY = rsa.generate_private_key(65537, 2048)


@pytest.mark.parametrize(
    ("base", "url"),
    [
        # distribution 3.1.2 answers so (tests/http/v2/test_redirects.py asks it)
        ("https://cdn.example", f"https://cdn.example{FILE}"),
        ("https://cdn.example/", f"https://cdn.example{FILE}"),
        ("https://cdn.example/x/y", f"https://cdn.example/x/y{FILE}"),
        ("https://cdn.example/x/y/", f"https://cdn.example/x/y{FILE}"),
        ("http://cdn.example:8080//x//", f"http://cdn.example:8080/x{FILE}"),
        ("https://cdn.example/x/../y/.", f"https://cdn.example/y{FILE}"),
        ("https://cdn.example/a%20b", f"https://cdn.example/a%20b{FILE}"),
        ("https://user:secret@cdn.example/x?y=z#f", f"https://cdn.example/x{FILE}"),
        ("HTTPS://CDN.example/x", f"https://CDN.example/x{FILE}"),
        ("http://[::1]:8080/x", f"http://[::1]:8080/x{FILE}"),
    ],
)
def test_a_base_and_the_path_make_an_address(base: str, url: str) -> None:
    assert redirected(Redirect(base), FILE) == url


@pytest.mark.parametrize(
    ("step", "url", "rewritten_url"),
    [
        (Rewrite(), "https://a/b?c#d", "https://a/b?c#d"),
        (Rewrite(scheme="http"), "https://a/b", "http://a/b"),
        (Rewrite(host="c:8"), "https://a:9/b?x", "https://c:8/b?x"),
        (Rewrite(trim_path_prefix="/docker"), "https://a/docker/x", "https://a/x"),
        (Rewrite(trim_path_prefix="/docker/"), "https://a/docker/x", "https://a/x"),
        (Rewrite(trim_path_prefix="/other"), "https://a/docker/x", "https://a/docker/x"),
        (Rewrite("http", "c", "/b"), "https://a/b/d", "http://c/d"),
    ],
)
def test_an_address_is_rewritten(step: Rewrite, url: str, rewritten_url: str) -> None:
    assert rewritten(step, url) == rewritten_url


@pytest.fixture
def key(tmp_path: Path) -> Path:
    path = tmp_path / "pk-APKA.pem"
    form = serialization.PrivateFormat.TraditionalOpenSSL  # as CloudFront gave them out, and distribution wants them
    path.write_bytes(KEY.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()))
    return path


def driver_with(*steps: Step) -> AddressedDriver:
    return AddressedDriver(open_memory().driver, steps)


@pytest.mark.parametrize(
    ("base", "shown"),
    [
        ("https://d1.cloudfront.net", "https://d1.cloudfront.net"),
        ("d1.cloudfront.net", "https://d1.cloudfront.net"),
        ("http://d1.cloudfront.net/x/", "http://d1.cloudfront.net/x"),
    ],
)
async def test_cloudfront_can_check_an_address(
    key: Path, base: str, shown: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.time", lambda: 1_700_000_000.9)
    url = await driver_with(Cloudfront(base, key, "APKAEXAMPLE", 60)).url_of(FILE)
    match = re.fullmatch(
        r"(.*)\?Expires=(\d+)&Signature=([A-Za-z0-9~_-]+)&Key-Pair-Id=APKAEXAMPLE", url or "", re.ASCII
    )
    assert match is not None, url
    assert match[1] == f"{shown}{FILE}"
    assert int(match[2]) == 1_700_000_060
    policy = (
        f'{{"Statement":[{{"Resource":"{match[1]}","Condition":{{"DateLessThan":{{"AWS:EpochTime":{match[2]}}}}}}}]}}'
    )
    signature = b64decode(match[3].translate(str.maketrans("-_~", "+=/")), validate=True)
    KEY.public_key().verify(signature, policy.encode(), padding.PKCS1v15(), hashes.SHA1())


@given(st.text(st.characters(min_codepoint=33, max_codepoint=126)), st.integers(0, 2**40))
def test_a_policy_is_json_without_a_blank(url: str, expires: int) -> None:
    policy = canned_policy(url, expires)
    assert json.loads(policy)["Statement"][0]["Resource"] == url
    assert b" " not in policy


async def test_steps_are_taken_in_order(key: Path) -> None:
    to_a, to_b = Redirect("https://a"), Redirect("https://b")
    over_http = Rewrite(scheme="http")
    assert await driver_with(to_a, over_http).url_of("/x") == "http://a/x"
    assert await driver_with(over_http, to_a).url_of("/x") == "https://a/x"
    assert await driver_with(to_a, to_b).url_of("/x") == "https://b/x"
    assert await driver_with(over_http).url_of("/x") is None, "there is nothing to rewrite"
    signed = await driver_with(to_a, Cloudfront("https://c", key, "K")).url_of("/x")
    assert str(signed).startswith("https://c/x?Expires=")
    assert await AddressedDriver(driver_with(to_a), [over_http]).url_of("/x") == "http://a/x", "a driver's own address"


def test_the_capability_is_found_through_a_wrapper() -> None:
    driver = driver_with(Redirect("https://a"))
    found: object = capability(ForwardingDriver(driver), GivesUrls)
    assert found is driver
    assert capability(open_memory().driver, GivesUrls) is None


def test_only_an_rsa_key_signs(tmp_path: Path, key: Path) -> None:
    assert read_cloudfront_key(key).private_numbers() == KEY.private_numbers()
    path = tmp_path / "other.pem"
    for content, words in (
        (None, "No such file"),
        (b"", "not a private key"),
        (
            ec.generate_private_key(ec.SECP256R1()).private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            ),
            "not an RSA key",
        ),
        (
            KEY.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.BestAvailableEncryption(b"x"),
            ),
            "encrypted",
        ),
    ):
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(StorageError, match=words):
            read_cloudfront_key(path)
