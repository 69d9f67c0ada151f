"""What is right by itself and cannot be together, or cannot be meant."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from portside.settings.remarks import Remark, refused
from portside.settings.schema.config import Config


def conflicts(config: Config) -> Iterator[Remark]:
    """Yields a remark for each; distribution ends with a panic for all of these."""
    cache, redis = config.storage.cache, config.redis
    if cache is not None and cache.driver == "redis" and not (redis is not None and redis.places):
        key = "blobdescriptor" if cache.blobdescriptor else "layerinfo"
        why = "it is redis, and neither redis.addr nor redis.addrs says where that is; add one, or write inmemory"
        yield refused(f"storage.cache.{key}", why)
    if config.http.host:
        try:
            named = bool(urlsplit(config.http.host).hostname) and urlsplit(config.http.host).port != 0
        except ValueError:
            named = False
        if not named:
            yield refused("http.host", f"it has no valid name and port: {config.http.host!r:.80}")
