from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.model.digest import Digest, is_digest, new_hash, parse_digest
from backends.model.errors import ErrorCode, RegistryError

HEX = "0123456789abcdef"


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_a_digest_is_what_hashlib_says(algorithm: str) -> None:
    digest = Digest.of(b"content", algorithm)
    assert str(digest) == f"{algorithm}:{hashlib.new(algorithm, b'content').hexdigest()}"
    assert parse_digest(str(digest)) == digest
    running = new_hash(algorithm)
    running.update(b"con")
    running.update(memoryview(b"tent"))
    assert running.copy().hexdigest() == running.hexdigest() == digest.hex


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":",
        "sha256:",
        "sha256:baddigeststring",
        "sha256:" + "a" * 63,
        "sha256:" + "a" * 65,
        "sha256:" + "A" * 64,
        "sha256:" + "g" * 64,
        "sha256:" + "a" * 128,
        "sha512:" + "a" * 64,
        "sha512:" + "a" * 127,
        "sha384:" + "a" * 96,
        "md5:" + "a" * 32,
        "SHA256:" + "a" * 64,
        "sha256" + "a" * 64,
        " sha256:" + "a" * 64,
        "sha256:" + "a" * 64 + "\n",
        "sha256:" + "a" * 64 + "/..",
        "sha256:" + "../" * 21 + "a",
        "sha256:" + "\u0661" * 64,
        "tarsum.v1+sha256:" + "a" * 64,
        "sha256:" + "a" * 100_000,
    ],
)
def test_what_is_no_digest_is_refused_with_a_message_of_bearable_length(text: str) -> None:
    with pytest.raises(RegistryError) as caught:
        parse_digest(text)
    assert caught.value.code is ErrorCode.DIGEST_INVALID
    assert len(caught.value.detail) < 700


@given(st.text(HEX, min_size=64, max_size=64))
def test_every_hex_of_the_right_length_is_a_digest(text: str) -> None:
    assert parse_digest(f"sha256:{text}").hex == text


@given(st.text())
def test_any_text_is_a_digest_or_refused(text: str) -> None:
    try:
        digest = parse_digest(text)
    except RegistryError:
        return
    assert str(digest) == text


def test_only_digests_have_a_colon() -> None:
    assert is_digest("sha256:ab")
    assert not is_digest("latest")
