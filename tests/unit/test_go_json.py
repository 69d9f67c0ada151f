"""JSON passes through as Go would write it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.model.go_json import compact, dump, dump_members, indent, join_members, parse_members, parse_object
from backends.model.strict_json import parse_json
from tests.support.cpu_time import cpu_seconds
from tests.support.formats import FORMATS, example

texts = st.text(st.characters(exclude_categories=["Cs"]))
values = st.recursive(
    st.none() | st.booleans() | st.integers() | texts | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)
objects = st.dictionaries(texts, values, max_size=5)
blanks = st.text(" \t\r\n", max_size=2)
numbers = st.from_regex(r"-?(0|[1-9][0-9]{0,20})(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,2})?", fullmatch=True)


@st.composite
def json_texts(draw: st.DrawFn, depth: int = 3) -> str:
    """Any JSON, as no writer of ours would write it: blanks, escapes without need, numbers of any form."""
    kind = draw(st.sampled_from(["number", "text", "word", "list", "object"] if depth else ["number", "text", "word"]))
    match kind:
        case "number":
            written = draw(numbers)
        case "text":
            written = draw(json_strings())
        case "word":
            written = draw(st.sampled_from(["true", "false", "null"]))
        case "list":
            inner = draw(st.lists(json_texts(depth - 1), max_size=3))
            written = f"[{','.join(inner) or draw(blanks)}]"
        case _:
            keys = draw(st.lists(json_strings(), max_size=3, unique_by=json.loads))
            pairs = [f"{draw(blanks)}{key}{draw(blanks)}:{draw(json_texts(depth - 1))}" for key in keys]
            written = f"{{{','.join(pairs) or draw(blanks)}}}"
    return draw(blanks) + written + draw(blanks)


@st.composite
def json_strings(draw: st.DrawFn) -> str:
    """Any JSON string: each character as it is, or as one of its escapes."""
    parts = []
    for character in draw(st.text(st.characters(exclude_categories=["Cs"], max_codepoint=0xFFFF), max_size=6)):
        escape = f"\\u{ord(character):04x}"
        forms = [escape, escape.upper().replace("U", "u")]
        if character not in '"\\' and character >= " ":
            forms.append(character)
        if character in '"\\/':
            forms.append(f"\\{character}")
        parts.append(draw(st.sampled_from(forms)))
    return '"' + "".join(parts) + '"'


@pytest.mark.parametrize(
    ("text", "members"),
    [
        ("{}", {}),
        (" \n{ } ", {}),
        ('{"a":1}', {"a": "1"}),
        ('{ "b" : 1.50 ,\t"a" : { "z": 1, "y": [ ] } }\n', {"b": "1.50", "a": '{ "z": 1, "y": [ ] }'}),
        (r'{"\u0061": "\/\u00e9"}', {"a": r'"\/\u00e9"'}),
        ('{"a": "}", "b": "\\"{"}', {"a": '"}"', "b": '"\\"{"'}),
        ('{"a": 1e400, "b": 123456789012345678901234567890}', {"a": "1e400", "b": "123456789012345678901234567890"}),
    ],
)
def test_values_keep_their_text(text: str, members: dict[str, str]) -> None:
    assert parse_members(text) == members
    assert list(parse_members(text)) == list(members)


@pytest.mark.parametrize(
    "text", ["", "[]", "1", "null", '"{}"', "{", '{"a":1,"a":2}', '{"a":{"b":1,"b":2}}', '{"a":NaN}', '{"a":"\\ud800"}',
             "{} {}", '{"a":' * 1000, "\ufeff{}", '{"a":"\ud800"}', "{'a':1}"],
)  # fmt: skip
def test_what_is_no_object_with_one_meaning_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse_members(text)


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("a", '"a"'),
        ("<é>&\u2028\u2029", '"\\u003cé\\u003e\\u0026\\u2028\\u2029"'),
        ("\b\f\n\r\t\x00\x1f\x7f", '"\\u0008\\u000c\\n\\r\\t\\u0000\\u001f\x7f"'),
        ("\\b\\f \\\b", '"\\\\b\\\\f \\\\\\u0008"'),
        ('"\\/', '"\\"\\\\/"'),
        ("\U0001f600", '"\U0001f600"'),
        ([], "[]"),
        ({"b": [1, None, True], "a": {"c": "d"}}, '{"b":[1,null,true],"a":{"c":"d"}}'),
    ],
)
def test_values_are_written_as_older_go_writes_them(value: object, written: str) -> None:
    assert dump(value) == written


def test_members_are_written_in_the_order_of_their_bytes() -> None:
    members = {"é": "1", "z": " [ 1 ] ", "\U0001f600": "2", "\uffff": "3", "A<": '"<\u2028"'}
    written = '{"A\\u003c":"\\u003c\\u2028","z":[1],"é":1,"\uffff":3,"\U0001f600":2}'
    assert dump_members(members) == written
    assert join_members({"b": "1", "a": " 2"}) == '{"b":1,"a":2}'


@pytest.mark.parametrize(
    ("text", "laid_out"),
    [
        ("{}", "{}"),
        ("[ ]", "[]"),
        ("1", "1"),
        ('{"a":1}', '{\n   "a": 1\n}'),
        ('{"a":[],"b":{}}', '{\n   "a": [],\n   "b": {}\n}'),
        ('[1,[2,{"a":"b:{,"}]]', '[\n   1,\n   [\n      2,\n      {\n         "a": "b:{,"\n      }\n   ]\n]'),
    ],
)
def test_indentation_is_gos(text: str, laid_out: str) -> None:
    assert indent(text) == laid_out


@given(json_texts())
def test_any_json_keeps_its_meaning_and_its_scalars(text: str) -> None:
    value = json.loads(text)
    for written in (compact(text), indent(text)):
        assert json.loads(written) == value
        assert compact(written) == compact(text)
    assert indent(indent(text)) == indent(text)


@given(st.dictionaries(st.text("abc<\n", max_size=3), json_texts(), max_size=4))
def test_members_come_back_as_they_were_put_in(members: dict[str, str]) -> None:
    written = dump_members(members)
    assert parse_members(written) == {key: compact(raw) for key, raw in members.items()}
    assert dump_members(parse_members(written)) == written
    assert parse_members(join_members(members)) == parse_members(written)
    assert parse_object(written)[0] == parse_json(written.encode())


@given(objects)
def test_what_is_dumped_is_read_again(value: dict[str, Any]) -> None:
    assert json.loads(dump(value)) == value
    assert compact(dump(value)) == dump(value)
    laid_out = json.dumps(value, ensure_ascii=False, indent=3)
    assert json.loads(indent(laid_out)) == value


EXAMPLES = sorted(path.relative_to(FORMATS).as_posix() for path in FORMATS.rglob("*.json"))


@pytest.mark.parametrize("path", [path for path in EXAMPLES if b'{\n   "schemaVersion"' in example(path)])
def test_example_manifests_are_indented_as_docker_does(path: str) -> None:
    content = example(path).decode()
    assert indent(compact(content)) == content.rstrip("\n")


@pytest.mark.parametrize("path", ["schema2-image/config.json", "oci-image/config.json", "v1-image/0-88f011775979/json"])
def test_documents_that_go_wrote_pass_unchanged(path: str) -> None:
    content = example(path).decode()
    assert join_members(parse_members(content)) == content.rstrip("\n")


@pytest.mark.parametrize(
    "text",
    [
        '{"a":"' + "\\\\" * 2_000_000 + '"}',
        '{"a":[' + "1," * 1_500_000 + "1]}",
        "{" + ",".join(f'"{n}":{{}}' for n in range(300_000)) + "}",
        '{"a":"' + "<" * 4_000_000 + '"}',
        "{" + " " * 4_000_000 + "}",
        '{"a":"' + '\\"' * 2_000_000,
    ],
    ids=["backslashes", "a long list", "many members", "escapes", "blanks", "an open string"],
)
def test_four_megabytes_take_a_bounded_time(text: str) -> None:
    def pass_through() -> None:
        try:
            indent(dump_members(parse_members(text)))
        except ValueError:
            compact(text)

    assert cpu_seconds(pass_through) < 12
