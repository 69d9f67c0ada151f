"""The header that tells a registry which certificate a client has shown to the proxy."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.http.certificate_header import (
    HEADER,
    MAX_HEADER,
    WrongSeal,
    asked_for,
    derive_key,
    seal,
    unseal,
)
from proxy.headers import request_headers

KEY = derive_key("as in config.yml")
ASKED = asked_for("v2", "GET", "/v2/x/tags/list?n=5")
ALICE = {
    "subject": ((("organizationName", "Acme"),), (("commonName", "alice"), ("userId", "a"))),
    "issuer": ((("commonName", "clients"),),),
    "serialNumber": "05",
    "notAfter": "Jun  1 12:00:00 2030 GMT",
    "subjectAltName": (("DNS", "a.example"), ("email", "zoë@example.org")),
}
TOLD = {name: ALICE[name] for name in ("subject", "subjectAltName", "notAfter")}


def test_what_is_sealed_is_read_again() -> None:
    value = seal(ALICE, KEY, asked=ASKED, now=1000.9)
    assert value.isascii()
    for now in (941, 1000, 1060):
        assert unseal(value, KEY, asked=ASKED, now=now) == TOLD
    bare = seal({"notAfter": "x"}, KEY, asked=ASKED, now=0)
    assert unseal(bare, KEY, asked=ASKED, now=0) == {"subject": (), "subjectAltName": (), "notAfter": "x"}


@pytest.mark.parametrize(
    ("key", "asked", "now"),
    [
        (derive_key("another"), ASKED, 1000),
        (derive_key(""), ASKED, 1000),
        (KEY, asked_for("v1", "GET", "/v2/x/tags/list?n=5"), 1000),
        (KEY, asked_for("v2", "PUT", "/v2/x/tags/list?n=5"), 1000),
        (KEY, asked_for("v2", "GET", "/v2/x/tags/list?n=6"), 1000),
        (KEY, ASKED, 939),
        (KEY, ASKED, 1061),
    ],
)
def test_it_is_good_for_one_registry_one_request_and_a_minute(key: bytes, asked: str, now: float) -> None:
    value = seal(ALICE, KEY, asked=ASKED, now=1000)
    with pytest.raises(WrongSeal):
        unseal(value, key, asked=asked, now=now)


@given(st.integers(min_value=0), st.characters(max_codepoint=126, min_codepoint=33))
def test_one_character_changed_is_no_longer_believed(at: int, other: str) -> None:
    value = seal(ALICE, KEY, asked=ASKED, now=1000)
    at %= len(value)
    changed = value[:at] + other + value[at + 1 :]
    if changed != value:
        with pytest.raises(WrongSeal):
            unseal(changed, KEY, asked=ASKED, now=1000)


@pytest.mark.parametrize("value", ["", ".", "x", "é.é", "x.\udcff", "." * 20000])
def test_what_is_no_seal_is_not_believed(value: str) -> None:
    with pytest.raises(WrongSeal):
        unseal(value, KEY, asked=ASKED, now=1000)


def test_more_names_than_a_header_holds_are_not_sealed() -> None:
    names = tuple(("DNS", f"host-{number}.example.org") for number in range(1000))
    with pytest.raises(ValueError, match=f"more than {MAX_HEADER} characters"):
        seal({**ALICE, "subjectAltName": names}, KEY, asked=ASKED, now=0)


@pytest.mark.parametrize("trusted", [False, True])
def test_a_clients_own_header_never_passes_the_proxy(trusted: bool) -> None:  # noqa: FBT001 - both
    said = [(HEADER, "x"), (HEADER.lower(), "y"), ("Accept", "z")]
    passed = request_headers(said, peer="192.0.2.1", scheme="https", trusted=trusted)
    assert HEADER.lower() not in {name.lower() for name, _ in passed}
    assert ("Accept", "z") in passed
