"""`storage.cache` and `redis`, in the spellings of all releases, as what they mean to the cache of facts."""

from __future__ import annotations

from backends.registry.cache_settings import CacheSettings
from backends.registry.facts import ENTRIES
from backends.registry.redis.settings import (
    ANSWER_SECONDS,
    CONNECT_SECONDS,
    CONNECTIONS,
    IDLE_SECONDS,
    RedisSettings,
    RedisTls,
)
from portside.settings.mistakes import shown_address
from portside.settings.schema.config import Config
from portside.settings.schema.redis import Redis

UNBOUNDED = 1_000_000
"""Distribution's cache has no bound with `blobdescriptorsize: 0`. This many facts take a quarter of a GB."""

_CACHES = ("inmemory", "redis")
_TIMEOUTS = {"dialtimeout": CONNECT_SECONDS, "readtimeout": ANSWER_SECONDS, "writetimeout": ANSWER_SECONDS}
_NO_EFFECT = {
    **dict.fromkeys(
        ("maxretries", "minretrybackoff", "maxretrybackoff"), "what Redis does not answer at once is read from storage"
    ),
    "pooltimeout": "while all connections are in use, nobody waits for one",
    **dict.fromkeys(("poolfifo", "minidleconns"), "the connection that was used last is taken, or a new one"),
    **dict.fromkeys(("contexttimeoutenabled", "unstableresp3"), "Portside's client has no such switch"),
    "identitysuffix": "the client says which library it is, and no more",
    **dict.fromkeys(
        ("maxredirects", "readonly", "routebylatency", "routerandomly"),
        "in a cluster, the node that has a key is asked for it",
    ),
}
_SENTINEL_ONLY = ("sentinelusername", "sentinelpassword")
_CLUSTER_HAS_NOT = ("db", "maxidleconns", "connmaxidletime", "connmaxlifetime", "disableidentity")


def cache_mistakes(config: Config) -> list[str]:
    """Returns a sentence for each setting that cannot be obeyed."""
    cache, redis = config.storage.cache, config.redis
    found = []
    if redis is not None and cache is not None and cache.driver == "redis":
        found += [_wrong_place(key, each) for key, each in _wrong_places(redis)]
        if redis.protocol not in {0, 2, 3}:
            found.append(f"redis.protocol: it must be 2 or 3 (it is {redis.protocol})")
    return found


def make_cache(config: Config) -> CacheSettings | None:
    """Returns what is cached where; None for nothing."""
    cache = config.storage.cache
    if cache is None or cache.driver not in _CACHES:
        return None
    # distribution's words: of 2.0, which the 2015 guide shows, where its key is used; else those of all later releases
    kind = "blob descriptor" if cache.blobdescriptor else "layerinfo"
    said = f"using {cache.driver} {kind} cache"
    if cache.driver == "inmemory":
        return CacheSettings(said, cache.blobdescriptorsize or UNBOUNDED)
    if config.redis is None:  # `conflicts` has refused it
        raise AssertionError("redis is wanted and not there")
    return CacheSettings(said, ENTRIES, _redis(config.redis))


def cache_notes(config: Config) -> list[str]:
    """Returns a sentence for each setting that has no effect."""
    cache, redis = config.storage.cache, config.redis
    found = []
    driver = "" if cache is None else cache.driver
    if cache is not None and driver not in {*_CACHES, ""}:
        found.append(f"storage.cache.{cache.key}: unknown cache type {driver!r}, caching disabled")
    if cache is not None and driver == "redis" and "blobdescriptorsize" in cache.model_fields_set:
        found.append("storage.cache.blobdescriptorsize: this parameter is not supported with redis cache")
    if redis is None or redis == Redis():
        return found
    if driver != "redis":
        return [*found, "redis has no effect: storage.cache.blobdescriptor does not ask for it"]
    given = {key for key in redis.model_fields_set if getattr(redis, key)}
    found += [f"redis.{key} has no effect: {why}" for key, why in _NO_EFFECT.items() if key in given]
    found += [
        f"redis.{key}: nobody waits for Redis without end; it is {seconds:g}s"
        for key, seconds in _TIMEOUTS.items()
        if getattr(redis, key) < 0
    ]
    if not redis.mastername:
        found += [f"redis.{key} has no effect without redis.mastername" for key in _SENTINEL_ONLY if key in given]
        if len(redis.places) > 1:
            found += [f"redis.{key} has no effect in a cluster" for key in _CLUSTER_HAS_NOT if key in given]
    if bool(redis.tls.certificate) != bool(redis.tls.key):
        found.append(
            "redis.tls.certificate and redis.tls.key go together: one of them alone has no effect, and Redis is shown"
            " no certificate"
        )
    return found


def _redis(section: Redis) -> RedisSettings:
    pool = section.pool
    connections = _positive(section.maxactiveconns, section.poolsize, pool.maxactive) or CONNECTIONS
    idle = _positive(section.connmaxidletime, pool.idletimeout)
    never = min(section.connmaxidletime, pool.idletimeout) < 0
    return RedisSettings(
        tuple(each.removeprefix("unix:") for each in section.places),
        username=section.username,
        password=section.password,
        database=section.db,
        master_name=section.mastername,
        sentinel_username=section.sentinelusername,
        sentinel_password=section.sentinelpassword,
        client_name=section.clientname,
        protocol=section.protocol or RedisSettings(()).protocol,
        identifies=not section.disableidentity,
        connect_seconds=_positive(section.dialtimeout) or CONNECT_SECONDS,
        read_seconds=_positive(section.readtimeout) or ANSWER_SECONDS,
        write_seconds=_positive(section.writetimeout) or ANSWER_SECONDS,
        connections=int(connections),
        idle_connections=int(_positive(section.maxidleconns, pool.maxidle) or connections),
        idle_seconds=0.0 if never else idle or IDLE_SECONDS,
        lifetime_seconds=_positive(section.connmaxlifetime),
        tls=_tls(section),
    )


def _tls(section: Redis) -> RedisTls | None:
    tls = section.tls
    if not (tls.enabled or tls.certificate or tls.key or tls.rootcas):
        return None
    pair = (tls.certificate, tls.key) if tls.certificate and tls.key else ("", "")
    return RedisTls(*pair, tls.rootcas)


def _positive(*values: float) -> float:
    """Returns the first that says something: 0 is the client's own default, and less is none at all."""
    return next((value for value in values if value > 0), 0)


def _wrong_places(redis: Redis) -> list[tuple[str, str]]:
    key = "addrs" if redis.addrs else "addr"
    return [(key, place) for place in redis.places if not _is_place(place)]


def _wrong_place(key: str, text: str) -> str:
    """Returns a sentence about what is not an address: often it is a URL, with a password in it."""
    said = f"redis.{key}: {shown_address(text)} is not an address: write host:port"
    if "://" not in text and "@" not in text:
        return said
    return f"{said} (user, password and number have keys of their own: redis.username, redis.password, redis.db)"


def _is_place(text: str) -> bool:
    """Whether a text is the path of a socket, or a host, with a port or without."""
    if text.removeprefix("unix:").startswith("/"):
        return True
    host, mark, port = text.rpartition(":")
    if not mark or text.endswith("]"):
        return bool(text)
    return port.isascii() and port.isdecimal() and int(port) < 2**16 and ":" not in host.rpartition("]")[2]
