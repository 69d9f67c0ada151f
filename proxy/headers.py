"""Which headers pass the proxy, and what they say on the other side. PURE.

Hop-by-hop headers end here (RFC 9110 section 7.6.1). What a stranger says of forwarding is not believed; what a trusted
peer says is passed on and added to. `Host` passes unchanged: docker-registry builds `X-Docker-Endpoints` of it, and
distribution its `Location`s.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

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
_FORWARDED = frozenset({"x-real-ip", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "forwarded"})
_DROPPED = HOP_BY_HOP | _FORWARDED | {"expect"}


def request_headers(
    headers: Sequence[Header], *, peer: str, scheme: str, trusted: bool, drop_authorization: bool = False
) -> list[Header]:
    """Returns the headers that a registry is to see.

    Args:
        headers: as the client sent them, in order.
        peer: the client's address as the connection shows it.
        scheme: the client's, `http` or `https`.
        trusted: whether the peer is a proxy whose word on forwarding counts.
        drop_authorization: leave credentials out.
    """
    dropped = _DROPPED | _named_by_connection(headers)
    if drop_authorization:
        dropped |= {"authorization"}
    passed = [(name, value) for name, value in headers if name.lower() not in dropped]
    said = {name.lower(): value for name, value in headers} if trusted else {}
    chain = said.get("x-forwarded-for")
    passed.append(("X-Real-IP", said.get("x-real-ip", peer)))
    passed.append(("X-Forwarded-For", f"{chain}, {peer}" if chain else peer))
    passed.append(("X-Forwarded-Proto", said.get("x-forwarded-proto", scheme)))
    return passed


def response_headers(headers: Sequence[Header], *, upstream: str, client: str) -> list[Header]:
    """Returns the headers that the client is to see.

    Args:
        headers: as the registry sent them, in order; repeated ones stay repeated.
        upstream: the registry's own address, `http://registry:5000`.
        client: the address that the client used, `https://localhost:5000`.
    """
    dropped = HOP_BY_HOP | _named_by_connection(headers)
    passed: list[Header] = []
    for name, value in headers:
        lower = name.lower()
        if lower in dropped:
            continue
        if lower == "location":
            passed.append((name, rewrite_location(value, upstream=upstream, client=client)))
        elif lower == "x-docker-endpoints":
            passed.append((name, rewrite_endpoint(value, upstream=upstream, client=client)))
        else:
            passed.append((name, value))
    return passed


def rewrite_location(location: str, *, upstream: str, client: str) -> str:
    """Makes a `Location` on the registry itself one on the address that the client used.

    One that is relative, or leads elsewhere (a bucket, a token server), stays as it is.
    """
    authority = client.partition("://")[2]
    for own in (upstream, *(f"{scheme}://{authority}" for scheme in ("http", "https"))):
        if location == own or location.startswith((f"{own}/", f"{own}?")):
            return client + location[len(own) :]
    return location


def rewrite_endpoint(endpoints: str, *, upstream: str, client: str) -> str:
    """Makes `X-Docker-Endpoints` name the proxy: an old client sends everything that follows straight there."""
    own, authority = upstream.partition("://")[2], client.partition("://")[2]
    return ", ".join(authority if entry.strip() == own else entry.strip() for entry in endpoints.split(","))


def _named_by_connection(headers: Iterable[Header]) -> frozenset[str]:
    return frozenset(
        token.strip().lower() for name, value in headers if name.lower() == "connection" for token in value.split(",")
    )
