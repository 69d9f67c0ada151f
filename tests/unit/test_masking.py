"""What of a request's target may stand in a log."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.http.masking import masked
from tests.support.cpu_time import cpu_seconds


@pytest.mark.parametrize(
    ("target", "shown"),
    [
        ("/v2/", "/v2/"),
        ("/v2/a/tags/list?n=3&last=b", "/v2/a/tags/list?n=3&last=b"),
        ("/v2/a/blobs/uploads/?mount=sha256:0&from=b", "/v2/a/blobs/uploads/?mount=sha256:0&from=b"),
        ("/v2/a/blobs/uploads/1?_state=S&digest=sha256:0", "/v2/a/blobs/uploads/1?_state=***&digest=sha256:0"),
        ("/v2/?%5Fstate=S", "/v2/?%5Fstate=***"),
        ("/v2/?%74oken=S", "/v2/?%74oken=***"),
        ("/v2/?TOKEN=S", "/v2/?TOKEN=***"),
        ("/v2/?a=1;token=S", "/v2/?a=1;token=***"),
        ("/v2/?a=1?token=S", "/v2/?a=1?token=***"),
        ("/v2/?token=S=S&n=1", "/v2/?token=***&n=1"),
        ("/v2/?refresh_token=S", "/v2/?refresh_token=***"),
        ("/v2/?client_secret=S", "/v2/?client_secret=***"),
        ("/v2/?password=S&passwd=S", "/v2/?password=***&passwd=***"),
        ("/b?X-Amz-Signature=S&X-Amz-Credential=S", "/b?X-Amz-Signature=***&X-Amz-Credential=***"),
        ("/b?X-Amz-Security-Token=S&X-Amz-Date=1", "/b?X-Amz-Security-Token=***&X-Amz-Date=1"),
        ("/b?AWSAccessKeyId=S&Signature=S&Expires=1", "/b?AWSAccessKeyId=***&Signature=***&Expires=1"),
        ("/b?X-Goog-Signature=S&X-Goog-Credential=S", "/b?X-Goog-Signature=***&X-Goog-Credential=***"),
        ("/b?sv=1&sig=S", "/b?sv=1&sig=***"),
        ("/b?Key-Pair-Id=S&Policy=S", "/b?Key-Pair-Id=***&Policy=***"),
        ("/v2/?code=S&assertion=S&auth=S&apikey=S", "/v2/?code=***&assertion=***&auth=***&apikey=***"),
        ("/v2/?token", "/v2/?token"),
        ("http://me:S@host/v2/?n=1", "http://***@host/v2/?n=1"),
        ("https://me:S@host@x/v2/?token=S", "https://***@x/v2/?token=***"),
        ("/v2/a@b/", "/v2/a@b/"),
    ],
)
def test_secrets_are_masked_and_nothing_else(target: str, shown: str) -> None:
    assert masked(target) == shown


def test_what_is_cut_off_is_masked_all_the_same() -> None:
    assert masked(f"http://me:{'S' * 5000}@host/v2/") == "http://***@host/v2/"
    assert masked(f"/{'a' * 5000}?token=S") == f"/{'a' * 2047}"
    assert masked(f"/v2/?token={'S' * 5000}&n=1", longest=20) == "/v2/?token=***"
    assert len(masked("/v2/?" + "n=1&" * 5000)) == 2048


@given(st.text(st.sampled_from("?&;=%5Fstatetoken@:/ab"), max_size=200))
def test_what_follows_a_secrets_name_is_never_shown(text: str) -> None:
    assert "SECRET" not in masked(f"/v2/?{text}&token=SECRET")
    assert "SECRET" not in masked(f"/v2/{text.replace('#', '')}?_state=SECRET&{text}")


@pytest.mark.parametrize("piece", ["key", "=", "&", "token=", "%5F", "?", "@"])
def test_a_long_target_takes_no_time(piece: str) -> None:
    target = "/v2/?" + piece * (65536 // len(piece))
    assert cpu_seconds(lambda: masked(target)) < 0.5
