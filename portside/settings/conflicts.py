"""What is right by itself and cannot be together, or cannot be meant."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from portside.settings.mistakes import shown_address
from portside.settings.remarks import Kind, Remark, refused
from portside.settings.schema.config import Config
from portside.tls.contexts import ClientAuth


def conflicts(config: Config) -> Iterator[Remark]:
    """Yields a remark for each."""
    cache, redis = config.storage.cache, config.redis
    if cache is not None and cache.driver == "redis" and not (redis is not None and redis.places):
        why = "it is redis, and neither redis.addr nor redis.addrs says where that is; add one, or write inmemory"
        yield refused(f"storage.cache.{cache.key}", why)
    for key, tls in (("http.tls", config.http.tls), ("gateway.tls", config.gateway.tls)):
        if tls.clientcas and tls.clientauth is ClientAuth.ANY:
            why = "any certificate would be accepted unverified, which OpenSSL cannot do and which protects nothing"
            yield refused(f"{key}.clientauth", f"{why}; write {ClientAuth.REQUIRE.value}")
        elif tls.clientcas and tls.clientauth is ClientAuth.REQUEST:
            why = "clients are not asked for a certificate: it would not be verified, and anyone is let in"
            yield Remark(Kind.DANGEROUS, f"{key}.clientauth", f"{key}.clientauth is {tls.clientauth.value}: {why}")
    if config.http.host:
        try:
            named = bool(urlsplit(config.http.host).hostname) and urlsplit(config.http.host).port != 0
        except ValueError:
            named = False
        if not named:
            yield refused("http.host", f"it has no valid name and port: {shown_address(config.http.host)}")
