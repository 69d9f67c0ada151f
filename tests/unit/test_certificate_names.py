"""What `--name` and `gateway.names` may be, and what is left out of what people copy."""

from __future__ import annotations

import ipaddress

import pytest
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st

from portside.settings.loading import Role
from portside.tls.names import parse_certificate_name
from tests.support.settings_files import Load, mistakes_of

GOOD = [
    ("registry.example", "registry.example"),
    ("Registry.LAN", "registry.lan"),
    ("https://registry.example:5000/", "registry.example"),
    ("http://registry.example", "registry.example"),
    ("registry.example:5000", "registry.example"),
    (" registry.example ", "registry.example"),
    ("registry.example.", "registry.example"),
    ("registry", "registry"),
    ("registry_v2", "registry_v2"),
    ("*.example.com", "*.example.com"),
    ("bücher.example", "xn--bcher-kva.example"),
    ("192.0.2.7", "192.0.2.7"),
    ("192.0.2.7:5000", "192.0.2.7"),
    ("[::1]", "::1"),
    ("[::1]:5000", "::1"),
    ("https://[2001:DB8::0:1]:5000", "2001:db8::1"),
    ("0:0::1", "::1"),
    ("a" * 63 + ".test", "a" * 63 + ".test"),
]
BAD = [
    "",
    " ",
    "a b",
    "a.example,b.example",
    "a.example;b",
    "300.1.1.1",
    "10.0.0.0/8",
    "https://a.example/team/app",
    "user@a.example",
    "fe80::1%eth0/",
    "::g",
    "a..b",
    ".example",
    "-a.example",
    "a-.example",
    "*",
    "a.*.example",
    "a" * 64 + ".test",
    ".".join(["a" * 60] * 5),
    "a.example:port",
    "a.example\nb",
    "a\x00b",
    "5000",
]


@pytest.mark.parametrize(("text", "name"), GOOD)
def test_a_name_loses_what_was_copied_along(load: Load, text: str, name: str) -> None:
    assert parse_certificate_name(text) == name
    assert load(Role.SERVE, flags={"gateway.names": (text,)}).names == (name,)


@pytest.mark.parametrize("text", BAD)
def test_what_is_not_a_valid_name_is_refused_with_what_to_write(load: Load, text: str) -> None:
    with pytest.raises(ValueError, match="is not a valid DNS name or IP address: write one, such as") as caught:
        parse_certificate_name(text)
    assert str(caught.value).isprintable()
    (mistake,) = mistakes_of(load, Role.SERVE, flags={"gateway.names": ("good.example", text)})
    assert mistake.startswith("gateway.names.1: ")


@given(st.text(st.characters(codec=None), max_size=300))
def test_whatever_is_accepted_can_stand_in_a_certificate_and_is_its_own_name(text: str) -> None:
    try:
        name = parse_certificate_name(text)
    except ValueError:
        return
    assert parse_certificate_name(name) == name
    assert name.isascii()
    assert not set(name) & set(' /@[]"\\')
    try:
        x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        assert ":" not in name
        x509.DNSName(name)
