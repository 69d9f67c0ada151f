"""What goes to another machine over plain HTTP can be read on the way; passwords need leave for that."""

from __future__ import annotations

import pytest

from portside.settings.exposure import is_exposed
from portside.settings.loading import Role
from tests.support.settings_files import Load, mistakes_of

ADDRESSES = {
    "": False,
    "unix:/run/v2.sock": False,
    "https://registry.example": False,
    "http://localhost:5000": False,
    "http://127.0.0.1": False,
    "http://[::1]:5000/x": False,
    "http://registry.example": True,
    "HTTP://registry.example": True,
    "http://192.0.2.1:5000": True,
    "http://localhost.example": True,
    "http://[registry": True,
}


@pytest.mark.parametrize("address", ADDRESSES)
def test_an_address_can_be_listened_to_or_not(address: str) -> None:
    assert is_exposed(address) is ADDRESSES[address]


@pytest.mark.parametrize("scheme", ["http", "HTTP"])
def test_no_password_goes_to_a_token_server_over_plain_http_unless_somebody_says_so(load: Load, scheme: str) -> None:
    own = f"{{user: u, passwordfile: p, service: s, realm: '{scheme}://auth.example/token'}}"
    behind = f"{{upstream: 'https://r', credentials: {own}}}"
    text = f"gateway: {{auth: {{htpasswd: {{realm: r, path: h}}}}, v2: {behind}}}"
    (mistake,) = mistakes_of(load, Role.PROXY, text)
    assert "over plain http" in mistake
