"""The files of a search's index: written and read, changed, and known to be damaged."""

from __future__ import annotations

import zlib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.registry.search.snapshot import (
    Snapshot,
    decode_changes,
    decode_snapshot,
    encode_snapshot,
    new_changes,
)

texts = st.text(st.characters(exclude_categories=["Cc", "Cs"]), max_size=5)
listed = st.dictionaries(texts.filter(bool), texts, max_size=6)


def signed(content: bytes) -> bytes:
    return b"%08x\n" % zlib.crc32(content) + content


SNAPSHOT = Snapshot(["a", "b/c"], ["=", "?of old"], "0011", 7, 1.5, 0.25, 1.0)


def made(found: dict[str, str]) -> Snapshot:
    names = sorted(found)
    return replace(SNAPSHOT, names=names, descriptions=["=" + found[name] for name in names])


@given(listed)
def test_what_is_written_is_read_again(found: dict[str, str]) -> None:
    snapshot = made(found)
    assert decode_snapshot(encode_snapshot(snapshot)) == snapshot


@given(st.integers(0, 200), st.integers(0, 255))
def test_a_damaged_file_is_not_read(place: int, byte: int) -> None:
    content = bytearray(encode_snapshot(SNAPSHOT))
    place %= len(content)
    is_same = content[place] == byte
    content[place] = byte
    assert decode_snapshot(bytes(content)) == (SNAPSHOT if is_same else None)


NONE = [b"", b"\0" * 100, b"{}", b"[]\n", b"{", signed(b"{}\n\n"), signed(b"[]\n"), signed(b"\xff")]


@pytest.mark.parametrize("content", NONE)
def test_what_is_none_is_not_read(content: bytes) -> None:
    assert decode_snapshot(content) is None


@pytest.mark.parametrize("size", range(len(encode_snapshot(SNAPSHOT))))
def test_a_file_that_was_cut_off_is_not_read(size: int) -> None:
    assert decode_snapshot(encode_snapshot(SNAPSHOT)[:size]) is None


def test_another_version_is_not_read() -> None:
    _, _, content = encode_snapshot(SNAPSHOT).partition(b"\n")
    other = content.replace(b'"version": 1', b'"version": 2')
    assert decode_snapshot(signed(content)) == SNAPSHOT
    assert decode_snapshot(signed(other)) is None


@given(listed, st.sets(texts.filter(bool)), st.dictionaries(texts.filter(bool), st.none() | texts), st.booleans())
def test_changes_are_as_those_of_a_dictionary(
    before: dict[str, str],
    gone: set[str],
    there: dict[str, str | None],
    many: bool,  # noqa: FBT001 - a case
) -> None:
    if many:
        there = {**there, **{f"n{number}": "d" for number in range(100)}}
    gone -= there.keys()
    expected = {name: "=" + text for name, text in before.items() if name not in gone}
    for name, text in there.items():
        expected[name] = f"={text}" if text is not None else "?" + expected.get(name, "=")[1:]
    found = made(before).changed(gone=gone, there=there, offset=9)
    assert dict(zip(found.names, found.descriptions, strict=True)) == expected
    assert found.names == sorted(expected)
    assert found.offset == 9
    assert list(found.undescribed()) == [name for name in sorted(expected) if expected[name][0] == "?"]


def test_changes_are_read_from_a_place_on_as_far_as_their_last_line_is_whole() -> None:
    head = new_changes("0011")
    changes = decode_changes(head + b"\na\n\nb/c\n\na\n\nhalf")
    assert (changes.identity, changes.size) == ("0011", len(head) + 13 - 1)
    assert list(changes.names(len(head))) == ["a", "b/c"]
    assert list(changes.names(changes.end_of(len(head), 2))) == ["b/c", "a"]
    assert changes.end_of(len(head), 100) == changes.size
    assert list(changes.names(changes.size)) == []


@pytest.mark.parametrize("content", [b"", b"half", b"\0\0\0"])
def test_a_file_of_changes_that_never_was_whole_has_no_name(content: bytes) -> None:
    assert decode_changes(content).identity == ""


def test_a_line_that_is_no_name_is_none() -> None:
    assert list(decode_changes(b"1\n\x1b[31m\n\xff\n ok\n").names(2)) == ["\ufffd", " ok"]
