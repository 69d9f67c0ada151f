"""What a request says of itself, and whom that is believed of."""

from __future__ import annotations

import pytest
from aiohttp.test_utils import make_mocked_request

from backends import request_context
from backends.http.request_info import client_scheme


@pytest.mark.parametrize(
    ("said", "scheme"),
    [
        ("", "http"),
        ("javascript", "http"),
        ("https\x00", "http"),
        ("HTTPS", "https"),
        ("https, http", "https"),
        (" HTTPS ,x", "https"),
    ],
)
def test_only_a_trusted_peer_names_the_scheme_and_only_a_valid_one(said: str, scheme: str) -> None:
    request = make_mocked_request("GET", "/v2/", headers={"X-Forwarded-Proto": said})
    assert client_scheme(request) == "http"
    request[request_context.TRUSTED_PEER] = True
    assert client_scheme(request) == scheme
