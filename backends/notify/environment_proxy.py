"""Which proxy the environment names for an address, by the rules that distribution has from Go. PURE.

`HTTP_PROXY`, `HTTPS_PROXY`, `NO_PROXY`, each also in small letters. Never for this machine. Source: `httpproxy` in
golang.org/x/net. The library's own rules take no network and no port in `NO_PROXY`, and events that belong into a
cluster would be sent out of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from urllib.parse import urlsplit

from yarl import URL

_PORTS = {"http": 80, "https": 443}
_USED = frozenset({"http", "https"})

Address = IPv4Address | IPv6Address


def find_proxy(url: str, environment: Mapping[str, str]) -> URL | None:
    """Returns the proxy for a URL; None where it is to be reached without one.

    Raises:
        ValueError: there is one that cannot be used; the text says which variable, and why.
    """
    parsed = urlsplit(url)
    host, port = (parsed.hostname or "").lower(), parsed.port or _PORTS[parsed.scheme]
    name, value = _variable(f"{parsed.scheme}_proxy", environment)
    if not value or is_bypassed(host, port, _variable("no_proxy", environment)[1]):
        return None
    proxy = _parse(value)
    if proxy is None:
        raise ValueError(f"{name} does not name a proxy that can be used: write it like http://proxy.example:3128")
    return proxy


def is_bypassed(host: str, port: int, no_proxy: str) -> bool:
    """Whether a host is reached without a proxy.

    Args:
        host: a name in small letters, or an address.
        port: of the host.
        no_proxy: names, which stand for what is below them too (`.example` for that alone), addresses, networks, each
            but a network with a port or without, or `*` for all, with commas between them.
    """
    address = _address(host)
    if host == "localhost" or (address is not None and address.is_loopback):
        return True
    return any(_matches(entry.strip().lower(), host, address, port) for entry in no_proxy.split(","))


def _matches(entry: str, host: str, address: Address | None, port: int) -> bool:
    if entry in {"", "*"}:
        return bool(entry)
    if "/" in entry:
        try:
            return address is not None and address in ip_network(entry, strict=False)
        except ValueError:
            return False
    name, only = _split(entry)
    if not name or only not in {"", str(port)}:
        return False
    named = _address(name)
    if named is not None:
        return named == address
    name = name.removeprefix("*")
    return host == name or host.endswith(name if name.startswith(".") else f".{name}")


def _parse(value: str) -> URL | None:
    """Returns the address of a proxy; None when it is not one, or one of another protocol."""
    try:
        proxy = URL(value if "://" in value else f"http://{value}")
    except ValueError:
        return None
    return proxy if proxy.scheme in _USED and proxy.host and proxy.port is not None else None


def _split(entry: str) -> tuple[str, str]:
    """Returns host and port of an entry; "" where it has no port."""
    host, mark, port = entry.rpartition(":")
    if not mark or entry.endswith("]") or (":" in host and not host.endswith("]")):
        return entry.strip("[]"), ""
    return host.strip("[]"), port


def _variable(name: str, environment: Mapping[str, str]) -> tuple[str, str]:
    """Returns how the variable is called that says it, and what it says."""
    upper = name.upper()
    return (upper, value) if (value := environment.get(upper, "")) else (name, environment.get(name, ""))


def _address(host: str) -> Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None
