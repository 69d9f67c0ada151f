"""What comes back from others counts only as it was sealed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.model import media_types
from backends.model.digest import Digest
from backends.model.facts import MAX_SEALED, SEAL_BYTES, ManifestFacts, seal, unseal

KEY, DIGEST = b"k" * 32, Digest.of(b"content")
manifest_facts = st.builds(
    ManifestFacts, st.sampled_from(sorted(media_types.MANIFESTS)), st.integers(min_value=0, max_value=2**63 - 1)
)


@given(manifest_facts)
def test_a_fact_comes_back_as_it_was_sealed(fact: ManifestFacts) -> None:
    sealed = seal(KEY, DIGEST, fact)
    assert len(sealed) <= MAX_SEALED
    assert unseal(KEY, DIGEST, ManifestFacts, sealed) == fact


@given(manifest_facts, st.data())
def test_a_changed_one_does_not(fact: ManifestFacts, data: st.DataObject) -> None:
    sealed = bytearray(seal(KEY, DIGEST, fact))
    position = data.draw(st.integers(0, len(sealed) - 1))
    sealed[position] ^= data.draw(st.integers(1, 255))
    assert unseal(KEY, DIGEST, ManifestFacts, bytes(sealed)) is None


@given(st.binary(max_size=2 * MAX_SEALED))
def test_noise_is_nothing(noise: bytes) -> None:
    assert unseal(KEY, DIGEST, ManifestFacts, noise) is None


def test_a_fact_of_another_digest_registry_or_size_is_nothing() -> None:
    sealed = seal(KEY, DIGEST, ManifestFacts(media_types.OCI_INDEX, 7))
    assert unseal(KEY, Digest.of(b"other"), ManifestFacts, sealed) is None
    assert unseal(b"o" * 32, DIGEST, ManifestFacts, sealed) is None
    assert unseal(KEY, DIGEST, ManifestFacts, sealed + b" ") is None
    assert unseal(KEY, DIGEST, ManifestFacts, sealed[:SEAL_BYTES]) is None


@pytest.mark.parametrize(
    "encoded",
    [
        b"",
        b" 7",
        b"text/html 7",
        b"application/vnd.oci.image.index.v1+json",
        b"application/vnd.oci.image.index.v1+json -7",
        b"application/vnd.oci.image.index.v1+json 7 7",
        b"application/vnd.oci.image.index.v1+json " + b"9" * 400,
        "application/vnd.oci.image.index.v1+json \uff17".encode(),
        b"\xff 7",
    ],
)
def test_what_is_not_a_fact_about_a_manifest_is_refused(encoded: bytes) -> None:
    with pytest.raises(ValueError):
        ManifestFacts.decode(encoded)
