"""Which clients are counted as one, by their addresses. PURE."""

from __future__ import annotations

import ipaddress

NETWORK_BITS = 64
"""The part of an IPv6 address that counts: a client may use any address within its /64 (RFC 6177)."""


def client_of(address: str) -> str:
    """Returns what an address is counted as: itself, or the /64 network of an IPv6 address.

    Args:
        address: a peer's, or what a trusted proxy names, some of which add the port; what is no address is itself.
    """
    if ":" not in address:
        return address
    text = address.partition("%")[0]
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
        return text if _is_ipv4(text) else address
    try:
        six = ipaddress.IPv6Address(text)
    except ValueError:
        return address
    if six.ipv4_mapped is not None:
        return str(six.ipv4_mapped)
    return str(ipaddress.IPv6Network((six, NETWORK_BITS), strict=False))


def _is_ipv4(text: str) -> bool:
    try:
        return bool(ipaddress.IPv4Address(text))
    except ValueError:
        return False
