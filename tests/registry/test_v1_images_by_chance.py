"""v1's rules on ids, ancestors and lists of images, beside slow ones written from docker-registry's text."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backends.model.errors import RegistryError
from backends.model.names import ImageId
from backends.model.v1images import (
    MAX_ANCESTRY,
    merge_index_images,
    parse_ancestry,
    parse_image_json,
)  # fmt: skip
from backends.registry.v1.images import Images
from backends.storage.factory import open_folder
from tests.support.v1pushes import images_over, put_checksum, put_json, put_layer
from tests.support.v1server import Pushed, make_pushed

LETTERS: Final = "abcdef"
HEX: Final = "0123456789abcdef"


def is_id(value: Any) -> bool:
    """docker-registry: `^([a-f0-9]{16}|[a-f0-9]{64})$`, without the newline that its `$` lets through."""
    return isinstance(value, str) and len(value) in {16, 64} and all(letter in HEX for letter in value)


ids = st.one_of(
    st.text(HEX, min_size=64, max_size=64),
    st.text(HEX, min_size=16, max_size=16),
    st.text(HEX + "gA\n", max_size=66),
    st.sampled_from(["a" * 64 + "\n", "A" * 64, "a" * 63, "a" * 65, "", "а" * 64]),  # noqa: RUF001 - one is Cyrillic
)
values = st.one_of(ids, st.none(), st.booleans(), st.integers(), st.lists(ids, max_size=2), st.just({}))


@given(
    ids.filter(is_id), values, values, st.dictionaries(st.sampled_from(["id", "parent", "os"]), st.none(), max_size=3)
)
def test_the_json_of_an_image_is_taken_by_the_rules(
    address: str, said: Any, parent: Any, left_out: Mapping[str, None]
) -> None:
    for own in (said, address):
        document = {
            key: value for key, value in {"id": own, "parent": parent, "os": "linux"}.items() if key not in left_out
        }
        content = json.dumps(document).encode()
        refused = (
            not document
            or document.get("id") != address
            or ("parent" in document and bool(parent) and (not is_id(parent) or parent == address))
        )
        if refused:
            with pytest.raises(RegistryError):
                parse_image_json(content, ImageId(address))
        else:
            taken = parse_image_json(content, ImageId(address))
            assert (taken.image_id, taken.content) == (address, content)
            assert taken.parent == (document.get("parent") or None)


@given(st.lists(values, max_size=6), st.integers(0, 3))
def test_a_stored_ancestry_is_a_list_of_ids_each_taken_once(listed: list[Any], repeated: int) -> None:
    listed += listed[:repeated]
    content = json.dumps(listed).encode()
    if listed and all(map(is_id, listed)):
        expected: list[str] = []
        for each in listed:
            if each not in expected:
                expected.append(each)
        assert list(parse_ancestry(content)) == expected
    else:
        with pytest.raises(ValueError, match="ancestry"):
            parse_ancestry(content)


@pytest.mark.parametrize("length", [1, MAX_ANCESTRY, MAX_ANCESTRY + 1])
def test_a_stored_ancestry_has_an_end(length: int) -> None:
    content = json.dumps([f"{number:064x}" for number in range(length)]).encode()
    if length <= MAX_ANCESTRY:
        assert len(parse_ancestry(content)) == length
    else:
        with pytest.raises(ValueError, match="1 to"):
            parse_ancestry(content)


entries = st.fixed_dictionaries(
    {"id": st.sampled_from(LETTERS)}, optional={"checksum": st.text("12", max_size=1), "Tag": st.just("latest")}
)


def merged_as_by_docker_registry(stored: Sequence[Mapping[str, Any]], new: Sequence[Mapping[str, Any]]) -> list[Any]:
    """`docker_registry/index.py`: of each id the first with a checksum, else the last; two keys survive."""
    found: dict[str, Mapping[str, Any]] = {}
    for each in [*new, *stored]:
        if each["id"] in found and "checksum" in found[each["id"]]:
            continue
        found[each["id"]] = each
    return [{key: each[key] for key in ("id", "checksum") if key in each} for each in found.values()]


@given(st.lists(entries, max_size=6), st.lists(entries, max_size=6))
def test_lists_of_images_are_merged_as_by_docker_registry(stored: list[Any], new: list[Any]) -> None:
    merged = merge_index_images(stored, new)
    expected = merged_as_by_docker_registry(stored, new)
    assert sorted(merged, key=lambda each: str(each["id"])) == sorted(expected, key=lambda each: str(each["id"]))


@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.fixed_dictionaries({letter: st.sampled_from(["", *LETTERS]) for letter in LETTERS}),
    st.lists(st.tuples(st.sampled_from(LETTERS), st.booleans()), max_size=14),
)
def test_an_image_is_taken_where_its_parent_is_and_rests_on_what_that_rests_on(
    parents: Mapping[str, str], pushes: Sequence[tuple[str, bool]]
) -> None:
    """Parents are drawn at random: none, itself, a circle, one that comes later, one that is half pushed."""
    images = {
        letter: make_pushed(letter, parent=parent * 64 or None, layer=letter.encode())
        for letter, parent in parents.items()
    }
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(_push_by_chance(Path(folder), images, parents, pushes))


async def _push_by_chance(
    folder: Path, images: Mapping[str, Pushed], parents: Mapping[str, str], pushes: Sequence[tuple[str, bool]]
) -> None:
    storage = open_folder(folder)
    service = images_over(storage)
    announced, finished = set[str](), set[str]()
    for letter, is_whole in pushes:
        parent = parents[letter]
        allowed = letter not in finished and parent != letter and (not parent or parent in announced)
        assert await _is_taken(service, images[letter]) == allowed, (letter, parents, announced, finished)
        if allowed:
            announced.add(letter)
            if is_whole:
                await put_layer(service, images[letter])
                await put_checksum(service, images[letter])
                finished.add(letter)
    for letter in finished:
        expected = [letter * 64]
        while parent := parents[expected[-1][0]]:
            expected.append(parent * 64)
        assert list(await service.ancestry(ImageId(letter * 64))) == expected
    for letter in set(LETTERS) - finished:
        with pytest.raises(RegistryError):
            await service.ancestry(ImageId(letter * 64))
    await storage.close()


async def _is_taken(service: Images, image: Pushed) -> bool:
    try:
        await put_json(service, image)
    except RegistryError:
        return False
    return True
