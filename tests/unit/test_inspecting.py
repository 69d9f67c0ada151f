"""What `portside inspect` is asked about, and for whom it answers."""

from __future__ import annotations

import pytest

from backends.model.clients import Generation, parse_user_agent
from backends.model.conversion.readers import reader_of
from backends.model.digest import Digest
from backends.model.media_types import OCI_MANIFEST
from backends.model.targets import V2Target
from portside.inspecting.clients import GROUPS
from portside.inspecting.facts import Names, RepositoryInspection, Stored
from portside.inspecting.reference import parse_reference
from portside.inspecting.table import as_table
from tests.support.profiles import LATER, PROFILES

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


RELEASES = {
    "docker-1.0": ("1.0.1", "1.3.3", "1.5.0"),
    "docker-1.6": ("1.6.2", "1.7.1", "1.9.1"),
    "docker-1.10": ("1.10.3", "1.13.1", "17.12.1", "18.09.9"),
    "docker-19.03": ("19.03.15",),
    "docker-20.10": ("20.10.24",),
    "docker-23": ("23.0.6", "28.2.2"),
    "docker-29": ("29.0.0",),
}


@pytest.mark.parametrize(
    ("key", "version"), [(key, version) for key, versions in RELEASES.items() for version in versions]
)
def test_a_group_of_clients_reads_what_its_releases_read(key: str, version: str) -> None:
    """What was recorded of the real ones (tests/support/profiles.py) is what their group is shown to receive."""
    (group,) = (each for each in GROUPS if each.key == key)
    profile = {**PROFILES, **LATER}[version]
    real = reader_of(profile.accepts, parse_user_agent(profile.agent))
    shown = reader_of(group.accept, group.profile)
    assert (shown.types, shown.takes_anything, shown.reads_zstd) == (real.types, real.takes_anything, real.reads_zstd)
    assert (group.profile.generation is Generation.V1) == (parse_user_agent(profile.agent).generation is Generation.V1)


def test_a_table_fits_into_the_terminal_whatever_is_in_it() -> None:
    digest = Digest("sha512", "a" * 128)
    stored = Stored(V2Target(digest), OCI_MANIFEST, 1, 2**30, 1000, 1_700_000_000.0, "x" * 200)
    tags = [("t" * 128, stored), ("short", stored)]
    found = RepositoryInspection(Names("team/" + "n" * 200, None, ("a", "b"), note="word " * 60), tags)
    for width in (60, 80, 120):
        lines = as_table(found, width=width).splitlines()
        assert max(len(line) for line in lines[1:]) <= width
        assert any(line.startswith("…ttt") for line in lines)
        (short,) = [line for line in lines if line.startswith("short ")]
        assert "sha512:aaaaaaaaaaaa  1.0 GiB"[: width - short.index("sha512")] in short
    whole = as_table(found, width=None)
    assert "t" * 128 in whole
    assert str(digest) in whole
