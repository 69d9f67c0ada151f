"""What becomes of the keys of a feature that has several: tokens, mirrors, addresses, browsers, mail. PURE."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from portside.settings.docker_registry.flavors import Value
from portside.settings.docker_registry.outcomes import Outcome, refuse, used, useless

_HUB = "https://index.docker.io"
_CORS = {
    "origins": "origins",
    "methods": "methods",
    "headers": "headers",
    "expose_headers": "exposeheaders",
    "supports_credentials": "credentials",
    "max_age": "maxage",
}
_MIRROR = {"source": "source", "source_index": "sourceindex", "tags_cache_ttl": "tagscachettl"}
_OTHER_CORS = ("send_wildcard", "always_send", "automatic_options", "vary_header", "resources")

Get = Callable[[str], Value]


def tokens(get: Get) -> Iterator[Outcome]:
    """Who asks for tokens: nobody where the registry is its own index, else the index of another program."""
    standalone, disabled = get("standalone"), get("disable_token_auth")
    endpoint, key = get("index_endpoint"), get("privileged_key")
    if standalone.broken:
        return
    if standalone.value is True or disabled.value is True:
        decides = standalone if standalone.value is True else disabled
        yield used(decides, {"gateway.v1.standalone": True})
        if decides is disabled:
            yield useless(standalone, "disable_token_auth is true, and without tokens the registry is its own index")
        if endpoint.value:
            yield useless(endpoint, "this registry is its own index")
        if key.value:
            yield useless(key, "no tokens are asked for, so no signature can stand for one")
        return
    index = str(endpoint.value or "").strip("/")
    mend = "write standalone: true to serve everyone without tokens, or name an index of your own as index_endpoint"
    if index in {"", _HUB}:
        what = "is not true" if standalone.chosen else "is not set"
        which = "Docker's own, which there is no more" if index else "named nowhere"
        yield refuse(standalone, f"it {what}, so tokens would be checked at an index, and that is {which}; {mend}")
        return
    yield used(standalone, {"gateway.v1.standalone": False})
    yield used(endpoint, {"gateway.v1.index": index})
    if key.value:
        yield used(key, {"gateway.v1.privilegedkey": str(key.value)})


def mirrored(get: Get) -> Iterator[Outcome]:
    """Another registry that this one is a mirror of."""
    source = get("mirroring.source")
    for key, ours in _MIRROR.items():
        value = get(f"mirroring.{key}")
        if not source.value:
            if value.told and value.value:
                yield useless(value, "no source is named, so nothing is mirrored")
        elif value.value is not None:
            text = f"{value.value}s" if key == "tags_cache_ttl" else str(value.value)
            yield used(value, {f"gateway.v1.mirroring.{ours}": text})


def elsewhere(get: Get) -> Iterator[Outcome]:
    """Layers that others send, and where clients are told to go."""
    redirect, accel, endpoints = get("storage_redirect"), get("nginx_x_accel_redirect"), get("registry_endpoints")
    if redirect.value:
        yield used(redirect, {"gateway.v1.storageredirect": True})
    if accel.value:
        yield used(accel, {"gateway.v1.xaccelredirect": str(accel.value)})
    if endpoints.value:
        yield used(endpoints, {"gateway.v1.endpoints": endpoints.value})


def browsers(get: Get) -> Iterator[Outcome]:
    """Pages of other origins."""
    origins = get("cors.origins")
    becomes: dict[str, Any] = {}
    for key, ours in _CORS.items():
        value = get(f"cors.{key}")
        if value.value is None or value.broken:
            continue
        if not origins.value:
            if value.told:
                yield useless(value, "no origins are named, so no page of another origin may read anything")
            continue
        becomes = {f"gateway.v1.cors.{ours}": bool(value.value) if key == "supports_credentials" else value.value}
        yield used(value, becomes)
    for key in _OTHER_CORS:
        value = get(f"cors.{key}")
        if value.value is not None:
            yield useless(value, "what browsers need is sent in any case")


def mail(get: Get) -> Iterator[Outcome]:
    """Mail about errors."""
    host, port = get("email_exceptions.smtp_host"), get("email_exceptions.smtp_port")
    secure = get("email_exceptions.smtp_secure")
    if not host.value:
        return
    name = str(host.value)
    place = f"[{name}]" if ":" in name else name
    smtp = {
        "addr": f"{place}:{port.value}" if port.value else place,
        "username": str(get("email_exceptions.smtp_login").value or ""),
        "password": str(get("email_exceptions.smtp_password").value or ""),
        "insecure": not secure.value,
    }
    options = {
        "smtp": {key: value for key, value in smtp.items() if value != ""},
        "from": str(get("email_exceptions.from_addr").value or ""),
        "to": [str(get("email_exceptions.to_addr").value or "")],
    }
    yield used(host, {"log.hooks": [{"type": "mail", "levels": ["error"], "options": options}]})
