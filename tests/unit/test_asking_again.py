"""The address at which a client asks again: its own, with a count."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.http.asking_again import REDIRECTS, next_address


@pytest.mark.parametrize(
    ("address", "following"),
    [
        ("/v1/images/a/layer", "/v1/images/a/layer?portside-wait=1"),
        ("/v1/images/a/layer?", "/v1/images/a/layer?portside-wait=1"),
        ("/x?portside-wait=1", "/x?portside-wait=2"),
        ("/x?a=1&portside-wait=7&b=%2F", "/x?a=1&b=%2F&portside-wait=8"),
        ("/x?portside-wait=8", None),
        ("/x?portside-wait=9", "/x?portside-wait=1"),
        ("/x?portside-wait=-1", "/x?portside-wait=1"),
        ("/x?portside-wait=1&portside-wait=8", "/x?portside-wait=2"),
        ("/x?portside-waits=3", "/x?portside-waits=3&portside-wait=1"),
    ],
)
def test_the_count_goes_up_to_what_every_client_follows(address: str, following: str | None) -> None:
    assert next_address(address) == following


@given(st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="?")))
def test_whoever_follows_comes_to_an_end(path: str) -> None:
    address: str | None = f"/{path}"
    for _ in range(REDIRECTS):
        assert address is not None
        address = next_address(address)
    assert address is not None
    assert next_address(address) is None
