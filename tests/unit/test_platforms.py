"""Which image of an index stands for it where a client cannot read indexes."""

from __future__ import annotations

import re

import pytest

from backends.model import media_types
from backends.model.conversion.impossible import ImpossibleConversion
from backends.model.conversion.platforms import choose, image_entries, nested_indexes, platform_text, ranked
from backends.model.descriptors import Descriptor, Platform
from backends.model.digest import Digest

AMD64 = Platform("amd64", "linux")


def platform(text: str) -> Platform:
    system, architecture, *variant = text.partition("+")[0].split("/")
    features = tuple(text.split("+")[1:])
    return Platform(architecture, system, os_features=features, variant="".join(variant))


def entry(text: str, number: int = 0, **fields: object) -> Descriptor:
    digest = Digest.of(f"{text} {number}".encode())
    return Descriptor(
        media_types.OCI_MANIFEST,
        digest,
        1,
        platform=platform(text) if text else None,
        **fields,  # type: ignore[arg-type]
    )


@pytest.mark.parametrize(
    ("listed", "wanted", "chosen"),
    [
        (["linux/arm64", "linux/amd64"], "linux/amd64", 1),
        (["linux/amd64/v2", "linux/amd64"], "linux/amd64", 1),
        (["linux/amd64/v3", "linux/amd64/v1"], "linux/amd64", 1),
        (["linux/amd64", "linux/amd64"], "linux/amd64", 0),
        (["linux/amd64+erofs", "linux/amd64"], "linux/amd64", 1),
        (["windows/amd64", "linux/amd64"], "linux/amd64", 1),
        (["windows/amd64", "linux/amd64"], "windows/amd64", 0),
        (["windows/amd64+win32k", "linux/amd64"], "windows/amd64", 0),
        (["linux/amd64", "linux/arm64/v8"], "linux/arm64", 1),
        (["linux/arm/v7", "linux/arm/v6", "linux/arm/v5"], "linux/arm", 1),
        (["linux/arm/v7", "linux/arm"], "linux/arm", 1),
        (["linux/arm/v6", "linux/arm/v7"], "linux/arm/v7", 1),
        (["linux/arm/v6", "linux/arm/v8"], "linux/arm/v7", 0),
        (["linux/amd64", "linux/s390x"], "linux/s390x", 1),
        (["linux/arm64", "windows/amd64"], "linux/amd64", 0),
        (["linux/amd64/v3", "windows/amd64"], "linux/amd64", 0),
        (["Linux/x86_64", "linux/aarch64"], "linux/amd64", 0),
        (["Linux/x86_64", "linux/aarch64"], "linux/arm64", 1),
        ([""], "linux/amd64", 0),
        (["/"], "linux/amd64", 0),
        (["", "windows/amd64"], "linux/amd64", 0),
    ],
)
def test_a_client_gets_the_image_for_its_platform(listed: list[str], wanted: str, chosen: int) -> None:
    entries = [entry(text, number) for number, text in enumerate(listed)]
    assert choose(entries, platform(wanted)) is entries[chosen]


@pytest.mark.parametrize(
    ("listed", "wanted", "said"),
    [
        (
            ["linux/arm64", "linux/s390x"],
            "linux/amd64",
            "no linux/amd64 image in this list, only linux/arm64, linux/s390x",
        ),
        (["windows/amd64"], "linux/amd64", "only windows/amd64"),
        (["linux/amd64+erofs"], "linux/amd64", "only linux/amd64 with features of its own;"),
        (["linux/amd64+erofs", "linux/arm64", "linux/s390x"], "linux/amd64", "no linux/amd64"),
        (["", "/"], "linux/amd64", "only images of no platform"),
        ([], "linux/arm/v7", "none of the entries of this list is an image"),
        ([f"linux/a{number}" for number in range(20)], "linux/amd64", "and others"),
    ],
)
def test_where_there_is_none_the_sentence_says_what_there_is(listed: list[str], wanted: str, said: str) -> None:
    with pytest.raises(ImpossibleConversion, match=said):
        choose([entry(text, number) for number, text in enumerate(listed)], platform(wanted))


@pytest.mark.parametrize("said", ["amd64\r\nX-Evil: 1", 'a"b\\', "\u4e2d\U0001f600", "\ud83d", "a b"])
def test_a_platform_is_said_in_printable_ascii(said: str) -> None:
    """Whatever an index says goes into headers of answers, and into the rules that they name."""
    text = platform_text(Platform(said, "linux", variant=said))
    assert re.fullmatch(r"linux/[A-Za-z0-9?._-]+/[A-Za-z0-9?._-]+", text)


def test_all_that_fit_are_ranked() -> None:
    entries = [entry("linux/amd64/v1", 1), entry("linux/arm64", 2), entry("linux/amd64", 3), entry("linux/amd64", 4)]
    assert ranked(entries, AMD64) == (entries[2], entries[3], entries[0])


def test_only_images_are_candidates() -> None:
    image = entry("linux/amd64")
    schema1 = Descriptor(media_types.SCHEMA1_SIGNED, Digest.of(b"1"), 1)
    index = Descriptor(media_types.OCI_INDEX, Digest.of(b"2"), 1)
    others = [
        entry("unknown/unknown"),
        entry("linux/amd64", 5, annotations={"vnd.docker.reference.type": "attestation-manifest"}),
        entry("linux/amd64", 6, artifact_type="application/vnd.example"),
        Descriptor("application/vnd.oci.image.layer.v1.tar+gzip", Digest.of(b"cache"), 1, platform=AMD64),
        Descriptor(media_types.OCI_INDEX, Digest.of(b"3"), 1, platform=Platform("unknown", "unknown")),
    ]
    listed = [*others[:2], image, index, *others[2:], schema1]
    assert image_entries(listed) == (image, schema1)
    assert nested_indexes(listed) == (index,)


def test_ten_thousand_entries_are_no_trouble() -> None:
    entries = [entry(f"linux/a{number}", number) for number in range(10_000)]
    assert choose([*entries, entry("linux/amd64")], AMD64).digest == entry("linux/amd64").digest
