from __future__ import annotations

import contextlib
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.model.errors import ErrorCode, RegistryError
from backends.model.names import canonical_name, is_image_id, parse_repository_name, parse_tag, parse_upload_id
from tests.support.cpu_time import cpu_seconds

# distribution's own grammar, too slow for hostile names but plain to read
REFERENCE = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*", re.ASCII)


@pytest.mark.parametrize(
    "name",
    [
        "a",
        "0",
        "busybox",
        "library/busybox",
        "a/b/c/d/e/f",
        "a.b",
        "a_b",
        "a__b",
        "a-b",
        "a---b",
        "x" * 255,
        "/".join("ab" for _ in range(85)),
        "sha256/uploads/manifests/tags",
        "1.2.3-rc_1",
    ],
)
def test_names_that_are_names(name: str) -> None:
    assert parse_repository_name(name) == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        "/",
        "a/",
        "/a",
        "a//b",
        ".",
        "..",
        "../a",
        "a/../b",
        "a/./b",
        "a/..",
        "...",
        "a..b",
        "a.",
        ".a",
        "a___b",
        "_a",
        "a_",
        "-a",
        "a-",
        "a-_b",
        "a._b",
        "A",
        "Busybox",
        "a b",
        "a\tb",
        "a\nb",
        "a\n",
        "\na",
        "a\x00b",
        "a\\b",
        "a%2fb",
        "a%00",
        "a+b",
        "a:b",
        "a@b",
        "é",
        "a\u0131b",
        "\u0661",
        "\udcff",
        "_uploads",
        "a/_layers",
        "_manifests/tags",
        "x" * 256,
        "a/" * 128,
        "x" * 10_000,
    ],
)
def test_names_that_are_none(name: str) -> None:
    with pytest.raises(RegistryError) as caught:
        parse_repository_name(name)
    assert caught.value.code is ErrorCode.NAME_INVALID
    assert caught.value.detail.isprintable()


@given(st.text(alphabet="a0._-/A%\\ \x00", max_size=14))
def test_the_grammar_is_distributions(name: str) -> None:
    try:
        parse_repository_name(name)
        allowed = True
    except RegistryError:
        allowed = False
    assert allowed == (REFERENCE.fullmatch(name) is not None)


@given(st.text())
def test_nothing_that_passes_can_leave_its_folder(name: str) -> None:
    try:
        parsed = parse_repository_name(name)
    except RegistryError:
        return
    assert not parsed.startswith(("/", "_"))
    assert all(part and part not in (".", "..") and part[0] != "_" for part in parsed.split("/"))
    assert parsed.isascii()


@pytest.mark.parametrize("length", [30, 255, 10_000, 100_000])
@pytest.mark.parametrize("unit", ["a", "a-", "a_", "a__", "a.", "-", "a/", "/", "a-a_", "0" * 30 + "-"])
@pytest.mark.parametrize("end", ["", "!", "\n", "_", "/"])
def test_no_hostile_name_takes_long(unit: str, end: str, length: int) -> None:
    name = (unit * length)[:length] + end

    def parse_all() -> None:
        for parse in (parse_repository_name, parse_tag, parse_upload_id):
            with contextlib.suppress(RegistryError):
                parse(name)
        is_image_id(name)

    assert cpu_seconds(parse_all) < 0.1


@pytest.mark.parametrize("tag", ["latest", "1.0", "_x", "A-b_C.9", "x" * 128, "0", "__"])
def test_tags_that_are_tags(tag: str) -> None:
    assert parse_tag(tag) == tag


@pytest.mark.parametrize(
    "tag",
    ["", ".", "..", ".x", "-x", "x" * 129, "a/b", "a b", "a\n", "a:b", "é", "\u0661", "a\x00", "a%2fb", "x" * 10_000],
)
def test_tags_that_are_none(tag: str) -> None:
    with pytest.raises(RegistryError) as caught:
        parse_tag(tag)
    assert caught.value.code is ErrorCode.TAG_INVALID


def test_an_upload_is_named_by_a_uuid() -> None:
    assert parse_upload_id("0ff71b58-9f1e-4a5c-8a9d-0123456789ab")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "..",
        "x",
        "0FF71B58-9F1E-4A5C-8A9D-0123456789AB",
        "0ff71b589f1e4a5c8a9d0123456789ab",
        "0ff71b58-9f1e-4a5c-8a9d-0123456789ab\n",
        "../../../../../../../../../../../tmp",
    ],
)
def test_what_is_no_uuid_is_an_unknown_upload(text: str) -> None:
    with pytest.raises(RegistryError) as caught:
        parse_upload_id(text)
    assert caught.value.code is ErrorCode.BLOB_UPLOAD_UNKNOWN


@pytest.mark.parametrize(
    ("text", "is_id"),
    [("a" * 64, True), ("0" * 16, True), ("a" * 63, False), ("A" * 64, False), ("a" * 32, False), ("", False)],
)
def test_image_ids_have_64_or_16_digits(text: str, is_id: bool) -> None:  # noqa: FBT001 - a table's column
    assert is_image_id(text) is is_id


@pytest.mark.parametrize(
    ("name", "canonical"),
    [
        ("library/busybox", "busybox"),
        ("busybox", "busybox"),
        ("library", "library"),
        ("library/", "library/"),
        ("library/a/b", "library/a/b"),
        ("team/library", "team/library"),
        ("library2/x", "library2/x"),
    ],
)
def test_a_repository_has_one_canonical_name(name: str, canonical: str) -> None:
    assert canonical_name(name) == canonical
