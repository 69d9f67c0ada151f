"""What images say that they are: where it stands, and that no terminal stumbles over it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.model.descriptions import KEYS, MAX_DESCRIPTION, described_elsewhere, description_of, one_line

OCI, SCHEMA = KEYS
SAID = {OCI: "Prints invoices"}


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({"annotations": SAID}, "Prints invoices"),
        ({"annotations": {SCHEMA: "of old"}, "config": {"Labels": SAID}}, "of old"),  # the manifest says more
        ({"config": {"Labels": SAID}}, "Prints invoices"),
        ({"config": {"Labels": {SCHEMA: "of old", OCI: "new"}}}, "new"),
        ({"config": {"Labels": {OCI: " \n", SCHEMA: "of old"}}}, "of old"),
        (
            {"config": {"Labels": SAID}, "container_config": {"Labels": {OCI: "built"}}},
            "Prints invoices",
        ),
        ({"history": [{"v1Compatibility": json.dumps({"config": {"Labels": SAID}})}]}, "Prints invoices"),
        ({"history": [{"v1Compatibility": json.dumps({"history": [{}]})}]}, ""),
        ({"history": [{"created_by": "RUN"}], "config": {"Labels": None}}, ""),
        ({"history": [{"v1Compatibility": "["}]}, ""),
        ({"history": [{"v1Compatibility": 1}]}, ""),
        ({"history": []}, ""),
        ({"annotations": {OCI: ["a list"]}}, ""),
        ({"annotations": [OCI], "config": [], "history": {}}, ""),
        ({}, ""),
        ([], ""),
        (None, ""),
    ],
)
def test_a_description_is_in_an_annotation_or_a_label(document: Any, expected: str) -> None:
    assert description_of(document) == expected


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({"config": {"digest": "sha256:c"}}, "sha256:c"),
        ({"manifests": [{"digest": "sha256:m"}, {"digest": "sha256:n"}]}, "sha256:m"),
        ({"manifests": []}, None),
        ({"manifests": ["x"]}, None),
        ({"config": "x"}, None),
        ({"config": {"Labels": {}}}, None),
        ("x", None),
    ],
)
def test_a_manifest_without_one_leads_to_what_may_have_one(document: Any, expected: Any) -> None:
    assert described_elsewhere(document) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("two\r\n\tlines  and\u2028more", "two lines and more"),
        ("\x1b[31mred\x1b]0;title\x07", "[31mred]0;title"),
        ("\u202edesrever\u200b\ufeff", "desrever"),
        ("\x9b2J\x00\ud800", "2J"),
        ("Grüße 🐳", "Grüße 🐳"),
        ("x" * 100, "x" * 100),
        ("x" * 101, "x" * 99 + "…"),
        ("x" * 98 + " yz", "x" * 98 + "…"),
    ],
)
def test_a_description_is_one_printable_line(text: str, expected: str) -> None:
    assert one_line(text) == expected


@given(st.text() | st.text(alphabet="\x1b\x9b\u202e\ud800\n\t x"))
def test_any_text_becomes_a_short_line(text: str) -> None:
    line = one_line(text)
    assert line.isprintable()
    assert len(line) <= MAX_DESCRIPTION
    line.encode()


KNOWN = st.sampled_from(["annotations", "config", "Labels", "history", "v1Compatibility", "manifests", "digest", OCI])
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KNOWN, inner),
    max_leaves=20,
)


@given(json_values)
def test_any_document_says_something_or_nothing(document: Any) -> None:
    assert isinstance(description_of(document), str)
    described_elsewhere(document)


def test_what_is_nested_without_end_says_nothing() -> None:
    document: dict[str, Any] = {}
    for _ in range(12):
        document = {"history": [{"v1Compatibility": json.dumps(document)}]}
    assert description_of(document) == ""
