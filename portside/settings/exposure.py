"""Whether what is sent to an address can be read on the way there. PURE."""

from __future__ import annotations

from ipaddress import ip_address
from urllib.parse import urlsplit


def is_exposed(address: str) -> bool:
    """Whether it goes to another machine over plain HTTP."""
    try:
        parts = urlsplit(address)
        host = parts.hostname or ""
        return parts.scheme == "http" and host != "localhost" and not ip_address(host).is_loopback
    except ValueError:
        return True
