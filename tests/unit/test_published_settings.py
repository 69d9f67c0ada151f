"""Settings files in the style in which people publish theirs, of every era: what each makes of the parts' settings."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft7Validator

from backends.auth.htpasswd import HtpasswdSettings
from backends.auth.token_settings import TokenSettings
from backends.storage.addresses import Redirect
from portside.observe.check_settings import FileCheck, HttpCheck, TcpCheck
from portside.server.listening import UnixAddress
from portside.settings.json_schema import json_schema
from portside.settings.loading import Role, Settings, load_settings
from portside.tls.contexts import ClientAuth, TlsVersion
from tests.support.settings_files import every_key, mistakes_of_file, roots

FOLDER = Path(__file__).parents[1] / "data" / "config" / "files"
FILES = {path.stem: path for path in sorted(FOLDER.glob("*.yml"))}

PLAIN = [("v2", ":5000", False)]
DEBUG = [*PLAIN, ("metrics", ":5001", False)]
REGISTRY = "/var/lib/registry"


def image_2(settings: Settings) -> None:
    assert roots(settings) == PLAIN
    assert settings.storage.root == REGISTRY
    assert settings.headers == {"X-Content-Type-Options": "nosniff"}
    assert settings.cache is not None
    assert settings.cache.announcement == "using inmemory blob descriptor cache"
    assert (settings.health.enabled, settings.health.interval_seconds, settings.health.threshold) == (True, 10, 3)
    assert settings.log.fields == {"service": "registry"}
    assert not settings.gates.delete_enabled


def development(settings: Settings) -> None:
    assert roots(settings) == [("v2", "localhost:5000", False), ("metrics", "localhost:5001", False)]
    assert (settings.storage.root, settings.log.level) == ("/tmp/registry-dev", "debug")


def all_but_auth(settings: Settings) -> None:
    assert roots(settings) == [("v2", "localhost:5000", True), ("metrics", "localhost:5001", False)]
    assert settings.log.fields == {"service": "registry", "environment": "staging", "build": 42}
    tls = settings.listeners[0].tls
    assert tls is not None
    assert tls.client_cas == (Path("/path/to/ca.pem"), Path("/path/to/another/ca.pem"))
    assert (settings.purging.age_seconds, settings.purging.interval_seconds) == (168 * 3600, 24 * 3600)
    assert settings.v2.prefix == "/my/nested/registry"
    assert settings.notifications is not None
    (endpoint,) = settings.notifications.endpoints
    assert (endpoint.name, endpoint.url) == ("alistener", "https://my.listener.com/event")
    assert endpoint.headers == {"Authorization": ("Bearer example",), "X-Two": ("one", "two")}
    assert (endpoint.threshold, endpoint.timeout_seconds) == (5, 1)  # 500 ns are no time at all
    assert settings.storage.addresses == ()
    assert settings.cache is not None
    assert settings.cache.announcement == "using inmemory layerinfo cache"


def harbor(settings: Settings) -> None:
    assert settings.storage.root == "/storage"
    assert not settings.purging.enabled
    assert settings.gates.delete_enabled
    assert settings.v2.relative_urls
    assert settings.validation.schema1
    assert not settings.validation.children
    assert settings.cache is not None
    redis = settings.cache.redis
    assert redis is not None
    assert (redis.addresses, redis.database, redis.connections, redis.idle_seconds) == (("redis:6379",), 1, 500, 60)
    assert (redis.connect_seconds, redis.read_seconds, redis.write_seconds) == (10, 10, 10)
    assert settings.notifications is not None
    (endpoint,) = settings.notifications.endpoints
    assert (endpoint.timeout_seconds, endpoint.threshold, endpoint.backoff_seconds) == (3, 5, 1)


def behind_nginx(settings: Settings) -> None:
    assert roots(settings) == [("v2", "127.0.0.1:5000", False)]
    assert (settings.log.access, settings.log.level, settings.drain_seconds) == (False, "warn", 60)
    assert settings.v2.host == "https://registry.example.com"


def client_certificates(settings: Settings) -> None:
    tls = settings.listeners[0].tls
    assert tls is not None
    assert (tls.client_auth, tls.minimum) == (ClientAuth.OPTIONAL, TlsVersion.TLS_1_2)
    assert tls.client_cas == (Path("/certs/client-ca.pem"),)
    assert len(tls.ciphers) == 2


def web_interface(settings: Settings) -> None:
    assert settings.gates.delete_enabled
    assert settings.headers["Access-Control-Allow-Methods"] == "HEAD, GET, OPTIONS, DELETE"
    assert settings.headers["Access-Control-Max-Age"] == "1728000"
    assert settings.headers["Access-Control-Allow-Credentials"] == "true"


def webhooks_2(settings: Settings) -> None:
    found = settings.notifications
    assert found is not None
    assert (found.references, found.disabled) == (True, ("audit",))
    (endpoint,) = found.endpoints
    assert (endpoint.name, endpoint.timeout_seconds, endpoint.threshold) == ("ci", 1.5, 3)
    assert endpoint.ignored_media_types == {"application/octet-stream"}
    assert endpoint.backoff_seconds == 30


def webhooks_3(settings: Settings) -> None:
    assert settings.notifications is not None
    (endpoint,) = settings.notifications.endpoints
    assert endpoint.ignored_media_types == {"application/octet-stream"}
    assert endpoint.ignored_actions == {"pull"}


def redis_3(settings: Settings) -> None:
    assert settings.cache is not None
    redis = settings.cache.redis
    assert redis is not None
    assert (redis.username, redis.password, redis.database, redis.protocol) == ("registry", "asecret", 2, 3)
    assert (redis.connect_seconds, redis.read_seconds, redis.write_seconds) == pytest.approx((0.01, 0.02, 0.03))
    assert (redis.connections, redis.idle_connections, redis.lifetime_seconds) == (64, 16, 3600)
    assert redis.tls is not None


def redis_sentinels(settings: Settings) -> None:
    assert settings.cache is not None
    redis = settings.cache.redis
    assert redis is not None
    assert (redis.master_name, redis.sentinel_username, redis.identifies) == ("primary", "watcher", False)
    assert (len(redis.addresses), redis.connections) == (3, 100)


def health_of_everything(settings: Settings) -> None:
    assert (settings.health.interval_seconds, settings.health.threshold) == (30, 2)
    file, http, tcp = settings.health.configured
    assert isinstance(file, FileCheck)
    assert isinstance(http, HttpCheck)
    assert isinstance(tcp, TcpCheck)
    assert (file.path, file.interval_seconds) == ("/run/registry/maintenance", 5)
    assert (http.uri, http.interval_seconds, http.threshold) == ("http://scanner.example:8080/health", 20, 3)
    assert (tcp.interval_seconds, tcp.threshold) == (15, 4)


def platforms(settings: Settings) -> None:
    assert settings.validation.platforms == {("amd64", "linux"), ("arm64", "linux")}
    assert settings.v2.catalog_max_entries == 200
    assert settings.v2.tags_max == 500


def foreign_layers(settings: Settings) -> None:
    assert settings.validation.urls is not None
    assert settings.validation.urls.permits("https://blobs.example.com/a")
    assert not settings.validation.urls.permits("https://www.example.com/a")
    assert not settings.validation.urls.permits("https://blobs.example.net/a")
    assert settings.validation.classes == {"image"}


def ansible(settings: Settings) -> None:
    assert roots(settings) == [("v2", "0.0.0.0:5000", False)]
    assert settings.gates.delete_enabled
    assert (settings.drain_seconds, settings.log.formatter) == (30, "json")


def anchors(settings: Settings) -> None:
    assert settings.notifications is not None
    one, two = settings.notifications.endpoints
    assert (one.timeout_seconds, two.timeout_seconds) == (2, 9)
    assert (one.threshold, two.threshold, two.backoff_seconds) == (7, 7, 10)


def written_twice(settings: Settings) -> None:
    assert roots(settings) == [("v2", ":5000", True)]
    assert settings.v2.relative_urls


def everything_of_ours(settings: Settings) -> None:
    assert roots(settings) == [
        ("v2", "127.0.0.1:5082", False),
        ("v2", "unix:/run/portside/v2.sock", False),
        ("metrics", "127.0.0.1:5083", False),
    ]
    assert settings.workers == 2


def expect(**wanted: Any) -> Callable[[Settings], None]:
    """Whether these values, named by their dotted paths with `__` for dots, are so."""

    def look(settings: Settings) -> None:
        for name, value in wanted.items():
            found: Any = settings
            for part in name.split("__"):
                found = getattr(found, part)
            assert found == value, name

    return look


def unix_socket(settings: Settings) -> None:
    assert settings.listeners[0].address == UnixAddress(Path("/run/registry/registry.sock"))


def own_tls(settings: Settings) -> None:
    tls = settings.listeners[0].tls
    assert tls is not None
    assert (tls.client_cas, tls.minimum) == ((), TlsVersion.TLS_1_3)


def cluster(settings: Settings) -> None:
    assert settings.cache is not None
    assert settings.cache.redis is not None
    assert len(settings.cache.redis.addresses) == 3


def signing_key(settings: Settings) -> None:
    assert settings.signing_key is not None
    assert settings.signing_key.name == "signing.key"


LOADED: Mapping[str, Callable[[Settings], None]] = {
    "image-2": image_2,
    "image-3": expect(storage__root=REGISTRY, gates__delete_enabled=True, health__threshold=3),
    "docs-2.0-development": development,
    "docs-2.0-all-but-auth": all_but_auth,
    "chart-filesystem": expect(storage__root="data", metrics_path="", health__enabled=True),
    "chart-metrics": expect(storage__root=REGISTRY, metrics_path="/prometheus"),
    "harbor-core": harbor,
    "behind-nginx": behind_nginx,
    "behind-traefik-below-a-path": expect(v2__prefix="/registry", v2__relative_urls=True),
    "own-tls": own_tls,
    "client-certificates": client_certificates,
    "unix-socket": unix_socket,
    "read-only-for-maintenance": expect(gates__read_only=True),
    "read-only-in-short": expect(gates__read_only=True),
    "purging": expect(purging__age_seconds=48 * 3600, purging__interval_seconds=5400, purging__dry_run=True),
    "for-a-web-interface": web_interface,
    "webhooks-2": webhooks_2,
    "webhooks-3": webhooks_3,
    "redis-3": redis_3,
    "redis-3-sentinels": redis_sentinels,
    "redis-3-cluster": cluster,
    "cache-3": expect(cache__entries=50000),
    "health-of-everything": health_of_everything,
    "mail-about-errors": expect(log__level="info"),
    "blobs-from-a-mirror": expect(storage__addresses=(Redirect("https://blobs.example.com/registry"),)),
    "schema1-2.3": signing_key,
    "schema1-off": expect(validation__schema1=False),
    "foreign-layers": foreign_layers,
    "some-platforms": platforms,
    "auth-none": expect(storage__root=REGISTRY, access=None),
    "htpasswd": expect(access__htpasswd=HtpasswdSettings("basic-realm", "/etc/docker/registry"), access__token=None),
    "gitlab-bundled": expect(
        access__token=TokenSettings(
            "https://gitlab.example.com/jwt/auth",
            "container_registry",
            "omnibus-gitlab-issuer",
            Path("/var/opt/gitlab/registry/gitlab-registry.crt"),
        )
    ),
    "token-3": expect(
        access__token=TokenSettings(
            "https://auth.example.com/token",
            "registry.example.com",
            "auth.example.com",
            jwks=Path("/etc/registry/jwks.json"),
            auto_redirect=True,
            algorithms=("ES256", "EdDSA"),
        )
    ),
    "continuous-integration": expect(storage__driver="inmemory", log__formatter="logstash", log__level="error"),
    "ansible-template": ansible,
    "json": expect(storage__root=REGISTRY, gates__delete_enabled=True),
    "anchors": anchors,
    "written-twice": written_twice,
    "portside-everything": everything_of_ours,
}
REFUSED: Mapping[str, tuple[str, ...]] = {
    "docs-2.0-auth": ("auth: it must have exactly one scheme, and has silly, token",),
    "docs-2.0-clientcas-beside-tls": ("http.clientcas: it belongs below http.tls",),
    "chart-s3": ("storage.s3: this driver is not supported yet",),
    "azure": ("storage.azure: this driver is not supported yet",),
    "gcs": ("storage.gcs: this driver is not supported yet",),
    "swift": ("storage.swift: distribution has this driver no more since 3.0",),
    "oss": ("storage.oss: distribution has this driver no more since 3.0",),
    "rados": ("storage.rados: distribution has this driver no more since 2.4",),
    "lets-encrypt-2": ("http.tls.letsencrypt.cachefile: certificates from Let's Encrypt are not supported yet",),
    "lets-encrypt-3": ("http.tls.letsencrypt.cachefile: certificates from Let's Encrypt are not supported yet",),
    "pull-through-2": ("proxy.remoteurl: pull-through caching is not supported yet",),
    "pull-through-3": ("proxy.remoteurl: pull-through caching is not supported yet",),
}


def placed(name: str, folder: Path) -> Path:
    """A file as it is, but for the folder that it names."""
    text = FILES[name].read_text()
    if "DIR/" in text:
        (folder / "signing.key").write_text(make_key())
        text = text.replace("DIR/", f"{folder}/")
    path = folder / f"{name}.yml"
    path.write_text(text)
    return path


def make_key() -> str:
    from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415
    from cryptography.hazmat.primitives.serialization import (  # noqa: PLC0415
        Encoding,
        NoEncryption,
        PrivateFormat,
    )

    key = ec.generate_private_key(ec.SECP256R1())
    return key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()).decode()


@pytest.mark.parametrize("name", LOADED)
def test_what_a_published_file_asks_for_is_what_the_parts_are_told(tmp_path: Path, name: str) -> None:
    LOADED[name](load_settings(Role.V2, placed(name, tmp_path), {}, {}))


@pytest.mark.parametrize("name", LOADED)
def test_they_load_for_everything_in_one_process_too(tmp_path: Path, name: str) -> None:
    load_settings(Role.SERVE, placed(name, tmp_path), {}, {})


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_done_is_refused_in_a_sentence_each(tmp_path: Path, name: str) -> None:
    found = mistakes_of_file(Role.V2, placed(name, tmp_path))
    assert len(found) == len(REFUSED[name])
    for sentence, start in zip(found, REFUSED[name], strict=True):
        assert sentence.startswith(start)


def test_every_file_has_its_expectation() -> None:
    assert FILES.keys() == LOADED.keys() | REFUSED.keys()
    assert len(FILES) > 50


def _keys(value: Any, path: str = "") -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, part in value.items():
            yield f"{path}{key}"
            yield from _keys(part, f"{path}{key}.")
    elif isinstance(value, list):
        for part in value:
            yield from _keys(part, f"{path[:-1]}[].")


def test_every_key_of_every_release_is_in_one_of_them() -> None:
    used = {key for path in FILES.values() for key in _keys(yaml.safe_load(path.read_text()))}
    own = {key for key in every_key() if key.startswith("gateway.")} | {"http.tls.profile"}
    assert [key for key in every_key() if key not in used | own] == []


# Whoever writes these has them marked by the editor, as they should be.
MARKED = {"docs-2.0-clientcas-beside-tls", "chart-s3", "azure", "gcs", "swift", "oss", "rados", "ansible-template"}


@pytest.mark.parametrize("name", FILES)
def test_they_are_what_the_schema_says(name: str) -> None:
    validator = Draft7Validator(json_schema())
    found = [each.json_path for each in validator.iter_errors(yaml.safe_load(FILES[name].read_text()))]
    assert bool(found) == (name in MARKED), found


SECRET = re.compile(r"asecret|password|Bearer example|dXNlcjpwYXNz")


@pytest.mark.parametrize("name", LOADED)
def test_no_secret_of_theirs_is_in_what_is_said(tmp_path: Path, name: str) -> None:
    assert not [note for note in load_settings(Role.V2, placed(name, tmp_path), {}, {}).notes if SECRET.search(note)]


# The same by variables alone, as compose files and charts have them.
VARIABLES: list[tuple[str, dict[str, str], Callable[[Settings], None]]] = [
    (
        "compose",
        {
            "REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY": "/data",
            "REGISTRY_STORAGE_DELETE_ENABLED": "true",
            "REGISTRY_HTTP_ADDR": "0.0.0.0:443",
            "REGISTRY_HTTP_TLS_CERTIFICATE": "/certs/domain.crt",
            "REGISTRY_HTTP_TLS_KEY": "/certs/domain.key",
            "REGISTRY_HTTP_HEADERS_Access-Control-Allow-Origin": "['https://ui.example']",
        },
        expect(
            storage__root="/data",
            gates__delete_enabled=True,
            headers={"access-control-allow-origin": "https://ui.example"},
        ),
    ),
    (
        "chart",
        {
            "REGISTRY_HTTP_SECRET": "asecret",
            "REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY": "/var/lib/registry",
            "REGISTRY_STORAGE_DELETE_ENABLED": "true",
            "REGISTRY_PORT": "tcp://10.0.0.1:5000",
            "REGISTRY_SERVICE_HOST": "10.0.0.1",
            "REGISTRY_PORT_5000_TCP_PROTO": "tcp",
        },
        expect(storage__root=REGISTRY, gates__delete_enabled=True),
    ),
    (
        "everything with another name",
        {
            "REGISTRY_HEALTH_FILECHECKERS": "[{file: /run/down}]",
            "REGISTRY_HEALTH_HTTPCHECKERS_0_URI": "http://a.example/",
            "REGISTRY_HEALTH_TCPCHECKERS_0_ADDR": "a.example:1",
            "REGISTRY_NOTIFICATIONS_EVENTCONFIG_INCLUDEREFERENCES": "true",
            "REGISTRY_NOTIFICATIONS_ENDPOINTS_0_NAME": "a",
            "REGISTRY_NOTIFICATIONS_ENDPOINTS_0_URL": "http://a.example/",
            "REGISTRY_COMPATIBILITY_SCHEMA1_ENABLED": "false",
        },
        expect(notifications__references=True, validation__schema1=False),
    ),
    (
        "another storage",
        {"REGISTRY_STORAGE": "inmemory", "REGISTRY_LOGLEVEL": "warn", "REGISTRY_LOG_FIELDS_SERVICE": "x"},
        expect(storage__driver="inmemory", log__level="warn", log__fields={"service": "x"}),
    ),
    (
        "redis",
        {"REGISTRY_STORAGE_CACHE_BLOBDESCRIPTOR": "redis", "REGISTRY_REDIS_ADDR": "r:1", "REGISTRY_REDIS_DB": "3"},
        expect(cache__redis__addresses=("r:1",), cache__redis__database=3),
    ),
]


@pytest.mark.parametrize(("environment", "look"), [case[1:] for case in VARIABLES], ids=[case[0] for case in VARIABLES])
def test_variables_alone_do_the_same(environment: dict[str, str], look: Callable[[Settings], None]) -> None:
    look(load_settings(Role.V2, None, environment, {}))
