"""What listens where, and what each part is told."""

from __future__ import annotations

from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from backends.storage.settings import StorageSettings
from portside.server.listening import TcpAddress
from portside.settings.loading import Role
from portside.tls.contexts import ClientAuth, TlsVersion
from proxy.settings import Rule, UpstreamSettings
from tests.support.settings_files import Load, roots


def test_without_anything_the_proxy_speaks_tls_on_5000_and_the_registries_on_loopback(load: Load) -> None:
    settings = load(Role.SERVE)
    assert roots(settings) == [
        ("proxy", ":::5000", True),
        ("v1", "127.0.0.1:5081", False),
        ("v2", "127.0.0.1:5082", False),
        ("metrics", "127.0.0.1:5083", False),
    ]
    assert settings.certificates == Path("certs")
    assert settings.storage == settings.v1_storage == StorageSettings("filesystem", "data")
    assert settings.workers == 0
    assert settings.drain_seconds == 8
    assert settings.notes == ()


PORTS = [
    (Role.V1, "", {}, [("v1", "127.0.0.1:5081", False)]),
    (Role.V2, "", {}, [("v2", "127.0.0.1:5082", False)]),
    (Role.V2, "http: {addr: ':5000'}", {}, [("v2", ":5000", False)]),
    (Role.V2, "http: {addr: ':5000', tls: {certificate: a, key: b}}", {}, [("v2", ":5000", True)]),
    (Role.V2, "http: {addr: ':5000', tls: {certificate: a, key: b}}", {"addr": ":7"}, [("v2", ":7", True)]),
    (
        Role.V2,
        "{http: {addr: ':5000'}, gateway: {v2: {unix: /v2.sock}}}",
        {},
        [("v2", ":5000", False), ("v2", "unix:/v2.sock", False)],
    ),
    (Role.V2, "gateway: {v2: {unix: /v2.sock}}", {}, [("v2", "unix:/v2.sock", False)]),
    (Role.V2, "http: {net: unix, addr: /v2.sock}", {}, [("v2", "unix:/v2.sock", False)]),
    (
        Role.V2,
        "http: {debug: {addr: 'localhost:5001'}}",
        {},
        [("v2", "127.0.0.1:5082", False), ("metrics", "localhost:5001", False)],
    ),
    (Role.PROXY, "gateway: {v2: {upstream: 'unix:/v2.sock'}}", {}, [("proxy", ":::5000", True)]),
    (
        Role.SERVE,
        (
            "{http: {addr: ':443', tls: {certificate: a, key: b}},"
            " gateway: {v1: {addr: ''}, v2: {addr: ''}, metrics: {addr: ''}}}"
        ),
        {},
        [("proxy", ":443", True)],
    ),
    (
        Role.SERVE,
        "{http: {addr: ':80'}, gateway: {v1: {addr: ''}, v2: {upstream: 'http://r'}, metrics: {addr: ''}}}",
        {},
        [("proxy", ":80", False)],
    ),
    # Whoever names certificates, their folder or their names wants TLS, whatever http: says.
    (
        Role.PROXY,
        "{http: {addr: ':80'}, gateway: {certs: /certs, v2: {upstream: 'http://r'}}}",
        {},
        [("proxy", ":80", True)],
    ),
    (
        Role.PROXY,
        "{http: {addr: ':80'}, gateway: {v2: {upstream: 'http://r'}}}",
        {"addr": ":81"},
        [("proxy", ":81", False)],
    ),
    (
        Role.PROXY,
        "{http: {net: unix, addr: /p.sock}, gateway: {v2: {upstream: 'http://r'}}}",
        {"addr": ":81"},
        [("proxy", ":81", False)],
    ),
    (Role.PROXY, "gateway: {addr: ':80', v2: {upstream: 'http://r'}}", {"addr": ":81"}, [("proxy", ":81", True)]),
    (
        Role.PROXY,
        "gateway: {unix: /p.sock, plain: {addr: '127.0.0.1:80'}, v2: {upstream: 'http://r'}}",
        {},
        [("proxy", ":::5000", True), ("proxy", "127.0.0.1:80", False), ("proxy", "unix:/p.sock", False)],
    ),
]


@pytest.mark.parametrize(("role", "text", "flags", "expected"), PORTS)
def test_a_role_listens_where_its_settings_say(
    load: Load, role: Role, text: str, flags: dict[str, Any], expected: list[tuple[str, str, bool]]
) -> None:
    assert roots(load(role, text, flags=flags)) == expected


def test_the_gateway_has_certificates_of_its_own_and_takes_the_rest_from_http(load: Load) -> None:
    text = """
    http: {addr: ':443', tls: {certificate: a, key: b, minimumtls: tls1.3, clientcas: [ca]}}
    gateway:
      tls:
        certificates: [{certificate: c, key: d}, {certificate: e, key: f}]
        clientauth: verify-client-cert-if-given
    """
    tls = load(Role.SERVE, text).listeners[0].tls
    assert tls is not None
    assert [str(chain.certificate) for chain in tls.chains] == ["c", "e"]
    assert tls.minimum is TlsVersion.TLS_1_3
    assert tls.client_cas == (Path("ca"),)
    assert tls.client_auth is ClientAuth.OPTIONAL


def test_a_unix_socket_is_trusted_and_networks_are_where_they_are_named(load: Load) -> None:
    settings = load(Role.V2, "gateway: {trustedproxies: [10.0.0.1, 'fd00::/8'], v2: {addr: ':1', unix: /s}}")
    tcp, unix = settings.listeners
    assert isinstance(tcp.address, TcpAddress)
    assert (tcp.trusted_peer, unix.trusted_peer) == (False, True)
    assert tcp.trusted_networks == (ip_network("10.0.0.1/32"), ip_network("fd00::/8"))


def test_every_part_gets_what_the_file_says_about_it(load: Load) -> None:
    text = """
    version: 0.1
    loglevel: WARN
    log: {formatter: json, fields: {a: 1}, accesslog: {disabled: true}}
    storage:
      filesystem: {rootdirectory: /srv}
      delete: {enabled: true}
      maintenance: {readonly: {enabled: true}}
    http:
      host: https://registry.example:5000/
      relativeurls: true
      draintimeout: 1m30s
      headers: {X-Content-Type-Options: [nosniff], X-Two: [a, b]}
    catalog: {maxentries: 7}
    gateway:
      rule: literal
      routeheader: false
      workers: 3
      bodytimeout: 5m
      names: [registry.example]
      cacopy: docker cp x
      v1: {storagepath: /old}
      v2: {upstream: 'https://r:5001/', ca: /ca, connecttimeout: 500ms, readtimeout: 1h}
    """
    settings = load(Role.SERVE, text)
    assert (settings.log.level, settings.log.formatter, settings.log.access) == ("warn", "json", False)
    assert settings.log.fields == {"a": 1}
    assert settings.storage == StorageSettings("filesystem", "/srv")
    assert settings.v1_storage == StorageSettings("filesystem", "/old")
    assert (settings.runs_v1, settings.runs_v2) == (True, False)
    assert settings.roots == (settings.storage, settings.v1_storage)
    assert settings.v1.endpoints == ("registry.example:5000",)
    assert settings.gates.delete_enabled
    assert settings.gates.read_only
    assert settings.v2.relative_urls
    assert settings.v2.host == "https://registry.example:5000"
    assert settings.headers == {"X-Content-Type-Options": "nosniff", "X-Two": "a, b"}
    assert settings.v2.catalog_max_entries == 7
    assert settings.proxy.rule is Rule.LITERAL
    assert settings.proxy.route_header == ""
    assert settings.proxy.v1 is None
    assert settings.proxy.v2 == UpstreamSettings(
        "https://r:5001",
        "/ca",
        connect_seconds=0.5,
        read_seconds=3600,
        body_idle_seconds=300,
        host="https://registry.example:5000",
        relative_urls=True,
    )
    assert (settings.v1.body_idle_seconds, settings.v2.body_idle_seconds) == (300, 300)
    assert (settings.workers, settings.drain_seconds) == (3, 90)
    assert (settings.names, settings.ca_copy) == (("registry.example",), "docker cp x")


DURATIONS = [
    ("300ms", 0.3),
    ("1.5h", 5400),
    ("2h45m", 9900),
    ("10000000000", 10),
    ("0", 0),
    ("'30s'", 30),
    ("1µs", 1e-6),
    ("1μs", 1e-6),
    ("+1.5h30m", 7200),
    (".5s", 0.5),
    ("1.s", 1),
    ("-0", 0),
    ("1h2m3s4ms", 3723.004),
]


@pytest.mark.parametrize(("written", "seconds"), DURATIONS)
def test_durations_are_go_s_and_a_bare_number_is_nanoseconds(load: Load, written: str, seconds: float) -> None:
    assert load(Role.V2, f"http: {{draintimeout: {written}}}").drain_seconds == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("text", "environment", "flags"),
    [
        ("storage: inmemory", {}, {}),
        ("storage: {inmemory: }", {}, {}),
        (None, {"REGISTRY_STORAGE_INMEMORY": ""}, {}),
        (None, {"REGISTRY_STORAGE": "inmemory"}, {"gateway.workers": 4}),
    ],
)
def test_inmemory_storage_has_one_worker(
    load: Load, text: str | None, environment: dict[str, str], flags: dict[str, Any]
) -> None:
    settings = load(Role.SERVE, text, environment, flags)
    assert settings.storage.driver == "inmemory"
    assert settings.workers == 1
    assert any("one worker" in note for note in settings.notes) == bool(flags)
