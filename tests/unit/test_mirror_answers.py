"""What a mirror believes of its source: answers that fit, and nothing else; and which paths it asks for."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.model.names import ImageId, is_image_id
from backends.model.v1images import parse_image_json
from backends.model.v1names import V1Name
from backends.v1.mirror.answers import (
    MOST_FOUND,
    VIA,
    Remembered,
    decode_remembered,
    may_ask,
    merge_found,
    parse_ancestry,
    parse_announced,
    parse_description,
    parse_images,
    parse_size,
    parse_tag,
    parse_tags,
    repository_path,
    tag_path,
)

A, B, C = (ImageId(letter * 64) for letter in "abc")
OURS = {"num_results": 1, "query": "q", "results": [{"name": "app", "description": "ours"}]}
PARSERS = (
    lambda content: parse_announced(content, A, size=None, checksums=()),
    parse_tags,
    parse_tag,
    parse_images,
    parse_description,
    lambda content: merge_found(OURS, content),
    lambda content: parse_ancestry(content, parse_image_json(b'{"id": "%s"}' % A.encode(), A)),
)

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.sampled_from([A, B]),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text() | st.sampled_from(["id", "results", "name"]), inner)
    ),
    max_leaves=20,
)


@given(st.binary() | json_values.map(lambda value: json.dumps(value).encode()))
def test_whatever_comes_is_understood_or_refused_and_can_be_said_again(content: bytes) -> None:
    for parse in PARSERS:
        try:
            found: Any = parse(content)
        except ValueError:
            continue
        if isinstance(found, dict | list | str):
            json.dumps(found, sort_keys=True).encode("ascii")


@given(json_values)
def test_only_ids_are_taken_for_ids(value: object) -> None:
    content = json.dumps(value).encode()
    for parse in (parse_tags, parse_images, parse_tag):
        try:
            found: Any = parse(content)
        except ValueError:
            continue
        match found:
            case str():
                ids = [found]
            case dict():
                ids = list(found.values())
            case _:
                ids = [each["id"] for each in found]
        assert all(is_image_id(each) for each in ids)


printable = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=12)


@given(printable.filter(lambda text: "/" not in text), printable, printable)
def test_a_path_leads_to_what_is_meant_or_there_is_none(namespace: str, repository: str, tag: str) -> None:
    name = V1Name(namespace, repository)
    path = repository_path(name, "/tags")
    parts = [namespace, *repository.split("/")]
    if {"", ".", ".."} & set(parts):
        assert path is None
    else:
        assert path is not None
        assert [unquote(part) for part in path.split("/")] == ["", "v1", "repositories", *parts, "tags"]
        assert not {"?", "#", " ", "\\"} & set(path)
    if "/" not in tag and path is not None and tag not in {".", ".."}:
        asked = tag_path(name, tag)
        assert asked is not None
        assert unquote(asked.rpartition("/")[2]) == tag


@pytest.mark.parametrize("tag", ["", ".", ".."])
def test_a_tag_of_dots_is_not_asked_for(tag: str) -> None:
    assert tag_path(V1Name("library", "app"), tag) is None


@pytest.mark.parametrize(
    ("via", "may"),
    [
        ([], True),
        (["1.1 nginx"], True),
        ([VIA], True),
        ([VIA, f"1.1 nginx, {VIA}"], True),
        ([f"{VIA}, {VIA}, {VIA}"], False),
        ([VIA, VIA, VIA], False),
        ([f"{VIA},{VIA},1.1 varnish,{VIA}"], False),
    ],
)
def test_a_circle_ends(via: list[str], *, may: bool) -> None:
    assert may_ask(via) is may


def test_an_ancestry_is_that_of_the_image() -> None:
    child = parse_image_json(json.dumps({"id": A, "parent": B}).encode(), A)
    base = parse_image_json(json.dumps({"id": A}).encode(), A)
    assert parse_ancestry(json.dumps([A, B, C]).encode(), child) == (A, B, C)
    assert parse_ancestry(json.dumps([A]).encode(), base) == (A,)
    assert parse_ancestry(json.dumps([A, B, A]).encode(), child) == (A, B)  # docker-registry has such
    for ids, image in (([A, C], child), ([A], child), ([A, B], base), ([B, A], child), ([], base)):
        with pytest.raises(ValueError, match="ancestry"):
            parse_ancestry(json.dumps(ids).encode(), image)


def test_checksums_are_those_of_json_and_layer() -> None:
    said = [f"sha256:{'0' * 64}, tarsum+sha256:{'1' * 64}", f"sha256:{'2' * 64}"]
    found = parse_announced(json.dumps({"id": A}).encode(), A, size="7", checksums=said)
    assert found.checksums == {"0" * 64, "2" * 64}
    assert found.told == (f"sha256:{'0' * 64}", f"tarsum+sha256:{'1' * 64}", f"sha256:{'2' * 64}")
    assert found.size == 7


@pytest.mark.parametrize("text", ["", "-1", "1.5", "1e9", "٣", " 1", "9" * 19])
def test_a_size_is_a_number(text: str) -> None:
    with pytest.raises(ValueError, match="size"):
        parse_size(text)


def test_search_merges_by_the_name_that_access_goes_by() -> None:
    theirs = {"results": [{"name": "library/app", "description": "theirs"}, {"name": "x/y", "star_count": 1}]}
    merged = merge_found(OURS, json.dumps(theirs).encode())
    assert merged == {
        "num_results": 2,
        "query": "q",
        "results": [
            {"name": "library/app", "description": "theirs"},
            {"name": "x/y", "star_count": 1, "description": ""},
        ],
    }
    page = {**OURS, "num_results": 70, "num_pages": 70, "page": 2, "page_size": 1}
    assert merge_found(page, json.dumps(theirs).encode()) == {
        **merged,
        **page,
        "num_results": 71,
        "results": merged["results"],
    }
    many = {"results": [{"name": f"n{number}"} for number in range(2 * MOST_FOUND)]}
    assert merge_found(OURS, json.dumps(many).encode())["num_results"] == MOST_FOUND + 1


def test_nothing_that_is_found_moves_a_terminals_cursor() -> None:
    """Old Dockers print what they get; a description at the source is of anybody's making."""
    theirs = [
        {"name": "x/y", "description": "\x1b[2J clear\r\nme \u202e" + "a" * 200},
        {"name": "x/\x1b[31m", "description": "red"},
        {"name": "x/ä", "description": ""},
    ]
    merged = merge_found(OURS, json.dumps({"results": theirs}).encode())
    assert [each["name"] for each in merged["results"]] == ["app", "x/y"]
    found = merged["results"][1]["description"]
    assert found.isprintable()
    assert found.startswith("[2J clear me a")
    assert merged["num_results"] == 2


def test_tags_that_cannot_be_asked_for_are_not_listed() -> None:
    listed = {"ok": A, "../../x": A, "a\n": A, "": A, "ä": A, "b": "not an id", "a b": B}
    assert parse_tags(json.dumps(listed).encode()) == {"ok": A, "a b": B}


@given(st.floats(0, 1e10), st.floats(-1e6, 1e6), st.floats(0, 1e6))
def test_what_was_said_holds_for_its_time_and_no_longer(asked: float, later: float, seconds: float) -> None:
    remembered = decode_remembered(Remembered({"latest": A}, asked).encode())
    assert remembered.value == {"latest": A}
    now = remembered.asked + later
    assert remembered.is_fresh(now, seconds) is (0 <= now - remembered.asked < seconds)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b'{"value": 1}', b'{"asked": "x", "value": 1}', b"\xff"])
def test_half_a_memory_is_none(content: bytes) -> None:
    with pytest.raises(ValueError, match="damaged"):
        decode_remembered(content)
