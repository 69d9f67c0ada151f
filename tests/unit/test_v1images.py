"""Ids, names, image JSON, ancestries, checksums and lists of the v1 protocol, as values."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.model.errors import RegistryError
from backends.model.names import ImageId
from backends.model.v1images import (
    MAX_ANCESTRY,
    describe_agent,
    dump_json,
    load_index_images,
    load_json,
    merge_index_images,
    parse_ancestry,
    parse_body,
    parse_image_id,
    parse_image_json,
    parse_payload_checksum,
    parse_stored_checksums,
    without_tags,
)
from backends.model.v1names import V1Name, parse_v1_name, parse_v1_tag, require_new_name, require_new_tag

A, B, C, D = (ImageId(letter * 64) for letter in "abcd")
ids = st.text("0123456789abcdef", min_size=64, max_size=64)


@pytest.mark.parametrize("text", [A, "0123456789abcdef"])
def test_an_id_has_64_or_16_hex_digits(text: str) -> None:
    assert parse_image_id(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a" * 63,
        "a" * 65,
        "a" * 32,
        "A" * 64,
        "g" * 64,
        "a" * 64 + "\n",
        "../" + "a" * 61,
        "\uff11" * 64,
        "a" * 10_000,
    ],
)
def test_anything_else_is_no_id(text: str) -> None:
    with pytest.raises(RegistryError, match="Invalid image ID") as raised:
        parse_image_id(text)
    assert raised.value.status == 404


@pytest.mark.parametrize(
    ("path", "namespace", "repository", "stored"),
    [
        ("busybox", "library", "busybox", "busybox"),
        ("busybox/", "library", "busybox", "busybox"),
        ("library/busybox", "library", "busybox", "busybox"),
        ("ns/r", "ns", "r", "r"),
        ("a/b/c", "a", "b/c", "b%2Fc"),
        ("ns/r x", "ns", "r x", "r+x"),
        ("ns/r+x", "ns", "r+x", "r%2Bx"),
        ("n s/r", "n s", "r", "r"),
        ("../etc", "..", "etc", "etc"),
    ],
)
def test_a_path_is_split_at_its_first_slash(path: str, namespace: str, repository: str, stored: str) -> None:
    name = parse_v1_name(path)
    assert (name, name.stored) == (V1Name(namespace, repository), stored)


@pytest.mark.parametrize("path", ["", "/", "//", "/r", "//r", "a\0b", "a\nb", "\u00e4/b", "a/\udcff", "ns/\x7f"])
def test_a_path_without_a_name_in_it_is_refused(path: str) -> None:
    with pytest.raises(RegistryError) as raised:
        parse_v1_name(path)
    assert raised.value.status == 400


@pytest.mark.parametrize(
    "path",
    ["../etc", "a/../b", "UPPER/x", "a//b", "n s/r", "-a/b", ".", "a/_index_images", "a" * 255, f"a/{'%' * 51}"],
)
def test_a_name_that_docker_registry_took_may_be_made(path: str) -> None:
    name = parse_v1_name(path)
    require_new_name(name)
    assert (name.v2, name.canonical) == (None if path != "a" * 255 else path, path)


@pytest.mark.parametrize("path", ["a" * 256, "a" * 256 + "/b", f"a/{'b' * 256}", f"a/{'%' * 52}", "%" * 86 + "/a"])
def test_a_name_that_no_folder_can_have_is_not_made(path: str) -> None:
    name = parse_v1_name(path)
    with pytest.raises(RegistryError, match="too long for the registry's file system") as raised:
        require_new_name(name)
    assert raised.value.status == 400


@pytest.mark.parametrize("tag", ["..", ".", "a b", "-x", "x" * 247, "%", "%" * 82 + "x", "~"])
def test_a_tag_that_docker_registry_took_may_be_made(tag: str) -> None:
    assert parse_v1_tag(tag) == tag
    require_new_tag(tag)


@pytest.mark.parametrize("tag", ["x" * 248, "%" * 83])
def test_a_tag_that_no_file_can_have_is_not_made(tag: str) -> None:
    with pytest.raises(RegistryError, match="too long for the registry's file system") as raised:
        require_new_tag(tag)
    assert raised.value.status == 400


def test_what_docker_registry_keeps_in_one_place_is_one_name() -> None:
    assert parse_v1_name("%2E%2E/r") == parse_v1_name("../r")
    assert parse_v1_name("%2E/r") == parse_v1_name("./r")
    assert parse_v1_name("a/%2E%2E") != parse_v1_name("a/..")
    assert parse_v1_name("%2E%2E") != parse_v1_name("..")  # behind `library`, where it is escaped twice
    assert (parse_v1_tag("%2E%2E"), parse_v1_tag("%2E")) == ("..", ".")


@pytest.mark.parametrize("tag", ["", "a\0", "a\n", "\u00e4", "\udcff", "a/b", "/"])
def test_what_cannot_be_a_tag_is_refused(tag: str) -> None:
    with pytest.raises(RegistryError):
        parse_v1_tag(tag)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "Invalid JSON"),
        (b"not json", "Invalid JSON"),
        (b"[]", "Invalid JSON"),
        (b'"s"', "Invalid JSON"),
        (b"{}", "Invalid JSON"),
        (b"null", "Invalid JSON"),
        (b"\xff\xfe{}", "Invalid JSON"),
        (b'\xef\xbb\xbf{"id": "x"}', "Invalid JSON"),
        (f'{{"id": "{A}", "id": "{A}"}}'.encode(), "Invalid JSON"),
        (f'{{"id": "{A}", "x": NaN}}'.encode(), "Invalid JSON"),
        (b'{"id": ' + b"[" * 100_000, "Invalid JSON"),
        (f'{{"id": "{A}", "x": {"9" * 10_000}}}'.encode(), "Invalid JSON"),
        (b'{"x": 1}', "Missing key `id' in JSON"),
        (f'{{"id": "{B}"}}'.encode(), "JSON data contains invalid id"),
        (b'{"id": null}', "JSON data contains invalid id"),
        (b'{"id": 1}', "JSON data contains invalid id"),
        (f'{{"id": ["{A}"]}}'.encode(), "JSON data contains invalid id"),
        (f'{{"id": "{A}", "parent": "../x"}}'.encode(), "Image depends on a non existing parent"),
        (f'{{"id": "{A}", "parent": 5}}'.encode(), "Image depends on a non existing parent"),
        (f'{{"id": "{A}", "parent": "{A}"}}'.encode(), "Image depends on itself"),
    ],
)
def test_an_image_json_that_is_none_is_refused_in_docker_registrys_words(content: bytes, message: str) -> None:
    with pytest.raises(RegistryError) as raised:
        parse_image_json(content, A)
    assert (raised.value.status, raised.value.detail) == (400, message)


@pytest.mark.parametrize(
    ("more", "parent"),
    [
        ("", None),
        (', "parent": ""', None),
        (', "parent": null', None),
        (f', "parent": "{B}"', B),
        (', "x": {"y": []}', None),
    ],
)
def test_an_image_json_is_kept_to_the_byte(more: str, parent: ImageId | None) -> None:
    content = f'  {{"id": "{A}"{more}}}\n'.encode()
    image = parse_image_json(content, A)
    assert (image.image_id, image.parent, image.content) == (A, parent, content)


@given(st.binary())
def test_no_bytes_break_the_parsing_of_an_image_json(content: bytes) -> None:
    with suppress(RegistryError):
        assert parse_image_json(content, A).content == content


@given(st.lists(ids, min_size=1, max_size=20, unique=True))
def test_an_ancestry_that_was_written_is_read(chain: list[str]) -> None:
    assert parse_ancestry(dump_json(chain)) == tuple(chain)
    assert parse_ancestry(json.dumps(chain, indent=3).encode() + b"\n") == tuple(chain)


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        (b'[{"id": "x"}]', [{"id": "x"}]),
        (b'[{"id": "x"}]123"}, {"id": "y"}]', [{"id": "x"}]),
        (b' [] [{"id": "x"}]', []),
        (b'[{"id": "x"}', []),
        (b'{"id": "x"}', []),
        (b"", []),
        (b"\xff", []),
        (b"[" * 100_000, []),
    ],
)
def test_a_list_of_images_that_two_have_written_at_once_is_the_first_that_is_whole(
    stored: bytes, expected: list[Any]
) -> None:
    assert load_index_images(stored) == expected
    assert json.loads(without_tags(stored)) == expected


def test_an_id_that_docker_registry_wrote_twice_is_taken_once() -> None:
    assert parse_ancestry(dump_json([A, A, B])) == (A, B)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"{}",
        b'"' + A.encode() + b'"',
        b"[1]",
        b'["../x"]',
        b"[" * 100_000,
        dump_json([A, [B]]),
        dump_json([f"{number:064x}" for number in range(MAX_ANCESTRY + 1)]),
    ],
)
def test_an_ancestry_that_is_none_or_endless_is_refused(content: bytes) -> None:
    with pytest.raises(ValueError, match="an ancestry"):
        parse_ancestry(content)


@pytest.mark.parametrize(
    ("content", "checksums"),
    [
        (b'["sha256:ab"]', ["sha256:ab"]),
        (b'["sha256:ab", "tarsum+sha256:cd"]', ["sha256:ab", "tarsum+sha256:cd"]),
        (b'"tarsum+sha256:cd"', ["tarsum+sha256:cd"]),
        (b"tarsum+sha256:cd\n", ["tarsum+sha256:cd"]),
        (b'["a\\r\\nX-Evil: 1", 5, null, "sha256:ab"]', ["sha256:ab"]),
        (b"[" * 100_000, []),
        (dump_json(["a" * 300, "sha256:ab"]), ["sha256:ab"]),
        (dump_json(["sha256:ab"] * 100_000), ["sha256:ab"] * 16),
    ],
)
def test_every_form_of_stored_checksums_is_read(content: bytes, checksums: list[str]) -> None:
    assert parse_stored_checksums(content) == checksums


@given(st.binary())
def test_no_stored_checksum_can_break_a_header(content: bytes) -> None:
    assert all(entry.isprintable() for entry in parse_stored_checksums(content))


@pytest.mark.parametrize(
    ("text", "payload"),
    [
        (f"sha256:{A}", A),
        (f" sha256:{A} ", A),
        (A, None),
        (f"SHA256:{A}", None),
        (f"sha256:{'A' * 64}", None),
        (f"tarsum+sha256:{A}", None),
        (f"sha256:{A[1:]}", None),
        ("", None),
    ],
)
def test_a_payload_checksum_is_sha256_and_its_hex(text: str, payload: str | None) -> None:
    assert parse_payload_checksum(text) == payload


def test_lists_of_images_merge_as_in_docker_registry() -> None:
    stored = [{"id": A, "checksum": "tarsum+sha256:11"}, {"id": B, "Tag": "latest"}]
    new = [{"id": A, "checksum": "sha256:22"}, {"id": B, "checksum": "sha256:33"}, {"id": D, "foo": 1}]
    assert merge_index_images(stored, new) == [
        {"checksum": "sha256:22", "id": A},
        {"checksum": "sha256:33", "id": B},
        {"id": D},
    ]


@pytest.mark.parametrize(
    ("stored", "new", "merged"),
    [
        ([{"id": A, "checksum": "1"}], [{"id": A}], [{"checksum": "1", "id": A}]),
        ([{"id": A, "checksum": "1"}], [], [{"checksum": "1", "id": A}]),
        ([], [{"id": A, "Tag": "x"}, {"id": A, "Tag": "y"}], [{"id": A}]),
        ([5, {"no": "id"}, {"id": 7}], [{"id": A}], [{"id": A}]),
    ],
)
def test_of_one_id_an_entry_with_a_checksum_wins(stored: list[Any], new: list[Any], merged: list[Any]) -> None:
    assert merge_index_images(stored, new) == merged


@pytest.mark.parametrize("entry", [5, None, "x", [], {}, {"Tag": "x"}, {"id": None}, {"id": 5}])
def test_an_entry_without_an_id_is_refused(entry: Any) -> None:
    with pytest.raises(RegistryError, match="Invalid data"):
        merge_index_images([], [{"id": A}, entry])


@pytest.mark.parametrize(
    ("stored", "told"),
    [
        (b'[{"id":"x"}]', b'[{"id":"x"}]'),
        (b'[{"id":"x","Tag":"b"},{"id":"y"}]', b'[{"id": "x"}, {"id": "y"}]'),
        (b'[{"id":"x","Tag":"a"},{"id":"x","Tag":"b"}]', b'[{"id": "x"}]'),
        (b"no json", b"[]"),
        (b'{"Tag": 1}', b"[]"),
        (b'[5, {"Tag": "b", "id": "x"}]', b'[5, {"id": "x"}]'),
    ],
)
def test_a_list_of_images_goes_out_without_tags(stored: bytes, told: bytes) -> None:
    assert without_tags(stored) == told


@pytest.mark.parametrize(
    ("agent", "noted"),
    [
        ("", {}),
        (
            "docker/1.5.0 go/go1.3.3 git-commit/a8a31ef kernel/3.16.0-4-amd64 os/linux arch/amd64",
            {
                "kernel": "3.16.0-4-amd64",
                "arch": "amd64",
                "docker_go_version": "go1.3.3",
                "docker_version": "1.5.0",
                "os": "linux",
            },
        ),
        ("docker/1.5.0 os/LINUX arch/AMD64", {"docker_version": "1.5.0", "os": "linux", "arch": "amd64"}),
        ("curl/7.88", {}),
        ("Docker/1.5.0", {}),
    ],
)
def test_what_is_noted_of_who_set_a_tag_comes_from_the_user_agent(agent: str, noted: dict[str, str]) -> None:
    assert describe_agent(agent, now=1795487392) == {**noted, "last_update": 1795487392}


@given(st.text())
def test_no_agent_breaks_what_is_noted(agent: str) -> None:
    assert describe_agent(agent, now=1)["last_update"] == 1


def test_json_is_written_as_docker_registry_writes_it() -> None:
    assert dump_json({"b": "\u00e4", "a": [1, None, True]}) == b'{"a": [1, null, true], "b": "\\u00e4"}'


def test_json_that_is_none_is_told_in_the_words_that_are_due() -> None:
    assert parse_body(b"null", "Invalid data") is None
    with pytest.raises(RegistryError, match="Error Decoding JSON"):
        parse_body(b"\xff", "Error Decoding JSON")
    assert load_json(b"\xff") is None
