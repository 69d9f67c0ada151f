"""The kind of a certificate's key, as the library for certificates has it too."""

from __future__ import annotations

import contextlib
import subprocess
from base64 import b64encode
from pathlib import Path

import pytest
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st

from portside.tls.key_algorithms import key_algorithm
from tests.support.certificate import make_certificate

ARMOUR = b"-----BEGIN CERTIFICATE-----\n%s\n-----END CERTIFICATE-----\n"


@pytest.mark.parametrize("kind", ["ec -pkeyopt ec_paramgen_curve:P-384", "rsa:2048", "ed25519", "rsa-pss"])
def test_it_is_what_the_library_finds(tmp_path: Path, kind: str) -> None:
    certificate = tmp_path / "crt"
    command = (
        f"openssl req -x509 -newkey {kind} -nodes -days 3 -subj /CN=x -keyout {tmp_path / 'key'} -out {certificate}"
    )
    subprocess.run(command.split(), check=True, capture_output=True, timeout=60)
    expected = x509.load_pem_x509_certificate(certificate.read_bytes()).public_key_algorithm_oid.dotted_string
    first, *others = map(int, expected.split("."))
    encoded = bytes((40 * first + others[0],))
    for each in others[1:]:
        digits = [each & 0x7F]
        while each := each >> 7:
            digits.insert(0, each & 0x7F | 0x80)
        encoded += bytes(digits)
    assert key_algorithm(certificate.read_bytes()) == encoded


def test_of_a_chain_it_is_the_first_certificate_s(tmp_path: Path) -> None:
    chain = make_certificate(tmp_path).chain.read_bytes()
    assert key_algorithm(b"a remark\n" + chain) == bytes.fromhex("2a8648ce3d0201")


@given(st.one_of(st.binary(max_size=60), st.binary(max_size=60).map(lambda content: ARMOUR % b64encode(content))))
def test_what_is_none_is_an_error_and_nothing_worse(content: bytes) -> None:
    with contextlib.suppress(ValueError):
        key_algorithm(content)
