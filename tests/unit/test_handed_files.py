"""What a registry says when it hands a file over: only what leads to bytes below the folder is obeyed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.http.handed_files import HandedFile, format_handed, parse_handed, path_below

NAMES = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=40)


@given(
    st.lists(NAMES.filter(lambda name: name not in {".", ".."}), min_size=1, max_size=5),
    st.lists(st.integers(0, 10**15), min_size=3, max_size=3, unique=True).map(sorted),
)
def test_what_is_written_is_read(names: list[str], numbers: list[int]) -> None:
    file = HandedFile("/" + "/".join(names), numbers[0], numbers[1], numbers[2])
    written = format_handed(file)
    assert written.isascii()
    assert written.isprintable()
    assert parse_handed(written) == file


@pytest.mark.parametrize(
    "value",
    [
        "",
        "0-1/2",
        "0-1/2 a",
        "0-1/2 /a b",
        "0-1/2 /a\r\n",
        "0-1/2  /a",
        "0-1/2 /",
        "0-1/2 //a",
        "0-1/2 /a//b",
        "0-1/2 /a/",
        "0-1/2 /../a",
        "0-1/2 /a/..",
        "0-1/2 /a/./b",
        "0-1/2 /a/%2e%2e/b",
        "0-1/2 /a%2f..%2fb",
        "0-1/2 /a%00",
        "0-1/2 /a%ff",
        "1-0/2 /a",
        "0-2/2 /a",
        "-1-1/2 /a",
        "+0-1/2 /a",
        "0-1/2_0 /a",
        "0-1/\u0662 /a",
        "0-1/2 /" + "a" * 5000,
    ],
)
def test_what_could_lead_elsewhere_is_not_valid(value: str) -> None:
    with pytest.raises(ValueError):
        parse_handed(value)


@given(st.text(max_size=50))
def test_any_value_is_read_or_refused(value: str) -> None:
    for tried in (value, f"0-1/2 /{value}"):
        try:
            path = parse_handed(tried).path
        except ValueError:
            continue
        assert path.startswith("/")
        assert not {"", ".", ".."} & set(path[1:].split("/"))


@pytest.mark.parametrize(
    ("folder", "path", "below"),
    [
        ("/data", "/data/a/b", "/a/b"),
        ("/data/", "/data/a", "/a"),
        ("/data", "/database/a", None),
        ("/data", "/data", None),
        ("/", "/data/a", None),
        ("", "/data/a", None),
    ],
)
def test_paths_below_the_folder(folder: str, path: str, below: str | None) -> None:
    assert path_below(folder, path) == below
