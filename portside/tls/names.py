"""The names that a certificate may carry: DNS names and IP addresses, without what is copied along with them. PURE."""

from __future__ import annotations

import contextlib
import ipaddress
import re

MAX_NAME = 253
_SCHEME = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]*://")
_PORT = re.compile(r"^(\[[^]]*\]|[^:]*):(\d{1,5})$")
# `_` is in no host name, but in those of containers, and clients take it.
_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")


def parse_certificate_name(text: str) -> str:
    """Returns a DNS name (lower case, as it travels) or an IP address: `https://[::1]:5000/` is `::1`.

    Scheme, port, brackets, the last dot, and a slash behind the name are left out.

    Raises:
        ValueError: what remains is neither; the message is a sentence.
    """
    name = _SCHEME.sub("", text.strip()).removesuffix("/")
    if port := _PORT.match(name):
        name = port[1]
    if name.startswith("[") and name.endswith("]"):
        name = name[1:-1]
    with contextlib.suppress(ValueError):
        address = ipaddress.ip_address(name)
        if "%" not in name:  # an interface of this machine says nothing to others
            return str(address)
    try:
        name = name.removesuffix(".").lower().encode("idna").decode("ascii")
    except UnicodeError:  # an empty label, or one that is too long
        name = ""
    labels = name.split(".")
    plain = labels[1:] if labels[0] == "*" else labels
    if not plain or len(name) > MAX_NAME or not all(map(_LABEL.fullmatch, plain)) or plain[-1].isdigit():
        raise ValueError(
            f"{text[:80]!r} is not a valid DNS name or IP address: write one, such as registry.example or 192.0.2.7"
        )
    return name
