"""Names of v1 on disk, whatever they are: two of them never share a path, a lock or a name by which access is decided.

And the way back from a folder's name is the way there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from backends.auth.schemes import Wanted, scopes_of
from backends.auth.v1_tokens import _canonical as repository_of_token
from backends.auth.v1_tokens import token_header
from backends.model.errors import RegistryError
from backends.model.image_places import ImageCopy, copy_of
from backends.model.names import ImageId, RepositoryName, canonical_name
from backends.model.v1names import V1Name, escape_v1, parse_v1_name, parse_v1_tag, quote_v1, unescape_v1, v1_name
from backends.storage import layout
from backends.web.dispatch import decode_all
from tests.support.cpu_time import cpu_seconds

printable = st.characters(min_codepoint=32, max_codepoint=126)
AWKWARD = (
    "a", "b", "+", "%", "%20", "%2B", "%252B", "%2F", "%2f", "/", "//", ".", "..", "%2E", "%2e", "%252E", "~", "_",
    "__", "-", "*", ":", "@", "\\", "'", '"', "?", "#", "&", ";", ",", "=", "json", "_json", "tag_", "library",
    "_index_images", "_private", "tags", "images", " ",
)  # fmt: skip
awkward = st.sampled_from(AWKWARD)
texts = st.one_of(
    st.text(printable, min_size=1, max_size=40),
    st.lists(awkward, min_size=1, max_size=6).map("".join),
)
IMAGE = ImageId("a" * 64)

CLASHING = ["a+b", "a b", "a%20b", "a%2Bb", "a%252Bb", "a%2B20b", "a%2520b"]
"""What is the same after it was unescaped once or twice, or by other rules."""

HOSTILE = [
    "..",
    ".",
    "%2e%2e",
    "%2E%2E",
    "a/../b",
    "a/..",
    "../..",
    "../../etc/passwd",
    "a/.",
    "...",
    "a.",
    "a/b.",
    "~",
]


def names_of(found: Iterable[str]) -> list[V1Name]:
    names = []
    for text in found:
        try:
            names.append(parse_v1_name(text))
        except RegistryError:
            continue
    return names


def paths_of(name: V1Name) -> list[str]:
    """Every path that is made of a name."""
    place = (name.namespace, name.stored)
    copy = ImageCopy(name, IMAGE)
    return [
        layout.v1_repository(*place),
        layout.v1_repository_json(*place),
        layout.v1_index_images(*place),
        layout.v1_private(*place),
        layout.v1_copies(name),
        layout.v1_image_layer(copy),
        layout.v1_pushed(copy),
        layout.v1_owner(copy),
        layout.v1_shared_ancestors(copy),
        layout.v1_staging(copy),
    ]


def locks_of(name: V1Name) -> list[str]:
    copy = ImageCopy(name, IMAGE)
    return [
        layout.repository_lock(name.text),
        layout.tag_lock(canonical_name(name.canonical), "1"),
        layout.v1_images_lock(name.namespace, name.stored),
        layout.v1_image_lock(copy),
        layout.v1_layer_lock(copy, "f" * 32),
        layout.v1_layer_file_lock(copy),
    ]


def tag_paths(tag: str) -> list[str]:
    return [layout.v1_tag("ns", "r", tag), layout.v1_tag_json("ns", "r", tag)]


def assert_inside(path: str, root: str, depth: int) -> None:
    parts = path.split("/")
    assert path.startswith(f"{root}/")
    assert len(parts) == depth
    assert not {"", ".", ".."} & set(parts[1:])
    assert path.isascii()
    assert path.isprintable()


@given(st.text(printable, min_size=1, max_size=60))
@example("..")
@example(".")
@example("%")
@example("~")
def test_what_is_escaped_can_be_undone(text: str) -> None:
    # Two texts are the same name to docker-registry, and to the parsers.
    same = {"%2E%2E": "..", "%2E": "."}.get(text, text)
    assert unescape_v1(escape_v1(text)) == same
    assert escape_v1(same) == escape_v1(text)
    assert decode_all(quote(text, safe="")) == text


@given(st.text(printable, min_size=1, max_size=60))
def test_only_one_file_name_is_of_a_part(entry: str) -> None:
    text = unescape_v1(entry)
    assert text is None or escape_v1(text) == entry


@given(texts)
@example("../r")
@example("%2E%2E/r")
@example("library/x")
@example("x")
@example("a//b")
def test_every_repository_is_found_again_by_its_folder(text: str) -> None:
    for name in names_of([text]):
        folder, _, entry = layout.v1_repository(name.namespace, name.stored).rpartition("/")
        assert layout.v1_name_of(folder.rpartition("/")[2], entry) == name
        # In tokens, in the notes of who pushed, and wherever a repository is known by its canonical name.
        assert parse_v1_name(name.text) == name
        assert parse_v1_name(name.canonical) == name
        header = token_header("x", name, "read")
        quoted = header.partition('repository="')[2].partition('",access=')[0]
        assert not set(quoted) & set('", ;')
        assert repository_of_token(quoted) == name.canonical


@given(st.lists(texts, min_size=2, max_size=12, unique=True))
@example(CLASHING)
@example([f"a/{each}" for each in CLASHING])
@example([f"{each}/a" for each in CLASHING])
@example(HOSTILE)
@example([f"{each}/r" for each in HOSTILE] + [f"r/{each}" for each in HOSTILE])
@example(["x", "library/x", "library/library/x", "library//x", "library", "library/library", " x", "x "])
@example(["a/b", "a/b/", "a//b", "a/b//c", "a%2Fb", "a/%2Fb", "a%252Fb"])
@example(["a:b", "a", "a:b/c", "a/b:c"])
def test_two_names_share_nothing(found: list[str]) -> None:
    names = dict.fromkeys(names_of(found))
    for of in (paths_of, locks_of, lambda name: [name.canonical]):
        for kind in zip(*map(of, names), strict=True):
            assert len(set(kind)) == len(names), kind


@given(texts)
@example("../..")
@example("a/../../b")
@example("./.")
def test_no_name_leads_out_of_its_folder(text: str) -> None:
    for name in names_of([text]):
        place = (name.namespace, name.stored)
        assert_inside(layout.v1_repository(*place), layout.V1_REPOSITORIES, 4)
        copy = ImageCopy(name, IMAGE)
        copies = len(layout.V1_COPIES.split("/"))
        assert_inside(layout.v1_image_layer(copy), layout.V1_COPIES, copies + 4)
        assert_inside(layout.v1_staged(copy, "json-x"), layout.V1_STAGED_COPIES, copies + 4)
        assert_inside(layout.v1_owner(copy), layout.V1_OWNERS, len(layout.V1_OWNERS.split("/")) + 3)
        if name.v2 is not None:
            assert not any(part.startswith((".", "_")) for part in name.v2.split("/"))


tags = st.one_of(
    st.text(printable.filter(lambda each: each != "/"), min_size=1, max_size=40),
    st.lists(awkward.filter(lambda each: "/" not in each), min_size=1, max_size=5).map("".join),
)


@given(st.lists(tags.map(parse_v1_tag), min_size=2, max_size=12, unique=True))
@example(CLASHING)
@example(["..", ".", "...", "%2e", "%2e%2e", "%252E", "a.", "a"])
@example(["_x", "x_json", "__x", "_x_json", "x_json_json", "_", "_json", "json_json", "json"])
def test_two_tags_share_no_file_but_twins_and_these_a_lock(found: list[str]) -> None:
    of_files: dict[str, str] = {}
    for tag in found:
        entry = layout.v1_tag("ns", "r", tag).rpartition("/")[2]
        assert layout.v1_tag_of(entry) == tag
        for path in tag_paths(tag):
            assert_inside(path, "/repositories/ns/r", 5)
            other = of_files.setdefault(path, tag)
            if other != tag:
                assert layout.v1_tag("ns", "r", layout.v1_twin(tag)) == layout.v1_tag_json("ns", "r", tag) or (
                    layout.v1_tag("ns", "r", layout.v1_twin(other)) == layout.v1_tag_json("ns", "r", other)
                )
                assert layout.tag_lock("ns/r", tag) == layout.tag_lock("ns/r", other)


@given(tags, tags)
def test_tags_that_are_no_twins_have_locks_of_their_own(one: str, other: str) -> None:
    def core(tag: str) -> tuple[str, int]:
        number = 0
        while tag.startswith("_"):
            tag, number = f"{tag[1:]}_json", number + 1
        return tag, number

    assert (core(one)[0] == core(other)[0]) == (layout.tag_lock("ns/r", one) == layout.tag_lock("ns/r", other))


def test_a_tag_of_underscores_takes_no_time_to_lock() -> None:
    """Such a tag has as many twins as underscores, and a request's line has room for 64 thousand."""
    assert cpu_seconds(lambda: layout.tag_lock("ns/r", "_" * 60_000)) < 0.5


@given(texts, tags, texts, tags)
@example("a:b/c", "d", "a", "b/c:d")
@example("t/a:b", "c", "t/a", "b:c")
@example("t/a%3Ab", "c", "t/a:b", "c")
def test_the_lock_of_a_tag_is_of_one_repository(one: str, its: str, other: str, others: str) -> None:
    found = names_of([one, other])
    if len(set(found)) == 2:
        first, second = (layout.tag_lock(name.canonical, tag) for name, tag in zip(found, (its, others), strict=True))
        assert first != second


@pytest.mark.parametrize("make", [quote_v1, escape_v1])
def test_it_escapes_as_python_2_did(make: Callable[[str], str]) -> None:
    """What `urllib.quote_plus` of Python 2.7.18 makes of all printable ASCII, written down from a run of it."""
    text = "".join(map(chr, range(32, 127)))
    assert make(text) == (
        "+%21%22%23%24%25%26%27%28%29%2A%2B%2C-.%2F0123456789%3A%3B%3C%3D%3E%3F%40ABCDEFGHIJKLMNOPQRSTUVWXYZ%5B%5C%5D%5E_"
        "%60abcdefghijklmnopqrstuvwxyz%7B%7C%7D%7E"
    )


def test_what_v1_cannot_name_has_a_place_that_no_name_leads_to() -> None:
    own = copy_of(RepositoryName("library/x"), IMAGE)
    for text in ("./library/x", "%2E/library/x", "%2F/library/x", "library/x", "x", "library%2Fx"):
        for name in names_of([text]):
            assert ImageCopy(name, IMAGE) != own
            assert layout.v1_image(ImageCopy(name, IMAGE)) != layout.v1_image(own)


@given(st.from_regex(r"[a-z0-9]{1,4}([._-][a-z0-9]{1,3}){0,2}(/[a-z0-9]{1,4}){0,4}", fullmatch=True))
def test_v2_and_v1_agree_which_name_is_which(text: str) -> None:
    name = v1_name(RepositoryName(text))
    if name is None:
        assert canonical_name(text) != text
    else:
        assert name.v2 == text
        assert parse_v1_name(text) == name


def test_a_token_server_is_never_asked_for_what_a_name_smuggles_in() -> None:
    names = ["team/app_", "x:pull repository:secret", "a b", "a,b", "Team/App"]
    wanted = [Wanted("repository", name, ("pull",)) for name in names]
    assert scopes_of(wanted) == ["repository:team/app_:pull", "repository:Team/App:pull"]
