"""What in a file means something else than it seems to, has another name by now, or is odd YAML: loaded, and named."""

from __future__ import annotations

import pytest

from portside.settings.loading import Role, Settings
from portside.settings.yaml_values import parse_document
from tests.support.settings_files import Load, mistakes_of


def note(settings: Settings, start: str) -> str:
    """The one note that begins so."""
    (found,) = [each for each in settings.notes if each.startswith(start)]
    return found


@pytest.mark.parametrize(
    ("text", "start", "words"),
    [
        ("loglevel: debug", "loglevel ", "write log.level"),
        ("{loglevel: debug, log: {level: warn}}", "loglevel ", "older name of log.level, which is set too"),
        (
            "storage: {cache: {layerinfo: inmemory}}",
            "storage.cache.layerinfo ",
            "storage.cache.blobdescriptor since 2.1",
        ),
        (
            "storage: {cache: {layerinfo: redis, blobdescriptor: inmemory}}",
            "storage.cache.layerinfo ",
            "is ignored",
        ),
        ("redis: {addr: 'r:1'}", "redis.addr ", "redis.addrs since 3.0"),
        ("redis: {addr: 'r:1', addrs: ['s:1']}", "redis.addr ", "is ignored"),
        ("redis: {pool: {maxidle: 1, maxactive: 2}}", "redis.pool ", "redis.maxidleconns, .poolsize"),
        ("redis: {pool: {maxactive: 2}, poolsize: 3}", "redis.pool.maxactive ", "older name of redis.poolsize"),
        ("{version: 0.1, validation: {enabled: true}}", "validation.enabled ", "write validation.disabled"),
    ],
)
def test_an_older_name_works_and_is_named_once(load: Load, text: str, start: str, words: str) -> None:
    assert words in note(load(Role.V2, text), start)


@pytest.mark.parametrize("text", ["loglevel:", "redis: {pool: {maxidle: }}", "storage: {cache: {layerinfo: ''}}"])
def test_an_older_name_that_sets_nothing_is_not_named(load: Load, text: str) -> None:
    assert load(Role.V2, text).notes == ()


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("http: {draintimeout: 500}", "http.draintimeout"),
        ("gateway: {v2: {connecttimeout: 5}}", "gateway.v2.connecttimeout"),
        ("notifications: {endpoints: [{name: a}, {timeout: 500}]}", "notifications.endpoints.1.timeout"),
        ("redis: {dialtimeout: 10, addrs: [a]}", "redis.dialtimeout"),
        ("health: {tcp: [{addr: 'a:1', timeout: 3}]}", "health.tcp.0.timeout"),
    ],
)
def test_a_duration_without_a_unit_is_nanoseconds_and_said_to_be(load: Load, text: str, path: str) -> None:
    assert "nanoseconds, as in distribution: write it with a unit" in note(load(Role.SERVE, text), f"{path} is ")


@pytest.mark.parametrize("text", ["http: {draintimeout: 0}", "http: {draintimeout: '0'}", "http: {draintimeout: 5s}"])
def test_a_duration_of_nothing_or_with_a_unit_needs_no_word(load: Load, text: str) -> None:
    assert load(Role.V2, text).notes == ()


def test_less_than_nothing_is_nothing_where_distribution_says_so(load: Load) -> None:
    settings = load(Role.V2, "{http: {draintimeout: -5s}, health: {storagedriver: {threshold: -3}}}")
    assert (settings.drain_seconds, settings.health.threshold) == (0, 0)


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("storage: {delete: {enabled: 'true'}}", "storage.delete.enabled"),
        ("catalog: {maxentries: '5'}", "catalog.maxentries"),
    ],
)
def test_a_value_in_quotes_is_taken_for_what_is_meant_and_named(load: Load, text: str, path: str) -> None:
    settings = load(Role.V2, text)
    assert note(settings, path).startswith(f"{path} is text in quotes")
    assert settings.gates.delete_enabled or settings.v2.catalog_max_entries == 5


@pytest.mark.parametrize(
    ("text", "environment"),
    [
        ("storage: {maintenance: {readonly: true}}", {}),
        (None, {"REGISTRY_STORAGE_MAINTENANCE_READONLY": "true"}),
    ],
)
def test_readonly_without_a_section_is_read_only(load: Load, text: str | None, environment: dict[str, str]) -> None:
    settings = load(Role.V2, text, environment)
    assert settings.gates.read_only
    assert "for which distribution would end" in note(settings, "storage.maintenance.readonly is ")
    assert not load(Role.V2, "storage: {maintenance: {readonly: false}}").gates.read_only


def test_a_variable_goes_where_the_file_has_a_section_already(load: Load) -> None:
    """distribution ignores it, since its parser gives such a section keys of no type."""
    text = "storage: {maintenance: {readonly: {enabled: false}}}"
    assert load(Role.V2, text, {"REGISTRY_STORAGE_MAINTENANCE_READONLY_ENABLED": "true"}).gates.read_only


CONFLICTS = [
    ("storage: {cache: {blobdescriptor: redis}}", "storage.cache.blobdescriptor: it is redis"),
    ("storage: {cache: {layerinfo: redis}}", "storage.cache.layerinfo: it is redis"),
    ("{storage: {cache: {layerinfo: redis}}, redis: {db: 1}}", "storage.cache.layerinfo: it is redis"),
    ("http: {host: 'http://[::1'}", "http.host: it has no valid name and port"),
    ("http: {host: 'https://'}", "http.host: it has no valid name and port"),
    ("http: {host: 'https://r:99999'}", "http.host: it has no valid name and port"),
    ("storage: swift", "storage.swift: distribution has this driver no more since 3.0"),
]


@pytest.mark.parametrize(("text", "start"), CONFLICTS)
def test_that_with_which_distribution_does_not_start_is_a_sentence(load: Load, text: str, start: str) -> None:
    (mistake,) = mistakes_of(load, Role.V2, text)
    assert mistake.startswith(start)


TWICE = [
    (
        "http: {addr: ':1'}\nlog: {}\nhttp: {relativeurls: true}\n",
        "the key 'http' stands there a second time, in line 3",
    ),
    ("http: {addr: ':2', addr: ':1', relativeurls: true}\n", "the key 'addr' stands there a second time, in line 1"),
    ("http: {addr: ':1', relativeurls: true}\n---\nhttp: [\n", "what begins in line 2 is a document of its own"),
    ("http: {addr: ':1', relativeurls: true}\n---\nhttp: {addr: ':2'}\n", "what begins in line 2"),
]


@pytest.mark.parametrize(("text", "start"), TWICE)
def test_what_stands_twice_is_put_together_and_named_with_its_line(load: Load, text: str, start: str) -> None:
    settings = load(Role.V2, text)
    assert note(settings, start)
    assert settings.v2.relative_urls
    assert [str(each.address) for each in settings.listeners] == ["TcpAddress(host='', port=1)"]


def test_of_two_sections_neither_is_lost_at_any_depth() -> None:
    text = "a: {b: {c: 1, d: 2}, e: 3}\nf: 1\na: {b: {d: 4, g: [5]}, e: {h: 6}}\n"
    document = parse_document(text)
    assert document.value == {"a": {"b": {"c": "1", "d": "4", "g": ["5"]}, "e": {"h": "6"}}, "f": "1"}
    assert document.repeated == (("a", 3), ("b", 3), ("d", 3), ("e", 3))


NAMES = [
    ("REGISTRY_HEALTH_FILE", "[{file: /x}]", "REGISTRY_HEALTH_FILECHECKERS"),
    ("REGISTRY_HEALTH_HTTP", "[]", "REGISTRY_HEALTH_HTTPCHECKERS"),
    ("REGISTRY_HEALTH_TCP", "[]", "REGISTRY_HEALTH_TCPCHECKERS"),
    ("REGISTRY_NOTIFICATIONS_EVENTS_INCLUDEREFERENCES", "true", "REGISTRY_NOTIFICATIONS_EVENTCONFIG_INCLUDEREFERENCES"),
    ("REGISTRY_COMPATIBILITY_SCHEMA1_SIGNINGKEYFILE", "/k", "REGISTRY_COMPATIBILITY_SCHEMA1_TRUSTKEY"),
]


@pytest.mark.parametrize(("name", "value", "meant"), NAMES)
def test_a_variable_with_the_file_s_word_is_told_the_right_one(load: Load, name: str, value: str, meant: str) -> None:
    assert load(Role.V2, None, {name: value}).notes == (
        f"{name} is ignored, as in distribution: the variable of this setting is {meant}",
    )


def test_redis_may_be_named_by_the_struct_that_distribution_inlines(load: Load) -> None:
    for name in ("REGISTRY_REDIS_ADDRS", "REGISTRY_REDIS_OPTIONS_ADDRS"):
        text = "storage: {cache: {blobdescriptor: redis}}"
        assert not [each for each in load(Role.V2, text, {name: "[r:1]"}).notes if "unknown" in each]


CERTIFIED = "http: {tls: {certificate: a, key: b, clientcas: [ca], clientauth: %s}}"


def test_client_certificates_that_nobody_verifies_are_not_asked_for_and_that_is_said(load: Load) -> None:
    settings = load(Role.V2, CERTIFIED % "request-client-cert")
    assert "anyone is let in" in note(settings, "http.tls.clientauth is request-client-cert")
    (mistake,) = mistakes_of(load, Role.V2, CERTIFIED % "require-any-client-cert")
    assert mistake.startswith("http.tls.clientauth: any certificate would be accepted unverified")
    (mistake,) = mistakes_of(load, Role.SERVE, "gateway: {tls: {clientcas: [ca], clientauth: require-any-client-cert}}")
    assert mistake.startswith("gateway.tls.clientauth: ")
    assert load(Role.V2, CERTIFIED % "verify-client-cert-if-given").notes == ()


USERS = "auth: {htpasswd: {realm: r, path: p}}"


def test_where_access_control_does_not_reach_is_said(load: Load) -> None:
    proxied = f"{{{USERS}, gateway: {{v2: {{upstream: 'http://r:5000'}}, v1: {{upstream: 'http://r:5001'}}}}}}"
    settings = load(Role.PROXY, proxied)
    assert settings.access is None
    assert "the registries behind it ask" in note(settings, "auth has no effect on the proxy")
    half = f"{{{USERS}, gateway: {{v1: {{upstream: 'http://r:5001'}}}}}}"
    assert "is decided there" in note(load(Role.SERVE, half), "gateway.v1.upstream is elsewhere")
    for role in (Role.SERVE, Role.V1, Role.V2):
        settings = load(role, USERS)
        assert settings.access is not None
        assert settings.access.schemes == ("htpasswd",)
        assert not [each for each in settings.notes if each.startswith(("auth", "gateway.v"))]


def test_a_scheme_that_protects_nothing_is_said_to(load: Load) -> None:
    assert "for development" in note(load(Role.V2, "auth: {silly: {realm: r, service: s}}"), "auth.silly protects")


def test_the_secret_is_needed_where_tokens_are_made_with_it(load: Load) -> None:
    secret = "http: {secret: s3cret}"
    assert note(load(Role.V2, secret), "http.secret is not needed")
    settings = load(Role.V2, f"{{{secret}, {USERS}}}")
    assert settings.notes == ()
    assert "s3cret" not in repr(settings.access)
