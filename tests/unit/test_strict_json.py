from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.model.strict_json import MAX_DEPTH, parse_json, refuse_lookalikes, spellings
from tests.support.cpu_time import cpu_seconds


@pytest.mark.parametrize(
    ("content", "value"),
    [
        (b"{}", {}),
        (b'{"a": [1, -2.5, true, null, "x"]}', {"a": [1, -2.5, True, None, "x"]}),
        ('{"é": "\U0001f600"}'.encode(), {"é": "\U0001f600"}),
        (rb'"\ud83d\ude00"', "\U0001f600"),
        (rb'"\\ud83d"', "\\ud83d"),
        (b'{"a": {"b": 1}, "c": {"b": 1}}', {"a": {"b": 1}, "c": {"b": 1}}),
        (b"[" * MAX_DEPTH + b"]" * MAX_DEPTH, None),
        (b'"' + b"[" * 1000 + b'"', "[" * 1000),
        (b"[" + b"[]," * 1000 + b"[]]", None),
        (rb'["\"", "[[[", "\\"]', ['"', "[[[", "\\"]),
    ],
)
def test_json_that_means_one_thing_is_read(content: bytes, value: object) -> None:
    parsed = parse_json(content)
    assert value is None or parsed == value


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"{} {}",
        b"{}\x00",
        b"\xef\xbb\xbf{}",
        b"\xff",
        "{}".encode("utf-16"),
        b'{"a": 1, "a": 1}',
        rb'{"a": 1, "\u0061": 2}',
        b'{"b": [{"a": 1, "a": 2}]}',
        b"NaN",
        b"[Infinity]",
        b'{"a": -Infinity}',
        rb'"\ud83d"',
        rb'{"\ude00": 1}',
        rb'"\uD83Dx\uDE00"',
        b'"\xed\xa0\x80"',
        b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1),
        b'{"a":' * 100_000,
        b"[" * 4_000_000,
        b"1" * 5000,
        b'{"size": ' + b"9" * 100_000 + b"}",
        b"{'a': 1}",
        b'{"a": 01}',
        b'"a\nb"',
        b"// comment\n{}",
        b"[1,]",
    ],
)
def test_json_that_readers_could_take_differently_is_refused_soon(content: bytes) -> None:
    def parse() -> None:
        with pytest.raises(ValueError, match=r"."):
            parse_json(content)

    assert cpu_seconds(parse) < 2


Json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=30,
)


@given(Json, st.booleans())
def test_whatever_was_written_as_json_is_read_back(value: object, ascii_only: bool) -> None:  # noqa: FBT001 - drawn
    assert parse_json(json.dumps(value, ensure_ascii=ascii_only).encode("utf-8", "replace")) == value


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(content: bytes) -> None:
    try:
        parse_json(content)
    except ValueError:
        return


@pytest.mark.parametrize("key", ["Digest", "DIGEST", "LAYERS", "layer\u017f", "mar\u212as"])
def test_keys_that_go_would_read_as_others_are_refused(key: str) -> None:
    with pytest.raises(ValueError, match="some clients would read"):
        refuse_lookalikes({key: 1}, spellings("digest", "layers", "marks"))


@pytest.mark.parametrize("key", ["digest", "digest ", "org.digest", "digests", ""])
def test_other_keys_are_nobodys_business(key: str) -> None:
    refuse_lookalikes({key: 1}, spellings("digest", "layers"))
