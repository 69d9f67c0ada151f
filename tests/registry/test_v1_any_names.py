"""Whatever is done to v1's repositories and tags, of whatever names: each has what was done to it, and no other."""

from __future__ import annotations

from hashlib import sha256

from hypothesis import given, settings
from hypothesis import strategies as st

from backends.model.errors import RegistryError
from backends.model.names import ImageId
from backends.model.v1names import V1Name, parse_v1_name, parse_v1_tag
from backends.registry.store import Store
from backends.storage.driver import PathNotFound
from backends.storage.factory import open_memory
from tests.support.actors import ACTOR
from tests.support.v1_awkward_names import NAMES, TAGS

printable = st.characters(min_codepoint=32, max_codepoint=126)
any_name = st.text(printable, min_size=1, max_size=12).filter(lambda text: text.strip("/") and text[0] != "/")
any_tag = st.text(printable.filter(lambda each: each != "/"), min_size=1, max_size=8)
some_names = st.sampled_from(
    [
        ["a b", "a+b", "a%20b", "a%2Bb"],
        ["x", "library/x", "X", "library/X"],
        ["../r", "%2E%2E/r", "./r"],
        ["a/b/c", "a/b%2Fc", "a/b//c"],
        ["team/app", "team/app_", "team/App"],
    ]
) | st.lists(any_name | st.sampled_from(NAMES[:-1]), min_size=1, max_size=3)
some_tags = st.sampled_from(
    [
        ["_x", "x_json"],
        ["__x", "_x_json", "x_json_json"],
        ["..", "%2E%2E", "."],
        ["a b", "a+b", "a%20b"],
        ["latest", "_"],
    ]
) | st.lists(any_tag | st.sampled_from(TAGS), min_size=1, max_size=3)
steps = st.tuples(some_names, some_tags).flatmap(
    lambda pools: st.lists(
        st.tuples(st.sampled_from(["move", "move", "delete", "all"]), *map(st.sampled_from, pools)), max_size=15
    )
)


@given(steps)
@settings(max_examples=150, deadline=None)
async def test_each_has_what_was_done_to_it(done: list[tuple[str, str, str]]) -> None:
    storage = open_memory()
    store = Store(storage)
    expected: dict[V1Name, dict[str, ImageId]] = {}
    for number, (what, text, tag_text) in enumerate(done):
        name, tag = parse_v1_name(text), parse_v1_tag(tag_text)
        image = ImageId(sha256(str(number).encode()).hexdigest())
        there = expected.setdefault(name, {})
        match what:
            case "move":
                await store.tags.move_v1(name, tag, image, actor=ACTOR, now=1, telling=None)
                there[tag] = image
            case "delete":
                try:
                    await store.tags.delete_v1(name, tag, actor=ACTOR)
                    assert there.pop(tag)
                except PathNotFound:
                    assert tag not in there
            case _:
                try:
                    await store.deletions.delete(name.canonical, actor=ACTOR)
                    assert there
                except RegistryError:
                    assert not there
                there.clear()
        for each, kept in expected.items():
            try:
                assert await store.tags.all_of_v1(each) == dict(sorted(kept.items()))
            except PathNotFound:
                assert not kept
    found = {name.text for name, kept in expected.items() if kept}
    assert {name.text for name in await store.v1_repositories.names()} == found
    in_v2 = {name.v2 for name, kept in expected.items() if kept and name.v2 is not None}
    assert set(await store.list_repositories(after="", limit=1000)) == in_v2
    if found:
        assert set(await storage.driver.list("/")) <= {"repositories", "docker"}
    await storage.close()
