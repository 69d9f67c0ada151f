"""Lists that were kept are read in pieces and never trusted beyond their shape; changes are those of the original."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backends.model.tar_headers import TarHeader
from backends.model.v1files import Row, encode_row, row_of
from backends.registry.layer_lists import making
from backends.registry.layer_lists.changes import Changes, frames
from backends.registry.layer_lists.making import ListMaker
from backends.registry.layer_lists.stored import DamagedList, ListReader, changes, rows
from backends.registry.layers.errors import UnreadableLayer
from backends.registry.layers.settings import LayerSettings
from tests.support.layers import Compression, pack
from tests.support.tars import changes_of, row, tar_of

ROW = row("etc/hello")
DETAILS = ROW[1:]


@pytest.mark.parametrize(
    ("name", "listed"),
    [
        (b".", ("/", False)),
        (b"./x", ("/x", False)),
        (b"etc/hello", ("etc/hello", False)),
        (b"/abs", ("/abs", False)),
        (b"./.wh.top", ("/top", True)),
        (b"/.wh.top", ("/top", True)),
        (b"./.wh./.wh.x", ("//.wh.x", True)),
        (b"etc/.wh.hello", ("etc/.wh.hello", False)),
        (b".wh.nodot", (".wh.nodot", False)),
        ("./grüße".encode(), ("/grüße", False)),
        (b"\xff/x", ("\udcff/x", False)),
        (b"", ("", False)),
    ],
)
def test_names_and_whiteouts_are_the_original_s(name: bytes, listed: tuple[str, bool]) -> None:
    found = row_of(TarHeader(name, b"0", 1, 1, 0, 0, 0, 0))
    assert found is not None
    assert (found[0], found[2]) == listed


@pytest.mark.parametrize(
    "name", [b"./.wh..wh.plnk", b"./.wh..wh.aufs", b"/.wh..wh.x", b"./.wh..wh.aufs/x", b"./.wh..wh."]
)
def test_marks_of_a_union_file_system_are_left_out(name: bytes) -> None:
    assert row_of(TarHeader(name, b"0", 1, 1, 0, 0, 0, 0)) is None


@pytest.mark.parametrize(
    ("kind", "letter"),
    list(zip([b"0", b"\0", b"1", b"2", b"3", b"4", b"5", b"6", b"7", b"S", b"Z", b"V"], "fflscbditSuu", strict=True)),
)
def test_types_are_letters(kind: bytes, letter: str) -> None:
    found = row_of(TarHeader(b"x", kind, 0, 0, 0, 0, 0, 0))
    assert found is not None
    assert found[1] == letter


@pytest.mark.parametrize("compression", Compression)
def test_a_layer_is_listed_however_it_is_packed(compression: Compression) -> None:
    maker = ListMaker(LayerSettings(), lambda: False)
    layer = pack(tar_of("etc/", "etc/hello"), compression)
    made = b"".join([*maker.take([layer[:100], layer[100:]]), *maker.end()])
    assert made == (
        b'[["etc", "d", false, 0, 1400000000, 493, 0, 0], ["etc/hello", "f", false, 1, 1400000000, 420, 0, 0]]'
    )


def test_a_large_list_comes_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(making, "PIECE_BYTES", 100)
    maker = ListMaker(LayerSettings(), lambda: False)
    names = [f"file-{number}" for number in range(50)]
    pieces = [*maker.take([tar_of(*names)]), *maker.end()]
    assert max(map(len, pieces)) < 300
    assert [each[0] for each in json.loads(b"".join(pieces))] == names


@pytest.mark.parametrize(("bound", "value"), [("MAX_ROWS", 3), ("MAX_LIST_BYTES", 200)])
def test_a_layer_with_too_many_files_is_not_listed(monkeypatch: pytest.MonkeyPatch, bound: str, value: int) -> None:
    monkeypatch.setattr(making, bound, value)
    maker = ListMaker(LayerSettings(), lambda: False)
    with pytest.raises(UnreadableLayer, match=r"more than 3 files|than 200 bytes") as caught:
        list(maker.take([tar_of("a", "b", "c", "d", "e")]))
    assert not caught.value.damaged


def test_marks_count_among_the_files_though_they_are_not_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise an archive of nothing else would be gone through up to 100 GiB, each with a name of a MiB."""
    monkeypatch.setattr(making, "MAX_ROWS", 3)
    listed = ListMaker(LayerSettings(), lambda: False)
    archive = tar_of("./.wh..wh.plnk", "a", "b")
    assert [name for name, *_ in json.loads(b"".join([*listed.take([archive]), *listed.end()]))] == ["a", "b"]
    refused = ListMaker(LayerSettings(), lambda: False)
    with pytest.raises(UnreadableLayer, match="more than 3 files"):
        list(refused.take([tar_of(*(f"./.wh..wh.{number}" for number in range(4)))]))


def through(parse: Callable[..., Any], content: bytes, step: int = 7) -> None:
    reader = ListReader(parse)
    for at in range(0, len(content), step):
        reader.feed([content[at : at + step]])
    reader.end()


NONE_OF_THEM: Sequence[Any] = (None, [], {"a": 1})
LISTS: Sequence[bytes] = [
    b"[]",
    b" [ ] \n",
    json.dumps([ROW]).encode(),
    json.dumps([ROW, row('a], ["b'), ROW]).encode(),
]
DIFF = json.dumps({"deleted": {}, "changed": {"a}, {": DETAILS, "b": DETAILS}, "created": {"c": DETAILS}}).encode()


@pytest.mark.parametrize("content", LISTS)
@pytest.mark.parametrize("step", [1, 7, 10_000])
def test_a_list_is_read_in_pieces(content: bytes, step: int) -> None:
    found: list[Row] = []
    through(rows(found.append), content, step)
    assert found == json.loads(content)


@pytest.mark.parametrize("content", [DIFF, json.dumps(dict(reversed(json.loads(DIFF).items()))).encode()])
@pytest.mark.parametrize("step", [1, 7, 10_000])
def test_a_diff_is_read_in_pieces(content: bytes, step: int) -> None:
    through(changes, content, step)


@pytest.mark.parametrize(
    "content",
    [b"", b"true", b"{}", b'"x"', b"[", b"[,]", b"[[]]", b"[1]", b"[null]", b'["x"]', b"[]]", b"[] x", b"\xff[]"]
    + [json.dumps([ROW]).encode() + more for more in (b"]", b"[]", b"x")]
    + [json.dumps([ROW, ROW]).encode()[:-cut] for cut in (1, 2, 30)]
    + [json.dumps([ROW, ROW]).encode().replace(b"], [", b"] [")]
    + [bytes(100), b"[" * 100_000, b'[["' + b"x" * 9_000_000]
    + [json.dumps([[*ROW[:at], value, *ROW[at + 1 :]]]).encode() for at in range(8) for value in NONE_OF_THEM]
    + [json.dumps([ROW[:-1]]).encode(), json.dumps([[*ROW, 0]]).encode()],
    ids=lambda content: repr(content[:30]),
)
def test_what_is_no_list_is_damaged(content: bytes) -> None:
    with pytest.raises(DamagedList):
        through(rows(lambda _: None), content, 1_000_000)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"{}",
        DIFF[:-1],
        DIFF + b"}",
        DIFF.replace(b"created", b"crested"),
        DIFF.replace(b"created", b"changed"),
        DIFF.replace(b'"f"', b"7"),
        DIFF.replace(b'"b"', b"[]"),
        b'{"deleted": [], "changed": {}, "created": {}}',
        b'{"deleted": {}, "changed": {}}',
        b'{"deleted": {}, "changed": {}, "created": {}, "more": {}}',
    ],
    ids=lambda content: repr(content[:30]),
)
def test_what_is_no_diff_is_damaged(content: bytes) -> None:
    with pytest.raises(DamagedList):
        through(changes, content, 1_000_000)


@given(st.binary(max_size=100) | st.text(alphabet='[]{}",: fa1e', max_size=60).map(str.encode), st.integers(1, 50))
def test_any_bytes_are_a_list_or_damaged(content: bytes, step: int) -> None:
    for parse in (rows(lambda _: None), changes):
        try:
            through(parse, content, step)
        except DamagedList:
            continue


NAMES = st.sampled_from(["a", "b", "c", "/d", "e f", "\udcff"])
ROWS = st.lists(
    st.builds(
        lambda name, deleted, size: row(name, deleted=deleted, size=size), NAMES, st.booleans(), st.integers(0, 9)
    ),
    max_size=8,
)


def compared(chain: Sequence[Sequence[Row]], at_once: int) -> Any:
    top, *below = chain
    found = Changes(has_parent=bool(below), at_once=at_once)
    for each in top:
        found.count(each)
    found.counted()
    for part in range(found.parts):
        found.begin(part)
        for each in top:
            found.want(each)
        for image in below:
            if not found.wanted():
                break
            for each in image:
                found.look(each)
            found.passed()
    made = bytearray()
    for group, before, after in frames():
        made += before
        tell = found.teller(group, made.extend)
        for each in top:
            tell(each)
        made += after
    return json.loads(made)


@settings(max_examples=400)
@given(st.lists(ROWS, min_size=1, max_size=4), st.integers(1, 5))
def test_changes_are_those_of_the_original_in_any_number_of_passes(chain: list[list[Any]], at_once: int) -> None:
    assert compared(chain, at_once) == changes_of(chain)


def test_a_diff_is_written_as_the_original_writes_it() -> None:
    made = bytearray()
    for _, before, after in frames():
        made += before + after
    assert made == b'{"deleted": {}, "changed": {}, "created": {}}'
    assert encode_row(ROW) == b'["etc/hello", "f", false, 1, 1400000000, 420, 0, 0]'
