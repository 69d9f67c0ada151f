"""Which proxy an endpoint is reached by: Go's rules, by table."""

from __future__ import annotations

import pytest

from backends.notify.environment_proxy import find_proxy, is_bypassed

PROXY = "http://proxy.example:3128"


@pytest.mark.parametrize(
    ("no_proxy", "host", "port", "expected"),
    [
        ("", "hooks.example", 80, False),
        ("*", "hooks.example", 80, True),
        (" , *", "hooks.example", 80, True),
        ("hooks.example", "hooks.example", 80, True),
        ("Hooks.Example", "hooks.example", 80, True),
        ("hooks.example", "in.hooks.example", 80, True),
        ("hooks.example", "otherhooks.example", 80, False),
        (".example", "hooks.example", 80, True),
        (".hooks.example", "hooks.example", 80, False),
        ("*.example", "hooks.example", 80, True),
        ("*.hooks.example", "hooks.example", 80, False),
        ("hooks.example:8080", "hooks.example", 8080, True),
        ("hooks.example:8080", "hooks.example", 80, False),
        (":80", "hooks.example", 80, False),
        ("a,b, hooks.example", "hooks.example", 80, True),
        ("10.0.0.0/8", "10.1.2.3", 80, True),
        ("10.0.0.1/8", "10.1.2.3", 80, True),
        ("10.0.0.0/8", "11.1.2.3", 80, False),
        ("10.0.0.0/8", "hooks.example", 80, False),
        ("10.0.0.0/88", "10.1.2.3", 80, False),
        ("10.1.2.3", "10.1.2.3", 80, True),
        ("10.1.2.3:80", "10.1.2.3", 80, True),
        ("10.1.2.3:81", "10.1.2.3", 80, False),
        ("fd00::/8", "fd00::7", 443, True),
        ("fd00::7", "fd00::7", 443, True),
        ("[fd00::7]", "fd00::7", 443, True),
        ("[fd00::7]:443", "fd00::7", 443, True),
        ("[fd00::7]:444", "fd00::7", 443, False),
        ("", "localhost", 80, True),
        ("", "127.9.9.9", 80, True),
        ("", "::1", 80, True),
    ],
)
def test_what_is_reached_without_a_proxy(no_proxy: str, host: str, port: int, *, expected: bool) -> None:
    assert is_bypassed(host, port, no_proxy) is expected


@pytest.mark.parametrize(
    ("url", "environment", "expected"),
    [
        ("http://hooks.example/", {}, None),
        ("http://hooks.example/", {"HTTP_PROXY": PROXY}, PROXY),
        ("http://hooks.example/", {"http_proxy": PROXY}, PROXY),
        ("http://hooks.example/", {"http_proxy": "http://other:1", "HTTP_PROXY": PROXY}, PROXY),
        ("http://hooks.example/", {"HTTPS_PROXY": PROXY}, None),
        ("https://hooks.example/", {"HTTPS_PROXY": "proxy.example:3128"}, PROXY),
        ("https://hooks.example/", {"HTTPS_PROXY": PROXY, "no_proxy": "hooks.example:443"}, None),
        ("https://hooks.example:444/", {"HTTPS_PROXY": PROXY, "no_proxy": "hooks.example:443"}, PROXY),
        ("https://[fd00::7]/", {"HTTPS_PROXY": PROXY, "NO_PROXY": "fd00::/8"}, None),
    ],
)
def test_which_proxy_is_used(url: str, environment: dict[str, str], expected: str | None) -> None:
    found = find_proxy(url, environment)
    assert (None if found is None else str(found)) == expected


@pytest.mark.parametrize("value", ["http://[bad", "socks5://proxy:1080", "ftp://proxy", "http://:1", "://x"])
def test_a_proxy_that_cannot_be_used_is_a_mistake(value: str) -> None:
    with pytest.raises(ValueError, match="HTTP_PROXY does not name a proxy that can be used"):
        find_proxy("http://hooks.example/", {"HTTP_PROXY": value})
