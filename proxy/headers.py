"""Which headers pass the proxy, and what they say on the other side. PURE.

Hop-by-hop headers end here (RFC 9110 section 7.6.1), and what a client says of its own certificate. What an untrusted
peer says of forwarding is dropped; what a trusted one says is passed on and added to. `Host` passes unchanged:
docker-registry builds `X-Docker-Endpoints` of it, and distribution its `Location`s; `X-Forwarded-Host`, which could
name another one, never passes. What anyone says of the address that the client used is believed only for `Location`,
which is rewritten here in the answer.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urljoin

from backends.http.certificate_header import HEADER as CERTIFICATE_HEADER
from backends.http.forwarded import client_ip, is_scheme
from backends.http.handed_files import FILE, TAKES
from backends.model.clients import MAX_AGENT

Header = tuple[str, str]

HOP_BY_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
_FORWARDED = frozenset(
    {"x-real-ip", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-forwarded-port", "forwarded"}
)
_DROPPED = HOP_BY_HOP | _FORWARDED | {"expect", CERTIFICATE_HEADER.lower(), TAKES.lower(), FILE.lower()}
_DROPPED_BACK = HOP_BY_HOP | {FILE.lower()}
_NEVER_NAMED = frozenset({"host", "content-length"})
"""What frames and addresses a message; a `Connection` header that names these does not make them disappear."""
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}
_HAS_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*+:")
_LINKED_OR_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*+"|<([^<>]*+)>')


def request_headers(
    headers: Sequence[Header], *, peer: str, scheme: str, trusted: bool, drop_authorization: bool = False
) -> list[Header]:
    """Returns the headers that a registry is to see.

    Of a User-Agent it sees what the route was decided by: some old registries look at it with expressions that a long
    one makes slow, and none is to decide by what the proxy did not see.

    Args:
        headers: as the client sent them, in order.
        peer: the client's address as the connection shows it; "" behind a unix socket, which shows none.
        scheme: the one that the client used, `http` or `https`.
        trusted: whether the peer is a trusted proxy, whose headers on forwarding count.
        drop_authorization: leave credentials out.
    """
    dropped = _DROPPED | _named_by_connection(headers)
    if drop_authorization:
        dropped |= {"authorization"}
    passed = [
        (name, value if len(value) <= MAX_AGENT or name.lower() != "user-agent" else value[:MAX_AGENT])
        for name, value in headers
        if name.lower() not in dropped
    ]
    chain = [value for name, value in headers if name.lower() == "x-forwarded-for" and value] if trusted else []
    real = (client_ip(_said(headers, "x-real-ip"), chain) if trusted else "") or peer
    if real:
        passed.append(("X-Real-IP", real))
    if peer:
        chain.append(peer)
    if chain:
        passed.append(("X-Forwarded-For", ", ".join(chain)))
    passed.append(("X-Forwarded-Proto", scheme))
    return passed


@dataclass(frozen=True, slots=True)
class Addresses:
    """What the addresses in an answer are read and written by.

    Attributes:
        asked: the URL that the registry was asked for: `http://registry:5000/v2/x?y`.
        host: the `Host` that it was asked with, by which it may name itself.
        client: scheme and host that the client used, `https://localhost:5000`.
        endpoint: host and port for clients of v1.
        rooted: leave scheme and host out of `Location` (`http.relativeurls`).
        hidden: a path that the registry is below, and clients do not know of.
    """

    asked: str
    host: str
    client: str
    endpoint: str
    rooted: bool = False
    hidden: str = ""


def response_headers(headers: Sequence[Header], addresses: Callable[[], Addresses]) -> list[Header]:
    """Returns the headers that the client is to see, in order; repeated ones stay repeated.

    What a registry says of itself leads through the proxy: `Location`, `Link`, `X-Docker-Endpoints`.

    Args:
        headers: as the registry sent them.
        addresses: what addresses in them are read and written by; asked only where there are any.
    """
    dropped = _DROPPED_BACK | _named_by_connection(headers)
    passed: list[Header] = []
    for name, value in headers:
        lower = name.lower()
        if lower in dropped:
            continue
        rewrite = _REWRITE.get(lower)
        passed.append((name, value if rewrite is None else rewrite(value, addresses())))
    return passed


def rewrite_location(location: str, addresses: Addresses) -> str:
    """Makes a `Location` on the registry itself one on the address that the client used.

    A rooted one stays as it is: a registry that writes it so was set to, and all clients since Docker 1.8 follow it.
    Others that are relative are resolved: containerd takes the first part of `uploads/1` for a host, and some read
    `//host/path` as a path. One that leads elsewhere (a bucket, a token server) stays there.
    """
    if not location or _is_rooted(location):
        return _shown(location, addresses)
    url = _resolve(location, addresses.asked)
    target = _target_of_own(url, addresses)
    if target is None:
        return url
    target = _shown(target, addresses)
    return _rooted(target) if addresses.rooted else addresses.client + target


def rewrite_link(link: str, addresses: Addresses) -> str:
    """Makes each address in a `Link` on the registry itself a rooted one; clients cannot resolve `<list?last=b>`."""

    def rewrite(match: re.Match[str]) -> str:
        if match[1] is None:
            return match[0]
        if _is_rooted(match[1]):
            return f"<{_shown(match[1], addresses)}>"
        url = _resolve(match[1], addresses.asked)
        target = _target_of_own(url, addresses)
        return f"<{url if target is None else _rooted(_shown(target, addresses))}>"

    return _LINKED_OR_QUOTED.sub(rewrite, link)


def rewrite_endpoints(endpoints: str, addresses: Addresses) -> str:
    """Makes `X-Docker-Endpoints` name the proxy: an old client sends everything that follows straight there."""
    own = _authority(addresses.asked.lower())[1]
    return ", ".join(
        addresses.endpoint if entry.strip().lower() == own else entry.strip() for entry in endpoints.split(",")
    )


_REWRITE: Mapping[str, Callable[[str, Addresses], str]] = {
    "location": rewrite_location,
    "link": rewrite_link,
    "x-docker-endpoints": rewrite_endpoints,
}

ADDRESSES_IN = frozenset(_REWRITE)
"""The headers of an answer, in lower case, that depend on the address that the client used."""


def _shown(target: str, addresses: Addresses) -> str:
    """Returns a path on the registry as the client knows it."""
    hidden = addresses.hidden
    return target[len(hidden) :] if hidden and target.startswith(f"{hidden}/") else target


def _is_rooted(reference: str) -> bool:
    return reference.startswith("/") and not reference.startswith("//")


def _rooted(target: str) -> str:
    return target if target.startswith("/") else "/" + target


def _resolve(reference: str, asked: str) -> str:
    """Returns an absolute URL (RFC 3986 section 5). One that is absolute already is never rewritten."""
    if _HAS_SCHEME.match(reference):
        return reference
    try:
        return urljoin(asked, reference)
    except ValueError:  # such as //[ without an end
        return reference


def _target_of_own(url: str, addresses: Addresses) -> str | None:
    """Returns path, query and fragment of a URL on the registry itself; None when it leads elsewhere.

    The registry may call itself by its own address, and by the client's with either scheme: behind a TLS port one that
    does not look at `X-Forwarded-Proto` writes `http://`.
    """
    scheme, authority, target = _authority(url)
    if not is_scheme(scheme):
        return None
    named = _without_default_port(scheme, authority)
    asked_scheme, asked, _ = _authority(addresses.asked.lower())
    if scheme == asked_scheme and named == _without_default_port(scheme, asked):
        return target
    own = (addresses.host.lower(), addresses.client.lower().partition("://")[2])
    return target if any(named == _without_default_port(scheme, each) for each in own) else None


def _authority(url: str) -> tuple[str, str, str]:
    """Splits a URL into scheme and authority, both in lower case, and what follows as it stands there."""
    scheme, _, rest = url.partition("://")
    end = min((at for at in (rest.find("/"), rest.find("?"), rest.find("#")) if at >= 0), default=len(rest))
    return scheme.lower(), rest[:end].lower(), rest[end:]


def _without_default_port(scheme: str, authority: str) -> str:
    return authority.removesuffix(_DEFAULT_PORTS[scheme])


def _said(headers: Sequence[Header], wanted: str) -> str:
    return next((value for name, value in headers if name.lower() == wanted), "")


def _named_by_connection(headers: Iterable[Header]) -> frozenset[str]:
    named = (token for name, value in headers if name.lower() == "connection" for token in value.split(","))
    return frozenset(token.strip().lower() for token in named) - _NEVER_NAMED
