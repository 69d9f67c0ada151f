"""What a listing says of a referrer, and how a stored entry is read back."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.model.digest import Digest
from backends.model.manifests import Index, OciManifest, parse_manifest
from backends.model.media_types import MANIFEST_LIST, OCI_INDEX, OCI_MANIFEST, SCHEMA2
from backends.model.referrers import artifact_type_of, describe_referrer, subject_of
from tests.support.serving_here import describe, make_manifest

SUBJECT = describe(b"a subject", OCI_MANIFEST)
CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"


def make_index(media_type: str = OCI_INDEX, **more: Any) -> bytes:
    return json.dumps({"schemaVersion": 2, "mediaType": media_type, "manifests": [], **more}).encode()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (make_manifest(b"c", subject=SUBJECT), {"mediaType": OCI_MANIFEST, "artifactType": CONFIG_TYPE}),
        (
            make_manifest(b"c", subject=SUBJECT, artifactType="a/b", annotations={"é": "\U0001f600", "": ""}),
            {"mediaType": OCI_MANIFEST, "artifactType": "a/b", "annotations": {"é": "\U0001f600", "": ""}},
        ),
        (
            make_manifest(b"c", subject=SUBJECT, annotations={}),
            {"mediaType": OCI_MANIFEST, "artifactType": CONFIG_TYPE},
        ),
        (make_index(subject=SUBJECT), {"mediaType": OCI_INDEX}),
        (make_index(subject=SUBJECT, artifactType="a/b"), {"mediaType": OCI_INDEX, "artifactType": "a/b"}),
        (make_index(MANIFEST_LIST, subject=SUBJECT), {"mediaType": MANIFEST_LIST}),
    ],
)
def test_a_descriptor_has_the_referrers_type_kind_and_annotations(content: bytes, said: dict[str, Any]) -> None:
    manifest, digest = parse_manifest(content, ""), Digest.of(content)
    assert isinstance(manifest, OciManifest | Index)
    subject = subject_of(manifest)
    assert subject is not None
    assert str(subject.digest) == SUBJECT["digest"]
    described = describe_referrer(manifest, digest)
    assert json.loads(described) == {"digest": str(digest), "size": len(content), **said}
    assert artifact_type_of(described, digest) == said.get("artifactType", "")


@pytest.mark.parametrize(
    "content", [make_manifest(b"c"), make_index(), make_manifest(b"c", media_type=SCHEMA2, subject=SUBJECT)]
)
def test_others_are_not_referrers(content: bytes) -> None:
    assert subject_of(parse_manifest(content, "")) is None


@given(st.dictionaries(st.text(), st.text()), st.text(min_size=1))
def test_what_is_written_is_read_back(annotations: dict[str, str], artifact_type: str) -> None:
    content = make_manifest(b"c", subject=SUBJECT, artifactType=artifact_type, annotations=annotations)
    manifest, digest = parse_manifest(content, ""), Digest.of(content)
    assert isinstance(manifest, OciManifest)
    described = describe_referrer(manifest, digest)
    assert artifact_type_of(described, digest) == artifact_type
    assert json.loads(described).get("annotations", {}) == annotations


DIGEST = Digest.of(b"x")


@pytest.mark.parametrize(
    "entry",
    [b"", b"{", b"[]", b"null", b"\xff", b"{}", b'{"digest": "sha256:00"}', b"[" * 100_000,
     json.dumps({"digest": str(DIGEST), "artifactType": 3}).encode()],
)  # fmt: skip
def test_a_damaged_entry_is_noticed(entry: bytes) -> None:
    with pytest.raises(ValueError):
        artifact_type_of(entry, DIGEST)
