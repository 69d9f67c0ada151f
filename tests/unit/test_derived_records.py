"""What is kept of derived manifests: what is damaged is known as such, whatever it is."""

from __future__ import annotations

import pytest

from backends.model.conversion.derived import Member, Record
from backends.model.digest import Digest
from backends.model.media_types import OCI_MANIFEST, SCHEMA2
from backends.model.names import ImageId

RECORD = Record(SCHEMA2, 5, OCI_MANIFEST, "oci-to-schema2", Digest.of(b""))
MEMBER = Member(5, ImageId("a" * 64))


def test_they_are_read_as_they_were_written() -> None:
    assert Record.decode(RECORD.encode()) == RECORD
    assert Member.decode(MEMBER.encode()) == MEMBER


@pytest.mark.parametrize("size", [b"1e999", b"null", b"[]", b'"x"', b"NaN", b"{}"])
def test_a_size_that_is_none_is_damage(size: bytes) -> None:
    for kind, encoded in ((Record, RECORD.encode()), (Member, MEMBER.encode())):
        with pytest.raises(ValueError, match=r"."):
            kind.decode(encoded.replace(b'"size":5', b'"size":' + size))


@pytest.mark.parametrize("content", [b"", b"\xff", b"null", b"[]", b"{}", b"{", b"7" * 5000])
def test_what_is_something_else_is_damage(content: bytes) -> None:
    for kind in (Record, Member):
        with pytest.raises(ValueError, match=r"."):
            kind.decode(content)
