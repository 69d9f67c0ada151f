"""Which names v1's repositories and tags get in v2."""

from __future__ import annotations

import pytest

from backends.model.v1names import parse_v1_name
from portside.migrating.names import NameMap, parse_map

PLACES: list[tuple[str, str, list[str], str]] = [
    ("library/busybox", "1", [], "busybox:1"),
    ("team/app", "latest", [], "team/app:latest"),
    ("team/app", "latest", ["team/app=new/app"], "new/app:latest"),
    ("library/busybox", "1", ["busybox=tools/busybox"], "tools/busybox:1"),
    ("library/busybox", "1", ["library/busybox=library/box"], "box:1"),
    ("team/a..b", "1", ["# for v2", "", " team/a..b = team/a.b "], "team/a.b:1"),
    ("Team/App", "1", ["Team/App=team/app"], "team/app:1"),
    ("team/app", "1+b", ["team/app:1+b=team/app:1-b"], "team/app:1-b"),
    ("team/app", "1+b", ["team/app:1+b=team/app:1-b", "team/app=other"], "team/app:1-b"),
    ("team/app", "2", ["team/app:1+b=team/app:1-b", "team/app=other"], "other:2"),
    ("a=b/c", "1", ["a=b/c=abc"], "abc:1"),
]


@pytest.mark.parametrize(("name", "tag", "lines", "place"), PLACES)
def test_a_tag_is_where_its_name_or_the_map_says(name: str, tag: str, lines: list[str], place: str) -> None:
    assert str(parse_map(lines).place(parse_v1_name(name), tag)) == place


@pytest.mark.parametrize(
    ("name", "tag", "what"),
    [
        ("team/a..b", "1", "--map team/a..b=NEW"),
        ("library/App", "1", "--map App=NEW"),
        ("team/app_", "1", "v2 cannot have the name team/app_"),
        ("team/app", "1+b", "--map team/app:1+b=team/app:NEW"),
        ("team/app", ".x", "v2 cannot have the tag .x"),
        ("team/a b;c", "1", "--map 'team/a b;c=NEW'"),  # a shell takes it as one word
        ("team/app", "<x>", "--map 'team/app:<x>=team/app:NEW'"),
        ("team/it's", "1", """--map 'team/it'"'"'s=NEW'"""),
    ],
)
def test_what_v2_cannot_have_needs_a_new_name(name: str, tag: str, what: str) -> None:
    with pytest.raises(ValueError, match=r"give it another one") as caught:
        NameMap().place(parse_v1_name(name), tag)
    assert what in str(caught.value)


@pytest.mark.parametrize(
    ("lines", "what"),
    [
        (["team/app"], "'team/app' is not a pair of names"),
        (["=team/app"], "is not a pair of names"),
        (["team/app="], "is not a pair of names"),
        (["a=B"], "'B' is not a valid repository name"),
        (["a:1=b"], "has a tag on one side only"),
        (["a=b:1"], "has a tag on one side only"),
        (["a:1=b:.1"], "is not a valid tag"),
        (["a=b", "a=c"], "a is mapped twice, to b and to c"),
        (["a=b", "library/a=c"], "library/a is mapped twice, to b and to c"),
        (["a:1=b:1", "a:1=b:2"], "a:1 is mapped twice, to b:1 and to b:2"),
    ],
)
def test_a_map_that_is_not_valid_is_told(lines: list[str], what: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        parse_map(lines)
    assert what in str(caught.value)


def test_the_same_line_twice_is_one() -> None:
    assert parse_map(["a=b", "library/a=b"]) == parse_map(["a=b"])


def test_what_v1_does_not_have_is_told_of_a_map() -> None:
    names = parse_map(["team/app=x", "none=y", "team/app:1=x:1", "team/app:9=x:9"])
    assert names.unused([(parse_v1_name("team/app"), "1")]) == ["none", "team/app:9"]
