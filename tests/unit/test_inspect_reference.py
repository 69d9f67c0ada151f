"""NAME, NAME:TAG and NAME@DIGEST, as `portside inspect` takes them."""

from __future__ import annotations

import pytest

from portside.inspecting.reference import parse_reference

DIGEST = "sha256:" + "0" * 64


@pytest.mark.parametrize(
    ("text", "name", "tag", "digest"),
    [
        ("busybox", "library/busybox", None, None),
        ("busybox:1.0", "library/busybox", "1.0", None),
        ("team/app", "team/app", None, None),
        ("team/app:latest", "team/app", "latest", None),
        ("team/app/sub:1", "team/app/sub", "1", None),
        ("Team/App:1+b", "Team/App", "1+b", None),
        ("a..b", "library/a..b", None, None),
        (f"team/app@{DIGEST}", "team/app", None, DIGEST),
        (f"busybox@{DIGEST}", "library/busybox", None, DIGEST),
        (f"busybox:1@{DIGEST}", "library/busybox", None, DIGEST),
    ],
)
def test_it_is_split(text: str, name: str, tag: str | None, digest: str | None) -> None:
    found = parse_reference(text)
    assert (found.name.text, found.tag, found.digest and str(found.digest)) == (name, tag, digest)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "is not a valid repository name"),
        (":1", "is not a valid repository name"),
        ("/app", "is not a valid repository name"),
        ("app:", "'' is not a valid tag"),
        ("ap\np", "is not a valid repository name"),
        ("app@sha256:xyz", "is not a valid digest"),
        ("app@", "is not a valid digest"),
        ("localhost:5000/team/app:1", "leave out the registry's address: team/app:1"),
        ("registry.example:5000/app", "leave out the registry's address: app"),
        ("localhost/app", "leave out the registry's address: app"),
    ],
)
def test_what_is_none_of_them_is_told(text: str, what: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        parse_reference(text)
    assert what in str(caught.value)
