"""Which headers pass the proxy, and what they say on the other side. PURE.

Hop-by-hop headers end here (RFC 9110 section 7.6.1). What a stranger says of forwarding is not believed; what a trusted
peer says is passed on and added to. `Host` passes unchanged: docker-registry builds `X-Docker-Endpoints` of it, and
distribution its `Location`s; `X-Forwarded-Host`, which could name another one, never passes.
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
_NEVER_NAMED = frozenset({"host", "content-length"})
"""What frames and addresses a message; a `Connection` header that names these does not make them disappear."""
_SCHEMES = frozenset({"http", "https"})
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}


def request_headers(
    headers: Sequence[Header], *, peer: str, scheme: str, trusted: bool, drop_authorization: bool = False
) -> list[Header]:
    """Returns the headers that a registry is to see.

    Args:
        headers: as the client sent them, in order.
        peer: the client's address as the connection shows it; "" behind a unix socket, which shows none.
        scheme: the connection's own, `http` or `https`.
        trusted: whether the peer is a proxy whose word on forwarding counts.
        drop_authorization: leave credentials out.
    """
    dropped = _DROPPED | _named_by_connection(headers)
    if drop_authorization:
        dropped |= {"authorization"}
    passed = [(name, value) for name, value in headers if name.lower() not in dropped]
    chain = [value for name, value in headers if name.lower() == "x-forwarded-for" and value] if trusted else []
    real = (_said(headers, "x-real-ip") if trusted else "") or peer
    if real:
        passed.append(("X-Real-IP", real))
    if peer:
        chain.append(peer)
    if chain:
        passed.append(("X-Forwarded-For", ", ".join(chain)))
    passed.append(("X-Forwarded-Proto", client_scheme(headers, scheme=scheme, trusted=trusted)))
    return passed


def client_scheme(headers: Sequence[Header], *, scheme: str, trusted: bool) -> str:
    """Returns the scheme that the client used: the connection's, unless a trusted peer says otherwise."""
    said = _said(headers, "x-forwarded-proto").lower() if trusted else ""
    return said if said in _SCHEMES else scheme


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

    The registry's own address is recognised, and the client's with either scheme: behind a TLS port a registry that
    does not look at `X-Forwarded-Proto` writes `http://`. A relative one, or one that leads elsewhere (a bucket, a
    token server), stays as it is.
    """
    scheme, separator, rest = location.partition("://")
    scheme = scheme.lower()
    if not separator or scheme not in _SCHEMES:
        return location
    end = min((at for at in (rest.find("/"), rest.find("?"), rest.find("#")) if at >= 0), default=len(rest))
    authority = rest[:end].lower()
    own_scheme, _, own = upstream.lower().partition("://")
    is_upstream = scheme == own_scheme and _without_default_port(scheme, authority) == _without_default_port(
        scheme, own
    )
    if is_upstream or authority == client.lower().partition("://")[2]:
        return client + rest[end:]
    return location


def rewrite_endpoint(endpoints: str, *, upstream: str, client: str) -> str:
    """Makes `X-Docker-Endpoints` name the proxy: an old client sends everything that follows straight there."""
    own, authority = upstream.partition("://")[2].lower(), client.partition("://")[2]
    return ", ".join(authority if entry.strip().lower() == own else entry.strip() for entry in endpoints.split(","))


def _without_default_port(scheme: str, authority: str) -> str:
    return authority.removesuffix(_DEFAULT_PORTS[scheme])


def _said(headers: Sequence[Header], wanted: str) -> str:
    return next((value for name, value in headers if name.lower() == wanted), "")


def _named_by_connection(headers: Iterable[Header]) -> frozenset[str]:
    named = (token for name, value in headers if name.lower() == "connection" for token in value.split(","))
    return frozenset(token.strip().lower() for token in named) - _NEVER_NAMED
