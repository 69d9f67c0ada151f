"""What proxies in front say of a request, and what is believed of it."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from backends.http.forwarded import client_ip, client_origin, is_authority
from tests.support.cpu_time import cpu_seconds


def _origin(headers: Mapping[str, str], *, scheme: str = "http", host: str = "127.0.0.1:5080") -> str:
    return client_origin(CIMultiDict(headers), scheme=scheme, host=host)


@pytest.mark.parametrize(
    ("headers", "origin"),
    [
        ({}, "http://127.0.0.1:5080"),
        ({"X-Forwarded-Proto": "https"}, "https://127.0.0.1:5080"),
        ({"x-forwarded-proto": "HTTPS"}, "https://127.0.0.1:5080"),
        ({"X-Forwarded-Proto": "https", "X-Forwarded-Host": "r.example"}, "https://r.example"),
        ({"X-Forwarded-Host": "r.example:5000"}, "http://r.example:5000"),
        ({"X-Forwarded-Host": "[2001:db8::1]:5000"}, "http://[2001:db8::1]:5000"),
        ({"X-Forwarded-Host": "R.Example"}, "http://R.Example"),
        # lists: the first value is the client's own
        ({"X-Forwarded-Proto": "https, http"}, "https://127.0.0.1:5080"),
        ({"X-Forwarded-Host": " r.example:5000 , inner:80"}, "http://r.example:5000"),
        ({"X-Forwarded-Host": "r.example", "X-Forwarded-Port": "5000,80"}, "http://r.example:5000"),
        # a port completes a host that has none, and is left out where it is the usual one
        ({"X-Forwarded-Host": "r.example:1", "X-Forwarded-Port": "5000"}, "http://r.example:1"),
        ({"X-Forwarded-Proto": "https", "X-Forwarded-Host": "r.example", "X-Forwarded-Port": "443"}, "https://r.example"),
        ({"X-Forwarded-Proto": "https", "X-Forwarded-Host": "r.example", "X-Forwarded-Port": "80"}, "https://r.example"),
        ({"X-Forwarded-Proto": "https", "X-Forwarded-Port": "8443"}, "https://127.0.0.1:5080"),
        ({"X-Forwarded-Host": "[2001:db8::1]", "X-Forwarded-Port": "5000"}, "http://[2001:db8::1]:5000"),
        # RFC 7239's own header goes first, value by value
        ({"Forwarded": "for=192.0.2.1;proto=https;host=r.example"}, "https://r.example"),
        ({"Forwarded": 'For="[2001:db8::1]:4711"; Proto=https; Host="r.example:5000"'}, "https://r.example:5000"),
        ({"Forwarded": "host=a.example;proto=https, host=b.example;proto=http"}, "https://a.example"),
        ({"Forwarded": "proto=https", "X-Forwarded-Proto": "http", "X-Forwarded-Host": "x.example"}, "https://x.example"),
        ({"Forwarded": "host=f.example", "X-Forwarded-Host": "x.example"}, "http://f.example"),
        ({"Forwarded": "host=f.example", "X-Forwarded-Port": "5000"}, "http://f.example"),
        ({"Forwarded": "for=192.0.2.1", "X-Forwarded-Proto": "https"}, "https://127.0.0.1:5080"),
        ({"Forwarded": "for=_hidden;by=203.0.113.43;proto=https"}, "https://127.0.0.1:5080"),
        ({"Forwarded": r'host="r\.example"'}, "http://r.example"),
        ({"Forwarded": "proto=http;proto=https"}, "http://127.0.0.1:5080"),
        ({"Forwarded": "secret=1;host=r.example:5000"}, "http://r.example:5000"),
    ],
)  # fmt: skip
def test_the_address_that_the_client_used(headers: Mapping[str, str], origin: str) -> None:
    assert _origin(headers) == origin


@pytest.mark.parametrize(
    ("headers", "origin"),
    [
        ({"X-Forwarded-Port": "8443"}, "https://r.example:8443"),
        ({"X-Forwarded-Port": "443"}, "https://r.example"),
    ],
)
def test_a_port_completes_the_host_of_a_proxy_that_drops_it(headers: Mapping[str, str], origin: str) -> None:
    assert _origin(headers, scheme="https", host="r.example") == origin


NOT_HOSTS = [
    "", " ", "r.example/x", "r.example?x", "r.example#x", "u@r.example", "r.example:x", "r.example:0",
    "r.example:65536", "r.example:1:2", "[::1", "::1", "[::1]x", "[not6]", "[fe80::1%25eth0]", "[::1%1]",
    "a b", "a\tb", "é.example", "\u0661.example", "-a.example", ".", "x" * 254, "a\\b", '"r.example"', "<r>",
    "r.example\x00", "%72.example", "javascript:alert(1)", "https://r.example",
]  # fmt: skip
NOT_SCHEMES = ["", " ", "javascript", "ftp", "https:", "https://", "htt", "wss", "\uff28TTPS", "https\x00", '"https"']


@pytest.mark.parametrize("value", NOT_HOSTS)
def test_what_is_not_a_host_is_passed_over(value: str) -> None:
    assert not is_authority(value)
    assert _origin({"X-Forwarded-Host": value}) == "http://127.0.0.1:5080"
    quoted = value.replace("\\", "\\\\")
    assert _origin({"Forwarded": f'host="{quoted}"', "X-Forwarded-Host": "x.example"}).endswith("x.example")


@pytest.mark.parametrize("value", NOT_SCHEMES)
def test_what_is_not_a_scheme_is_passed_over(value: str) -> None:
    assert _origin({"X-Forwarded-Proto": value}) == "http://127.0.0.1:5080"
    assert _origin({"Forwarded": f'proto="{value}"', "X-Forwarded-Proto": "https"}).startswith("https://")


@pytest.mark.parametrize("value", ["", "x", "-1", "0", "65536", "5000x", "99999999", "5 000", "\u0665"])
def test_what_is_not_a_port_is_passed_over(value: str) -> None:
    assert _origin({"X-Forwarded-Host": "r.example", "X-Forwarded-Port": value}) == "http://r.example"


@pytest.mark.parametrize(
    "text",
    ["r", "r.example", "r_1.example", "r.", "192.0.2.1", "[::1]", "a:1", "[2001:db8::1]:443", "r:", "[::1]:"],
)  # fmt: skip
def test_hosts(text: str) -> None:
    assert is_authority(text)


@pytest.mark.parametrize(
    "line", ["=", ";", ",", "host", "host=;", 'host="', 'host="\\', 'host="a" b', "host=a=b", "\x00"]
)
def test_a_forwarded_header_that_cannot_be_read_says_nothing(line: str) -> None:
    assert _origin({"Forwarded": line}) == "http://127.0.0.1:5080"


@pytest.mark.parametrize(
    ("real", "chain", "ip"),
    [
        (None, [], ""),
        ("198.51.100.1", [], "198.51.100.1"),
        ("198.51.100.1", ["203.0.113.5"], "198.51.100.1"),
        (None, ["203.0.113.5"], "203.0.113.5"),
        (None, ["10.9.9.9, 203.0.113.5"], "203.0.113.5"),  # the client can write what stands before
        (None, ["10.9.9.9", "198.51.100.7, 203.0.113.5"], "203.0.113.5"),
        ("", ["203.0.113.5"], "203.0.113.5"),
        ("a b\tc", [], "a_b\tc"),
        ("x" * 1000, [], "x" * 64),
    ],
)
def test_whom_a_trusted_peer_forwards_for(real: str | None, chain: list[str], ip: str) -> None:
    assert client_ip(real, chain) == ip


_NAMES = st.sampled_from(["Forwarded", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Forwarded-Port"])
_VALUES = st.one_of(
    st.text(max_size=60),
    st.text(alphabet='hostpr=;:,."\\[]0123456789 ', max_size=60),
    st.sampled_from(["https", "r.example", "5000"]),
)


@given(st.dictionaries(_NAMES, _VALUES, max_size=4))
def test_whatever_is_said_the_address_is_one(headers: dict[str, str]) -> None:
    scheme, _, authority = _origin(headers).partition("://")
    assert scheme in {"http", "https"}
    assert is_authority(authority)


@pytest.mark.parametrize("unit", ['"', "a=b;", 'a="', "\\", 'host="\\"', ",", "a"])
def test_a_long_header_takes_linear_time(unit: str) -> None:
    line = (unit * 65536)[:65536]
    names = ("Forwarded", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Port")
    assert cpu_seconds(lambda: [_origin({name: line}) for name in names]) < 0.1
