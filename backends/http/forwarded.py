"""What proxies in front say of a request: the address that its client used, and the client's own. PURE.

The address is believed of anyone, since it builds nothing but the `Location` that the same client gets back, as in
distribution; but only where a scheme is a scheme and a host is a host. The client's own address counts in logs and
rules, so a caller asks for it only where the peer is a trusted proxy.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address

_MAX_HOST = 253
_MAX_PORT = 65535
_USUAL_PORTS = frozenset({"80", "443"})
_LONGEST_FORWARDED = 1024
_SCHEMES = frozenset({"http", "https"})
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*+", re.ASCII)
_PORT = re.compile(r"[0-9]{1,5}", re.ASCII)
_PAIR = re.compile(
    r"""[ \t]*([A-Za-z0-9!#$%&'*+.^_`|~-]++)=(?:"((?:[^"\\]|\\.)*+)"|([^"\\,; \t]*+))[ \t]*(?:([;,])|$)"""
)
_ESCAPED = re.compile(r"\\(.)")
_SIGNS_OF_A_PROXY = ("X-Forwarded-For", "X-Real-IP", "Forwarded", "Via", "X-Forwarded-Host", "X-Forwarded-Port")
# What some proxies send without X-Forwarded-Proto beside it.
_SAYS_HTTPS = (
    ("X-Forwarded-Port", "443"),
    ("X-Forwarded-Ssl", "on"),
    ("Front-End-Https", "on"),
    ("X-Forwarded-Scheme", "https"),
    ("X-Scheme", "https"),
    ("X-Url-Scheme", "https"),
    ("CF-Visitor", '{"scheme":"https"}'),
)


@dataclass(frozen=True, slots=True)
class Doubt:
    """Why an address is probably wrong.

    Attributes:
        kind: one of a few words.
        why: half a sentence; printable ASCII.
    """

    kind: str
    why: str


def is_authority(text: str) -> bool:
    """Whether this is a host by grammar, with or without a port: a name, an IPv4 address, an IPv6 one in brackets."""
    host, port = _split(text)
    if port not in {"", ":"} and not _is_port(port[1:]):  # RFC 3986 section 3.2.3: a port may be empty
        return False
    if host.startswith("["):
        return host.endswith("]") and _is_ipv6(host[1:-1])
    return len(host) <= _MAX_HOST and _NAME.fullmatch(host) is not None


def client_origin(headers: Mapping[str, str], *, scheme: str, host: str) -> str:
    """Returns `scheme://host[:port]` as the client used it, for `Location` and nothing else.

    `Forwarded` goes before `X-Forwarded-Proto` and `X-Forwarded-Host`, these before the connection's own; of a list the
    first value counts. `X-Forwarded-Port` completes a host without a port, unless it is a usual one.

    Args:
        headers: the request's; names are found in any case, and of repeated ones the first counts.
        scheme: the connection's own.
        host: the request's `Host`.
    """
    forwarded = _parse_forwarded(headers.get("Forwarded", ""))
    scheme = _fitting(is_scheme, forwarded.get("proto"), headers.get("X-Forwarded-Proto")) or scheme
    named = _fitting(is_authority, forwarded.get("host"))
    if not named:
        named = _fitting(is_authority, headers.get("X-Forwarded-Host")) or host
        port = _fitting(_is_port, headers.get("X-Forwarded-Port"))
        if port and port not in _USUAL_PORTS and not _split(named)[1]:
            named = f"{named}:{port}"
    return f"{scheme.lower()}://{named}"


def doubt_address(headers: Mapping[str, str], *, scheme: str, host: str) -> Doubt | None:
    """Returns why the client cannot have used the address that `client_origin` finds; None when nothing speaks for it.

    It is asked of pushes, which fail by a wrong address at their second request, at the client, without a trace here.

    Args:
        headers: the request's.
        scheme: the connection's own.
        host: the request's `Host`.
    """
    forwarded = _parse_forwarded(headers.get("Forwarded", ""))
    said = forwarded.get("proto") or first_value(headers.get("X-Forwarded-Proto", ""))
    if said and not is_scheme(said):
        return Doubt("scheme", f"the scheme that a proxy in front names, {said[:40]!a}, is neither http nor https")
    named = forwarded.get("host") or first_value(headers.get("X-Forwarded-Host", ""))
    if named and not is_authority(named):
        return Doubt("host", f"the host that a proxy in front names, {named[:80]!a}, is not a valid host")
    origin = client_origin(headers, scheme=scheme, host=host)
    client = first_value(headers.get("X-Forwarded-For", "")) or headers.get("X-Real-IP", "")
    if _is_ip(client) and not _is_loopback(client) and _is_loopback(_split(origin.partition("://")[2])[0]):
        return Doubt("loopback", f"a client at {client} cannot have used {origin}")
    if origin.startswith("http:"):
        for name, value in _SAYS_HTTPS:
            if first_value(headers.get(name, "")).lower() == value:
                return Doubt("https", f"{name}: {value} says that the client came by https, {origin} that it did not")
        if not said and any(name in headers for name in _SIGNS_OF_A_PROXY):
            return Doubt(
                "silence", f"a proxy in front does not say whether the client came by https, so it is {origin}"
            )
    return None


def is_scheme(text: str) -> bool:
    """Whether this is `http` or `https`, in any case."""
    return text.lower() in _SCHEMES


def client_ip(real: str | None, chain: Sequence[str]) -> str:
    """Returns whom a trusted peer forwards for; "" when it does not say.

    Args:
        real: `X-Real-IP`.
        chain: the lines of `X-Forwarded-For`, to which each proxy appends its own peer.
    """
    said = real or (chain[-1].rpartition(",")[2] if chain else "")
    return said.strip()[:64].replace(" ", "_")


def first_value(line: str) -> str:
    """Returns the first value of a header that may be a list."""
    return line.partition(",")[0].strip()


def _fitting(fits: Callable[[str], bool], *lines: str | None) -> str:
    """Returns the first value of the first line where it fits."""
    for line in lines:
        if line and fits(value := first_value(line)):
            return value
    return ""


def _parse_forwarded(line: str) -> dict[str, str]:
    """Returns the parameters of the first element of `Forwarded` (RFC 7239 section 4), as far as it can be read."""
    found: dict[str, str] = {}
    at = 0
    while match := _PAIR.match(line, at, _LONGEST_FORWARDED):
        name, quoted, bare, separator = match.groups()
        found.setdefault(name.lower(), bare if quoted is None else _ESCAPED.sub(r"\1", quoted))
        at = match.end()
        if separator != ";":
            break
    return found


def _split(authority: str) -> tuple[str, str]:
    """Returns host and port, the latter with its colon or empty."""
    at = authority.rfind(":")
    if at < 0 or authority.endswith("]"):
        return authority, ""
    return authority[:at], authority[at:]


def _is_port(text: str) -> bool:
    return _PORT.fullmatch(text) is not None and 0 < int(text) <= _MAX_PORT


def _is_ip(text: str) -> bool:
    try:
        return "%" not in text and bool(ip_address(text))
    except ValueError:
        return False


def _is_loopback(host: str) -> bool:
    host = host.strip("[]")
    return host == "localhost" or (_is_ip(host) and (ip_address(host).is_loopback or ip_address(host).is_unspecified))


def _is_ipv6(text: str) -> bool:
    try:
        return IPv6Address(text).scope_id is None
    except ValueError:
        return False
