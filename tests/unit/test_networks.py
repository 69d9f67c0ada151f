"""Which clients are counted as one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.model.networks import client_of


@pytest.mark.parametrize(
    ("address", "client"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::1", "::/64"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("192.0.2.7:50123", "192.0.2.7"),
        ("[2001:db8:1:2:3:4:5:6]:50123", "2001:db8:1:2::/64"),
        ("[2001:db8:1:2::9]", "2001:db8:1:2::/64"),
        ("unix", "unix"),
        ("a_name:7", "a_name:7"),
        ("a:b:c", "a:b:c"),
        ("", ""),
    ],
)
def test_an_address_counts_by_its_network(address: str, client: str) -> None:
    assert client_of(address) == client


@given(st.text(max_size=64))
def test_what_a_proxy_names_is_never_a_mistake(text: str) -> None:
    assert isinstance(client_of(text), str)


@given(st.ip_addresses(v=6), st.integers(1, 65535))
def test_a_port_makes_no_other_client(address: object, port: int) -> None:
    assert client_of(f"[{address}]:{port}") == client_of(str(address))
