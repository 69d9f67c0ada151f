"""Which headers pass the proxy, and what becomes of them."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.headers import (
    HOP_BY_HOP,
    Addresses,
    Header,
    request_headers,
    response_headers,
    rewrite_endpoints,
    rewrite_link,
    rewrite_location,
)

CLIENT = "https://registry.example:5000"
HOST = "registry.example:5000"
UPSTREAM = "http://10.0.0.7:5001"
ADDRESSES = Addresses(f"{UPSTREAM}/v2/a/blobs/uploads/?x=y", HOST, CLIENT, HOST)
BEHIND_ANOTHER = Addresses(f"{UPSTREAM}/v2/a/blobs/uploads/", "inner:80", CLIENT, "inner:80")


def _none() -> Addresses:
    raise AssertionError("no header holds an address")


def _sent(*headers: Header, trusted: bool = False, peer: str = "192.0.2.9", scheme: str = "https") -> list[Header]:
    return request_headers(headers, peer=peer, scheme=scheme, trusted=trusted)


@pytest.mark.parametrize("name", sorted(HOP_BY_HOP | {"expect"}))
def test_what_belongs_to_one_connection_ends_here(name: str) -> None:
    assert name not in {key.lower() for key, _ in _sent((name.title(), "x"))}
    if name != "expect":
        assert response_headers([(name.upper(), "x")], _none) == []


def test_what_connection_names_ends_here_too_but_not_what_frames_the_message() -> None:
    headers = [("Connection", "close, X-One"), ("connection", "x-two , Host, Content-Length"), ("X-One", "1"),
               ("x-TWO", "2"), ("Host", "h"), ("Content-Length", "3"), ("X-Three", "3")]  # fmt: skip
    assert _sent(*headers)[:3] == [("Host", "h"), ("Content-Length", "3"), ("X-Three", "3")]
    assert response_headers(headers, _none) == headers[4:]


def test_a_stranger_is_not_believed() -> None:
    lies = [("X-Forwarded-For", "10.0.0.1"), ("X-Real-IP", "10.0.0.1"), ("X-Forwarded-Proto", "http"),
            ("Forwarded", "for=10.0.0.1"), ("X-Forwarded-Host", "evil.example"), ("X-Forwarded-Port", "1")]  # fmt: skip
    assert _sent(*lies) == [
        ("X-Real-IP", "192.0.2.9"),
        ("X-Forwarded-For", "192.0.2.9"),
        ("X-Forwarded-Proto", "https"),
    ]


def test_a_trusted_peer_is_believed_and_added_to() -> None:
    said = [("x-forwarded-for", "198.51.100.1"), ("X-Forwarded-For", "203.0.113.5"), ("X-Real-Ip", "198.51.100.1"),
            ("X-Forwarded-Host", "evil.example")]  # fmt: skip
    assert _sent(*said, trusted=True) == [
        ("X-Real-IP", "198.51.100.1"),
        ("X-Forwarded-For", "198.51.100.1, 203.0.113.5, 192.0.2.9"),
        ("X-Forwarded-Proto", "https"),
    ]


def test_a_trusted_peer_that_says_nothing_is_the_client() -> None:
    assert _sent(trusted=True, scheme="http") == [
        ("X-Real-IP", "192.0.2.9"),
        ("X-Forwarded-For", "192.0.2.9"),
        ("X-Forwarded-Proto", "http"),
    ]


def test_a_unix_socket_has_no_address_to_add() -> None:
    assert _sent(trusted=True, peer="", scheme="http") == [("X-Forwarded-Proto", "http")]
    assert _sent(("X-Forwarded-For", "198.51.100.1"), trusted=True, peer="")[:2] == [
        ("X-Real-IP", "198.51.100.1"),
        ("X-Forwarded-For", "198.51.100.1"),
    ]


def test_a_trusted_peer_that_names_nobody_in_x_real_ip_does_so_in_its_chain() -> None:
    """HAProxy's `option forwardfor` sends X-Forwarded-For alone."""
    assert _sent(("X-Forwarded-For", "10.9.9.9, 203.0.113.5"), trusted=True)[:2] == [
        ("X-Real-IP", "203.0.113.5"),
        ("X-Forwarded-For", "10.9.9.9, 203.0.113.5, 192.0.2.9"),
    ]


def test_credentials_are_left_out_when_the_guide_says_so() -> None:
    headers = [("authorization", "Basic Og=="), ("Cookie", "session=a.b")]
    kept = request_headers(headers, peer="p", scheme="http", trusted=False, drop_authorization=True)
    assert kept[0] == ("Cookie", "session=a.b")
    assert _sent(*headers)[:2] == headers


def test_everything_else_passes_in_order_and_as_often_as_it_came() -> None:
    headers = [("Host", "localhost:5000"), ("ACCEPT", "a/b"), ("accept", "c/d"), ("Content-Type", ""),
               ("X-Docker-Token", "true"), ("Cookie", "a=b")]  # fmt: skip
    assert _sent(*headers)[: len(headers)] == headers
    answers = [("Set-Cookie", "a=1"), ("Set-Cookie", "b=2"), ("WWW-Authenticate", "Basic"), ("www-authenticate", "X"),
               ("Warning", "299 - x"), ("Warning", "299 - y"), ("Link", "</v2/x>; rel=next")]  # fmt: skip
    assert response_headers(answers, lambda: ADDRESSES) == answers


@pytest.mark.parametrize(
    ("location", "passed"),
    [
        ("http://10.0.0.7:5001/v2/a/blobs/uploads/x?_state=%2b", f"{CLIENT}/v2/a/blobs/uploads/x?_state=%2b"),
        ("http://10.0.0.7:5001", CLIENT),
        ("http://10.0.0.7:5001?x", f"{CLIENT}?x"),
        ("HTTP://10.0.0.7:5001/x", f"{CLIENT}/x"),
        ("http://registry.example:5000/v2/x", f"{CLIENT}/v2/x"),
        ("https://Registry.Example:5000/v2/x", f"{CLIENT}/v2/x"),
        ("/v2/a/blobs/uploads/x", "/v2/a/blobs/uploads/x"),
        ("https://registry.example:5000", CLIENT),
        ("uploads/1", f"{CLIENT}/v2/a/blobs/uploads/uploads/1"),
        ("1?_state=%2b", f"{CLIENT}/v2/a/blobs/uploads/1?_state=%2b"),
        ("../sha256:ab", f"{CLIENT}/v2/a/blobs/sha256:ab"),
        ("./1", f"{CLIENT}/v2/a/blobs/uploads/1"),
        ("?digest=x", f"{CLIENT}/v2/a/blobs/uploads/?digest=x"),
        ("//10.0.0.7:5001/x", f"{CLIENT}/x"),
        ("//Registry.Example:5000/x?y", f"{CLIENT}/x?y"),
        ("//cdn.example/x", "http://cdn.example/x"),
        ("//[::1", "//[::1"),
        ("http://u@10.0.0.7:5001/x", "http://u@10.0.0.7:5001/x"),
        ("http://10.0.0.7:5001.evil.example/x", "http://10.0.0.7:5001.evil.example/x"),
        ("mailto:x@y", "mailto:x@y"),
        ("https://10.0.0.7:5001/x", "https://10.0.0.7:5001/x"),
        ("http://10.0.0.7:50010/x", "http://10.0.0.7:50010/x"),
        ("http://10.0.0.7/x", "http://10.0.0.7/x"),
        ("https://bucket.s3.amazonaws.com/a?X-Amz-Signature=x%2Fy", "https://bucket.s3.amazonaws.com/a?X-Amz-Signature=x%2Fy"),
        ("ftp://10.0.0.7:5001/x", "ftp://10.0.0.7:5001/x"),
        ("", ""),
    ],
)  # fmt: skip
def test_a_location_names_the_address_that_the_client_used(location: str, passed: str) -> None:
    assert response_headers([("location", location)], lambda: ADDRESSES) == [("location", passed)]


@pytest.mark.parametrize(
    ("location", "passed"),
    [
        ("http://10.0.0.7:5001/v2/x?y", "/v2/x?y"),
        ("http://10.0.0.7:5001?x", "/?x"),
        ("https://registry.example:5000", "/"),
        ("uploads/1", "/v2/a/blobs/uploads/uploads/1"),
        ("/v2/x", "/v2/x"),
        ("https://bucket.example/x", "https://bucket.example/x"),
    ],
)
def test_a_location_is_rooted_where_the_settings_say_so(location: str, passed: str) -> None:
    assert rewrite_location(location, replace(ADDRESSES, rooted=True)) == passed


def test_a_registry_that_was_asked_by_another_name_is_known_by_it_too() -> None:
    """Another proxy in front sends its own name in `Host` and the client's in `X-Forwarded-Host`."""
    for location in ("http://inner/v2/x", "http://inner:80/v2/x", f"{CLIENT}/v2/x", "http://10.0.0.7:5001/v2/x"):
        assert rewrite_location(location, BEHIND_ANOTHER) == f"{CLIENT}/v2/x"
    assert rewrite_location("https://inner/v2/x", BEHIND_ANOTHER) == "https://inner/v2/x"  # 443 is another port


def test_a_default_port_may_be_written_or_not() -> None:
    for upstream in ("http://registry", "http://registry:80"):
        for location in ("http://registry/x", "http://registry:80/x"):
            assert rewrite_location(location, replace(ADDRESSES, asked=upstream + "/v2/")) == f"{CLIENT}/x"
    foreign = "https://registry:80/x"
    assert rewrite_location(foreign, replace(ADDRESSES, asked="http://registry/v2/")) == foreign


HIDDEN = replace(ADDRESSES, asked=f"{UPSTREAM}/below/v2/a/blobs/uploads/", hidden="/below")


@pytest.mark.parametrize(
    ("location", "passed"),
    [
        (f"{UPSTREAM}/below/v2/x?y", f"{CLIENT}/v2/x?y"),
        (f"{CLIENT}/below/v2/x", f"{CLIENT}/v2/x"),
        ("/below/v2/x", "/v2/x"),
        ("1?x", f"{CLIENT}/v2/a/blobs/uploads/1?x"),
        ("/belowv2/x", "/belowv2/x"),
        ("/other/v2/x", "/other/v2/x"),
        (f"{UPSTREAM}/below", f"{CLIENT}/below"),
        ("https://cdn.example/below/v2/x", "https://cdn.example/below/v2/x"),
    ],
)
def test_a_path_that_clients_do_not_know_is_left_out(location: str, passed: str) -> None:
    assert rewrite_location(location, HIDDEN) == passed


def test_it_is_left_out_of_links_too() -> None:
    link = f'</below/v2/_catalog?n=1>; rel="next", <_catalog?n=1>; title="</below/v2/>", <{UPSTREAM}/below/v2/x>'
    passed = '</v2/_catalog?n=1>; rel="next", </v2/a/blobs/uploads/_catalog?n=1>; title="</below/v2/>", </v2/x>'
    assert rewrite_link(link, HIDDEN) == passed


LISTING = replace(ADDRESSES, asked=f"{UPSTREAM}/v2/a/tags/list?n=2")


@pytest.mark.parametrize(
    ("link", "passed"),
    [
        ('</v2/a/tags/list?last=b&n=2>; rel="next"', '</v2/a/tags/list?last=b&n=2>; rel="next"'),
        ('<list?last=b>; rel="next"', '</v2/a/tags/list?last=b>; rel="next"'),
        ('<?last=b>; rel="next"', '</v2/a/tags/list?last=b>; rel="next"'),
        ("<?last=%2B&n=2>;rel=next", "</v2/a/tags/list?last=%2B&n=2>;rel=next"),
        ("<http://10.0.0.7:5001/v2/a/tags/list?last=b>; rel=next", "</v2/a/tags/list?last=b>; rel=next"),
        ("<//10.0.0.7:5001/v2/_catalog?last=b>; rel=next", "</v2/_catalog?last=b>; rel=next"),
        ("<http://registry.example:5000/v2/x>; rel=next", "</v2/x>; rel=next"),
        (f"<{CLIENT}/v2/x>", "</v2/x>"),
        (f"<{UPSTREAM}>", "</>"),
        ("<../../b/tags/list>", "</v2/b/tags/list>"),
        ("<https://docs.example/x>; rel=help", "<https://docs.example/x>; rel=help"),
        (
            '<list?last=b>; rel="next"; title="<not one>", <https://docs.example/>; rel=help, <?x>',
            '</v2/a/tags/list?last=b>; rel="next"; title="<not one>",'  # noqa: ISC004 - one value
            " <https://docs.example/>; rel=help, </v2/a/tags/list?x>",
        ),
        ('<list?last=b>; title="a\\"<x>"', '</v2/a/tags/list?last=b>; title="a\\"<x>"'),
        ("<//[::1>", "<//[::1>"),
        ("<list", "<list"),
        ("", ""),
    ],
)  # fmt: skip
def test_a_link_is_rooted_wherever_the_registry_writes_it(link: str, passed: str) -> None:
    assert rewrite_link(link, LISTING) == passed
    assert response_headers([("LINK", link)], lambda: LISTING) == [("LINK", passed)]


@pytest.mark.parametrize(
    ("endpoints", "passed"),
    [
        ("10.0.0.7:5001", "registry.example:5000"),
        ("registry.example:5000", "registry.example:5000"),
        ("cdn.example, 10.0.0.7:5001", "cdn.example, registry.example:5000"),
        ("10.0.0.70:5001", "10.0.0.70:5001"),
    ],
)
def test_endpoints_name_the_proxy(endpoints: str, passed: str) -> None:
    assert rewrite_endpoints(endpoints, ADDRESSES) == passed


_text = st.text(st.characters(codec="utf-8"), max_size=40)


@given(st.lists(st.tuples(_text, _text), max_size=8), st.booleans())
def test_no_header_is_too_strange(headers: list[Header], trusted: bool) -> None:  # noqa: FBT001 - drawn
    request_headers(headers, peer="p", scheme="http", trusted=trusted)
    named = [(name, value) for _, value in headers for name in ("Location", "Link", "X-Docker-Endpoints")]
    for name, value in response_headers([*headers, *named], lambda: ADDRESSES):
        if name == "Location" and UPSTREAM in value:
            assert not value.startswith(UPSTREAM)
