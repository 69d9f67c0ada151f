"""`storage.cache` and `redis`, as every release of distribution spells them."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest

from backends.registry.cache_settings import CacheSettings
from backends.registry.facts import ENTRIES
from backends.registry.redis.settings import RedisSettings, RedisTls
from portside.settings.caching import UNBOUNDED
from portside.settings.loading import Role, Settings
from portside.settings.schema.redis import Redis
from tests.support.settings_files import Load, mistakes_of

USUAL = RedisSettings(("r:6379",))
CACHED = "version: 0.1\nstorage: {filesystem: {}, cache: {blobdescriptor: redis}}\n"


def redis_of(settings: Settings) -> RedisSettings | None:
    return settings.cache.redis if settings.cache is not None else None


def notes_of(settings: Settings) -> tuple[str, ...]:
    """What is said at start, without what is said of older names."""
    return tuple(note for note in settings.notes if " is called " not in note and " older name " not in note)


@pytest.mark.parametrize(
    ("cache", "expected"),
    [
        ("{}", None),
        ("{blobdescriptor: ''}", None),
        ("{blobdescriptor: inmemory}", CacheSettings("using inmemory blob descriptor cache", 10000)),
        ("{layerinfo: inmemory}", CacheSettings("using inmemory layerinfo cache", 10000)),
        (
            "{layerinfo: redis, blobdescriptor: inmemory, blobdescriptorsize: 7}",
            CacheSettings("using inmemory blob descriptor cache", 7),
        ),
        (
            "{blobdescriptor: inmemory, blobdescriptorsize: 0}",
            CacheSettings("using inmemory blob descriptor cache", UNBOUNDED),
        ),
        ("{blobdescriptor: redis}", CacheSettings("using redis blob descriptor cache", ENTRIES, USUAL)),
        ("{layerinfo: redis}", CacheSettings("using redis layerinfo cache", ENTRIES, USUAL)),
    ],
)
def test_what_is_cached_where(load: Load, cache: str, expected: CacheSettings | None) -> None:
    settings = load(Role.V2, f"version: 0.1\nstorage: {{filesystem: {{}}, cache: {cache}}}\nredis: {{addr: 'r:6379'}}")
    assert settings.cache == expected
    unused = ("redis has no effect: storage.cache.blobdescriptor does not ask for it",)
    assert notes_of(settings) == (() if expected is not None and expected.redis else unused)


@pytest.mark.parametrize(
    ("redis", "changes"),
    [
        ("{addr: 'r:6379'}", {}),
        ("{addrs: ['r:6379']}", {}),
        ("{addrs: 'r:6379'}", {}),
        ("{addrs: [r]}", {"addresses": ("r",)}),
        # as it stands in the documentation of 2.x
        (
            (
                "{addr: 'r:6379', password: asecret, db: 1, dialtimeout: 10ms, readtimeout: 20ms, writetimeout: 30ms,"
                " pool: {maxidle: 16, maxactive: 64, idletimeout: 300s}}"
            ),
            {
                "password": "asecret",
                "database": 1,
                "connect_seconds": 0.01,
                "read_seconds": 0.02,
                "write_seconds": 0.03,
                "connections": 64,
                "idle_connections": 16,
                "idle_seconds": 300.0,
            },
        ),
        # and of 3.x
        (
            (
                "{addrs: ['r:6379'], username: u, password: p, db: 2, clientname: c, protocol: 3, poolsize: 7,"
                " maxidleconns: 3, connmaxidletime: 1m, connmaxlifetime: 1h, disableidentity: true,"
                " tls: {certificate: /c, key: /k, rootcas: [/a, /b]}}"
            ),
            {
                "username": "u",
                "password": "p",
                "database": 2,
                "client_name": "c",
                "protocol": 3,
                "connections": 7,
                "idle_connections": 3,
                "idle_seconds": 60.0,
                "lifetime_seconds": 3600.0,
                "identifies": False,
                "tls": RedisTls("/c", "/k", ("/a", "/b")),
            },
        ),
        (
            "{addrs: ['s:1', 't:2'], mastername: m, sentinelusername: su, sentinelpassword: sp}",
            {
                "addresses": ("s:1", "t:2"),
                "master_name": "m",
                "sentinel_username": "su",
                "sentinel_password": "sp",
            },
        ),
        ("{addr: /run/redis.sock}", {"addresses": ("/run/redis.sock",)}),
        ("{addrs: ['unix:/run/redis.sock']}", {"addresses": ("/run/redis.sock",)}),
        ("{addr: '[::1]:6379'}", {"addresses": ("[::1]:6379",)}),
        ("{addr: 'r:6379', poolsize: 5}", {"connections": 5, "idle_connections": 5}),
        ("{addr: 'r:6379', poolsize: 5, maxactiveconns: 9}", {"connections": 9, "idle_connections": 9}),
        ("{addr: 'r:6379', connmaxidletime: -1ns}", {"idle_seconds": 0.0}),
        ("{addr: 'r:6379', tls: {enabled: true}}", {"tls": RedisTls()}),
        ("{addr: 'r:6379', tls: {rootcas: [/a]}}", {"tls": RedisTls(root_cas=("/a",))}),
    ],
)
def test_both_spellings_of_redis(load: Load, redis: str, changes: dict[str, object]) -> None:
    settings = load(Role.V2, f"{CACHED}redis: {redis}")
    assert redis_of(settings) == replace(USUAL, **changes)  # type: ignore[arg-type]
    assert notes_of(settings) == ()


def test_the_environment_has_it_too(load: Load) -> None:
    names = {
        "REGISTRY_STORAGE_CACHE_BLOBDESCRIPTOR": "redis",
        "REGISTRY_REDIS_ADDRS": "[r:6379]",
        "REGISTRY_REDIS_POOLSIZE": "3",
        "REGISTRY_REDIS_TLS_ROOTCAS": "[/a]",
    }
    redis = redis_of(load(Role.V2, None, names))
    assert redis == replace(USUAL, connections=3, idle_connections=3, tls=RedisTls(root_cas=("/a",)))
    older = {
        "REGISTRY_STORAGE_CACHE_LAYERINFO": "redis",
        "REGISTRY_REDIS_ADDR": "r:6379",
        "REGISTRY_REDIS_POOL_MAXACTIVE": "3",
    }
    assert redis_of(load(Role.V2, None, older)) == replace(USUAL, connections=3, idle_connections=3)


@pytest.mark.parametrize(
    ("redis", "mistake"),
    [
        ("{addr: 'r:'}", "redis.addr: 'r:' is not an address: write host:port"),
        ("{addrs: ['r:1', 'r:x']}", "redis.addrs: 'r:x' is not an address: write host:port"),
        ("{addrs: ['r:65536']}", "redis.addrs: 'r:65536' is not an address: write host:port"),
        ("{addr: 'r:1', protocol: 4}", "redis.protocol: it must be 2 or 3 (it is 4)"),
    ],
)
def test_what_redis_cannot_be_reached_by_is_a_mistake(load: Load, redis: str, mistake: str) -> None:
    assert mistakes_of(load, Role.V2, f"{CACHED}redis: {redis}") == [mistake]


def test_an_unknown_cache_is_none(load: Load) -> None:
    settings = load(Role.V2, "version: 0.1\nstorage: {filesystem: {}, cache: {blobdescriptor: memcached}}")
    assert settings.cache is None
    assert notes_of(settings) == ("storage.cache.blobdescriptor: unknown cache type 'memcached', caching disabled",)


@pytest.mark.parametrize(
    ("more", "note"),
    [
        ("maxretries: 3", "redis.maxretries has no effect"),
        ("minretrybackoff: 1s", "redis.minretrybackoff has no effect"),
        ("maxretrybackoff: 1s", "redis.maxretrybackoff has no effect"),
        ("contexttimeoutenabled: true", "redis.contexttimeoutenabled has no effect"),
        ("poolfifo: true", "redis.poolfifo has no effect"),
        ("pooltimeout: 1s", "redis.pooltimeout has no effect"),
        ("minidleconns: 1", "redis.minidleconns has no effect"),
        ("maxredirects: 1", "redis.maxredirects has no effect"),
        ("readonly: true", "redis.readonly has no effect"),
        ("routebylatency: true", "redis.routebylatency has no effect"),
        ("routerandomly: true", "redis.routerandomly has no effect"),
        ("identitysuffix: x", "redis.identitysuffix has no effect"),
        ("unstableresp3: true", "redis.unstableresp3 has no effect"),
        ("sentinelusername: x", "redis.sentinelusername has no effect without redis.mastername"),
        ("sentinelpassword: x", "redis.sentinelpassword has no effect without redis.mastername"),
        ("readtimeout: -1ns", "redis.readtimeout: nobody waits for Redis without end; it is 0.25s"),
        ("tls: {certificate: /c}", "redis.tls.certificate and redis.tls.key go together"),
    ],
)
def test_what_has_no_effect_is_named(load: Load, more: str, note: str) -> None:
    settings = load(Role.V2, f"{CACHED}redis: {{addrs: ['r:6379'], {more}}}")
    (said,) = notes_of(settings)
    assert said.startswith(note)
    redis = redis_of(settings)
    assert redis is not None
    assert replace(redis, sentinel_username="", sentinel_password="", tls=None) == USUAL


def test_a_cluster_has_no_database(load: Load) -> None:
    settings = load(Role.V2, f"{CACHED}redis: {{addrs: ['r:1', 's:1'], db: 3}}")
    assert notes_of(settings) == ("redis.db has no effect in a cluster",)


def test_the_size_of_a_cache_in_redis_has_no_effect(load: Load) -> None:
    text = "version: 0.1\nstorage: {filesystem: {}, cache: {blobdescriptor: redis, blobdescriptorsize: 5}}\n"
    settings = load(Role.V2, f"{text}redis: {{addr: 'r:6379'}}")
    assert settings.cache == CacheSettings("using redis blob descriptor cache", ENTRIES, USUAL)
    assert notes_of(settings) == ("storage.cache.blobdescriptorsize: this parameter is not supported with redis cache",)


def test_no_key_of_redis_is_silent(load: Load) -> None:
    """Each either changes what Redis is reached by, or is said to have no effect."""
    values = {
        "addr": "q:1", "addrs": "[q:1]", "db": 3, "protocol": 3, "pool": "{maxactive: 3}", "tls": "{enabled: true}",
        "username": "x", "password": "x", "clientname": "x", "mastername": "x", "identitysuffix": "x",
        "sentinelusername": "x", "sentinelpassword": "x",
    }  # fmt: skip
    for key, field in Redis.model_fields.items():
        kind = "true" if field.annotation is bool else 3 if field.annotation is int else "7s"
        document = {"addrs": "['r:6379']", key: values.get(key, kind)}
        inside = ", ".join(f"{name}: {value}" for name, value in document.items())
        settings = load(Role.V2, f"{CACHED}redis: {{{inside}}}")
        assert redis_of(settings) != USUAL or any(f"redis.{key}" in note for note in settings.notes), key


def test_no_password_is_shown() -> None:
    shown = repr(RedisSettings(("r:1",), password="sesame", sentinel_password="open"))
    assert "sesame" not in shown
    assert "open" not in shown
    assert {field.name for field in fields(RedisSettings) if not field.repr} == {"password", "sentinel_password"}
