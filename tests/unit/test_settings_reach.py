"""Every value of every part's settings has a key, and a default that stands in one place."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import pytest
import yaml

from backends.model.conversion.policy import ConversionPolicy
from backends.registry.cache_settings import CacheSettings
from backends.registry.layers.settings import LayerSettings
from backends.registry.purge_settings import PurgeSettings
from backends.registry.redis.settings import RedisSettings
from backends.storage.room import RoomSettings
from backends.storage.settings import StorageSettings
from backends.v1.mirror.settings import MirrorSettings
from backends.v1.settings import V1Settings
from backends.v2.settings import V2Settings
from backends.web.settings import GateSettings
from portside.observe.health import HealthSettings
from portside.observe.logging import LogSettings
from portside.settings.loading import Role, Settings
from proxy.settings import ProxySettings, UpstreamSettings
from tests.support.settings_files import Load

Part = Callable[[Settings], Any]

MAIL = {"type": "mail", "levels": ["error"], "options": {"smtp": {"addr": "mail.example:25"}, "to": ["ops@example"]}}
BODY = ("gateway.bodytimeout", "7s")
ATONCE = ("gateway.uploadsatonce", 7)
PATIENCE = ("gateway.conversions.patience", "7s")
HOST = ("http.host", "https://r.example")
PURGING = "storage.maintenance.uploadpurging"
KEYS: list[tuple[type, Part, Mapping[str, tuple[str, object]]]] = [
    (
        V1Settings,
        lambda s: s.v1,
        {
            "endpoints": HOST,
            "host": HOST,
            "body_idle_seconds": BODY,
            "patience_seconds": PATIENCE,
            "uploads_at_once": ATONCE,
            "issue": ("gateway.v1.issue", "a registry"),
            "debug": ("gateway.v1.debug", True),
            "flavor": ("gateway.v1.flavor", "prod"),
            "search": ("gateway.v1.search", False),
            "cors": ("gateway.v1.cors.origins", "https://ui.example"),
            "index": ("gateway.v1.standalone", False),
            "accel_prefix": ("gateway.v1.xaccelredirect", "/accel"),
            "redirects_layers": ("gateway.v1.storageredirect", True),
            "files": ("gateway.v1.files", "/data"),
        },
    ),
    (
        MirrorSettings,
        lambda s: s.mirroring,
        {
            "source": ("gateway.v1.mirroring.source", "https://other.example"),
            "source_index": ("gateway.v1.mirroring.sourceindex", "https://index.example"),
            "tags_seconds": ("gateway.v1.mirroring.tagscachettl", "1m"),
            "ca": ("gateway.v1.mirroring.ca", "/ca.pem"),
            "user": ("gateway.v1.mirroring.user", "other"),
            "password_file": ("gateway.v1.mirroring.passwordfile", "/other"),
        },
    ),
    (
        V2Settings,
        lambda s: s.v2,
        {
            "prefix": ("http.prefix", "/r/"),
            "host": ("http.host", "https://r.example"),
            "relative_urls": ("http.relativeurls", True),
            "catalog_max_entries": ("catalog.maxentries", 7),
            "catalog_refuses_more": ("gateway.profile", "oci"),
            "tags_max": ("tags.maxtags", 7),
            "body_idle_seconds": BODY,
            "patience_seconds": PATIENCE,
            "uploads_at_once": ATONCE,
            "files": ("gateway.v2.files", "/data"),
        },
    ),
    (
        GateSettings,
        lambda s: s.gates,
        {
            "read_only": ("storage.maintenance.readonly.enabled", True),
            "delete_enabled": ("storage.delete.enabled", True),
        },
    ),
    (
        ProxySettings,
        lambda s: s.proxy,
        {
            "rule": ("gateway.rule", "literal"),
            "route_header": ("gateway.routeheader", "X-Other"),
            "prefix": ("http.prefix", "/r/"),
            "v1": ("gateway.v1.upstream", "http://r"),
            "v2": ("gateway.v2.upstream", "http://r"),
        },
    ),
    (
        UpstreamSettings,
        lambda s: s.proxy.v2 or UpstreamSettings(""),
        {
            "address": ("gateway.v2.upstream", "http://r"),
            "ca": ("gateway.v2.ca", "/ca"),
            "files": ("gateway.v2.files", "/data"),
            "connect_seconds": ("gateway.v2.connecttimeout", "7s"),
            "read_seconds": ("gateway.v2.readtimeout", "7s"),
            "body_idle_seconds": BODY,
            "host": ("http.host", "https://r.example"),
            "relative_urls": ("http.relativeurls", True),
            "prefix": ("http.prefix", "/r/"),
            "credentials": ("gateway.v2.credentials", {"none": True}),
        },
    ),
    (
        StorageSettings,
        lambda s: s.storage,
        {
            "driver": ("storage", "inmemory"),
            "root": ("storage.filesystem.rootdirectory", "/srv"),
            "room": ("gateway.lowroom.percent", 7),
            "addresses": ("middleware.storage", [{"name": "redirect", "options": {"baseurl": "https://cdn.example"}}]),
        },
    ),
    (
        RoomSettings,
        lambda s: s.storage.room,
        {
            "percent": ("gateway.lowroom.percent", 7),
            "least_bytes": ("gateway.lowroom.bytes", 7),
            "least_files": ("gateway.lowroom.files", 7),
        },
    ),
    (
        ConversionPolicy,
        lambda s: s.conversions or ConversionPolicy(),
        {
            "platform": ("gateway.conversions.platform", "linux/arm64"),
            "rules": ("gateway.conversions.rules", [{"repositories": "legacy/*", "convert": "pinned"}]),
        },
    ),
    (
        LayerSettings,
        lambda s: s.layers,
        {
            "max_ratio": ("gateway.conversions.maxratio", 7),
            "max_bytes": ("gateway.conversions.maxbytes", 7),
            "max_window": ("gateway.conversions.maxwindow", 64 * 1024 * 1024),
            "at_once": ("gateway.conversions.atonce", 7),
            "background": ("gateway.conversions.background", False),
        },
    ),
    (
        PurgeSettings,
        lambda s: s.purging,
        {
            "enabled": (f"{PURGING}.enabled", False),
            "age_seconds": (f"{PURGING}.age", "7h"),
            "interval_seconds": (f"{PURGING}.interval", "7h"),
            "dry_run": (f"{PURGING}.dryrun", True),
        },
    ),
    (
        HealthSettings,
        lambda s: s.health,
        {
            "enabled": ("health.storagedriver.enabled", False),
            "interval_seconds": ("health.storagedriver.interval", "7s"),
            "threshold": ("health.storagedriver.threshold", 7),
            "configured": ("health.file", [{"file": "/a"}]),
        },
    ),
    (
        CacheSettings,
        lambda s: s.cache or CacheSettings(""),
        {
            "entries": ("storage.cache.blobdescriptorsize", 7),
            "redis": ("storage.cache.blobdescriptor", "redis"),
            "announcement": ("storage.cache.blobdescriptor", "redis"),
        },
    ),
    (
        RedisSettings,
        lambda s: (s.cache.redis if s.cache is not None else None) or RedisSettings(()),
        {
            "addresses": ("redis.addrs", ["b:1"]),
            "username": ("redis.username", "u"),
            "password": ("redis.password", "p"),
            "database": ("redis.db", 7),
            "master_name": ("redis.mastername", "m"),
            "sentinel_username": ("redis.sentinelusername", "u"),
            "sentinel_password": ("redis.sentinelpassword", "p"),
            "client_name": ("redis.clientname", "c"),
            "protocol": ("redis.protocol", 3),
            "identifies": ("redis.disableidentity", True),
            "connect_seconds": ("redis.dialtimeout", "7s"),
            "read_seconds": ("redis.readtimeout", "7s"),
            "write_seconds": ("redis.writetimeout", "7s"),
            "connections": ("redis.poolsize", 7),
            "idle_connections": ("redis.maxidleconns", 7),
            "idle_seconds": ("redis.connmaxidletime", "7s"),
            "lifetime_seconds": ("redis.connmaxlifetime", "7s"),
            "tls": ("redis.tls.enabled", True),
        },
    ),
    (
        LogSettings,
        lambda s: s.log,
        {
            "level": ("log.level", "warn"),
            "formatter": ("log.formatter", "json"),
            "fields": ("log.fields", {"a": "b"}),
            "access": ("log.accesslog.disabled", True),
            "access_at_any_level": ("log.accesslog.disabled", False),
            "caller": ("log.reportcaller", True),
            "mail": ("log.hooks", [MAIL]),
        },
    ),
]


ELSEWHERE = {"gateway": {"access": "/rules", "v2": {"upstream": "http://elsewhere"}}}
BESIDE: dict[type, dict[str, Any]] = {
    UpstreamSettings: ELSEWHERE,
    V1Settings: {"gateway": {"access": "/rules", "v1": {"index": "https://index.example"}}},
    MirrorSettings: {
        "gateway": {"v1": {"mirroring": {"source": "https://r.example", "user": "mirror", "passwordfile": "/password"}}}
    },
    CacheSettings: {"storage": {"filesystem": {}, "cache": {"blobdescriptor": "inmemory"}}, "redis": {"addr": "r:1"}},
    RedisSettings: {"storage": {"filesystem": {}, "cache": {"blobdescriptor": "redis"}}, "redis": {"addr": "r:1"}},
}


def put(document: dict[str, Any], dotted: str, value: object) -> dict[str, Any]:
    """A document with one more key."""
    key, _, below = dotted.partition(".")
    return {**document, key: put(document.get(key, {}), below, value) if below else value}


@pytest.mark.parametrize(
    ("kind", "keys"), [(kind, keys) for kind, _, keys in KEYS], ids=[kind.__name__ for kind, _, _ in KEYS]
)
def test_no_value_is_without_a_key(kind: type, keys: Mapping[str, object]) -> None:
    assert {field.name for field in dataclasses.fields(kind)} == set(keys)


@pytest.mark.parametrize(
    ("kind", "part", "name", "key", "value"),
    [(kind, part, name, *key) for kind, part, keys in KEYS for name, key in keys.items()],
    ids=[f"{kind.__name__}.{name}" for kind, _, keys in KEYS for name in keys],
)
def test_its_key_reaches_it(load: Load, kind: type, part: Part, name: str, key: str, value: object) -> None:
    document: dict[str, Any] = {"version": 0.1, **BESIDE.get(kind, {})}
    before, after = (
        getattr(part(load(Role.SERVE, yaml.safe_dump(each))), name) for each in (document, put(document, key, value))
    )
    assert before != after


def test_without_a_file_every_part_has_its_own_defaults(load: Load) -> None:
    settings = load(Role.SERVE)
    for kind, part, _ in KEYS:
        if kind not in {UpstreamSettings, CacheSettings, RedisSettings, MirrorSettings}:
            assert part(settings) == kind()
    upstream = load(Role.PROXY, "gateway: {v1: {upstream: 'http://a'}, v2: {upstream: 'http://b'}}").proxy
    assert (upstream.v1, upstream.v2) == (UpstreamSettings("http://a"), UpstreamSettings("http://b"))
