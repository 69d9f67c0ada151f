"""The environment and flags over the file."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from backends.storage.settings import StorageSettings
from portside.server.listening import TcpAddress
from portside.settings.loading import Role, Settings
from tests.support.settings_files import Load, mistakes_of, roots

ENVIRONMENT: list[tuple[dict[str, str], Callable[[Settings], object], object]] = [
    ({"REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY": "/env"}, lambda s: s.storage.root, "/env"),
    ({"REGISTRY_STORAGE_DELETE_ENABLED": "true"}, lambda s: s.gates.delete_enabled, True),
    ({"REGISTRY_STORAGE_MAINTENANCE_READONLY": "{enabled: true}"}, lambda s: s.gates.read_only, True),
    ({"REGISTRY_HTTP_HEADERS": "{X-A: [b]}"}, lambda s: s.headers, {"X-A": "b"}),
    ({"REGISTRY_HTTP_HEADERS_X-A": "[b]"}, lambda s: s.headers, {"x-a": "b"}),
    ({"REGISTRY_HTTP_SECRET": "123456"}, lambda s: s.role, Role.V2),
    ({"REGISTRY_LOG_FIELDS_ENVIRONMENT": "prod"}, lambda s: s.log.fields, {"environment": "prod", "service": "x"}),
    # A key of a map is made anew, in lower case, beside the one in capitals.
    ({"REGISTRY_LOG_FIELDS_SERVICE": "z"}, lambda s: s.log.fields, {"Service": "x", "service": "z"}),
    ({"REGISTRY_GATEWAY_NAMES": "[a, b]"}, lambda s: s.names, ("a", "b")),
    ({"REGISTRY_GATEWAY_NAMES_0": "a", "REGISTRY_GATEWAY_NAMES_1": "b"}, lambda s: s.names, ("a", "b")),
    ({"REGISTRY_GATEWAY_V2_ADDR": ":9"}, lambda s: s.listeners[0].address, TcpAddress("", 9)),
    ({"REGISTRY_STORAGE": "inmemory"}, lambda s: s.storage.driver, "inmemory"),
    # Sorted: the map is erased first, then filled.
    (
        {"REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY": "/env", "REGISTRY_STORAGE": "filesystem"},
        lambda s: (s.storage.root, s.gates.delete_enabled),
        ("/env", False),
    ),
]


@pytest.mark.parametrize(("environment", "look", "expected"), ENVIRONMENT)
def test_the_environment_overrides_the_file_by_distribution_s_rule(
    load: Load, environment: dict[str, str], look: Callable[[Settings], object], expected: object
) -> None:
    service = "Service: x" if "REGISTRY_LOG_FIELDS_SERVICE" in environment else "service: x"
    storage = "{filesystem: {rootdirectory: /f}, delete: {enabled: false}}"
    text = f"{{storage: {storage}, log: {{fields: {{{service}}}}}}}"
    assert look(load(Role.V2, text, environment)) == expected


def test_what_kubernetes_injects_is_harmless_and_told_in_one_line(load: Load) -> None:
    injected = {
        "REGISTRY_PORT": "tcp://10.0.0.1:5000",
        "REGISTRY_PORT_5000_TCP_ADDR": "10.0.0.1",
        "REGISTRY_SERVICE_HOST": "10.0.0.1",
        "REGISTRY_AUTH_PORT": "tcp://10.0.0.2:80",
        "REGISTRY_AUTH_SERVICE_HOST": "10.0.0.2",
        "REGISTRY_PROXY_PORT": "tcp://10.0.0.3:80",
        "REGISTRY_HTTP_PORT": "tcp://10.0.0.4:80",
        "REGISTRY_STORAGE_SERVICE_PORT": "80",
    }
    (note,) = load(Role.V2, None, injected).notes
    assert all(name in note for name in injected)


def test_the_version_and_the_file_s_place_are_no_overrides(load: Load) -> None:
    assert load(Role.V2, None, {"REGISTRY_VERSION": "0.2", "REGISTRY_CONFIGURATION_PATH": "/x"}).notes == ()


def test_flags_override_the_environment(load: Load) -> None:
    settings = load(
        Role.V2,
        "storage: {inmemory: {}, delete: {enabled: true}}",
        {"REGISTRY_GATEWAY_WORKERS": "2"},
        {"data": "/flag", "gateway.workers": 3, "gateway.v2.unix": None},
    )
    assert settings.storage == StorageSettings("filesystem", "/flag")
    assert settings.gates.delete_enabled
    assert settings.workers == 3


def test_docker_registry_s_variables_are_honoured_by_v1_alone(load: Load) -> None:
    older = {
        "STORAGE_PATH": "/registry",
        "REGISTRY_HOST": "127.0.0.1",
        "REGISTRY_PORT": "5555",
        "LOGLEVEL": "warning",
        "GUNICORN_WORKERS": "4",
        "GUNICORN_GRACEFUL_TIMEOUT": "3600",
        "SEARCH_BACKEND": "sqlalchemy",
        "SETTINGS_FLAVOR": "dev",
        "STANDALONE": "true",
        "GUNICORN_OPTS": "[--preload, --timeout, 100]",
        "GUNICORN_ERROR_LOG_FILE": '"-"',
    }
    settings = load(Role.V1, None, older)
    assert settings.roots == (StorageSettings("filesystem", "/registry"),)
    assert roots(settings) == [("v1", "127.0.0.1:5555", False)]
    assert (settings.log.level, settings.workers, settings.drain_seconds) == ("warn", 4, 3600)
    (note,) = settings.notes  # the flavor dev has debug on
    assert note.startswith("gateway.v1.debug is on")
    assert load(Role.V2, None, older).storage.root == "data"
    assert roots(load(Role.V1, None, {"REGISTRY_PORT": "tcp://10.0.0.1:5000"})) == [("v1", "127.0.0.1:5081", False)]


def test_distribution_s_variable_of_the_same_setting_goes_before_docker_registry_s(load: Load) -> None:
    both = {"STORAGE_PATH": "/older", "REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY": "/newer"}
    both |= {"GUNICORN_GRACEFUL_TIMEOUT": "3600", "REGISTRY_HTTP_DRAINTIMEOUT": "5s"}
    settings = load(Role.V1, "storage: {filesystem: {rootdirectory: /file}}", both)
    assert (settings.storage.root, settings.drain_seconds) == ("/newer", 5)


NOT_HONOURED = {
    "SQLALCHEMY_INDEX_DATABASE": "sqlite:////x",
    "INDEX_ENDPOINT": "https://index.example",
    "PRIVILEGED_KEY": "/key",
    "CACHE_REDIS_HOST": "redis",
    "CACHE_LRU_REDIS_HOST": "redis",
    "BUGSNAG": "hunter2",
    "NEW_RELIC_LICENSE_KEY": "hunter2",
    "LOGLEVEL": "loud",
    "GUNICORN_ACCESS_LOG_FILE": "/var/log/access",
}


@pytest.mark.parametrize("name", NOT_HONOURED)
def test_docker_registry_s_variables_without_an_effect_are_named(load: Load, name: str) -> None:
    (note,) = load(Role.V1, None, {name: NOT_HONOURED[name]}).notes
    assert note.startswith(f"{name} has no effect: ")
    assert "hunter2" not in note
    assert load(Role.V1, None, {name: ""}).notes == ()


UNSAFE: list[tuple[str, str, str]] = [
    *[("STANDALONE", value, "standalone: true") for value in ("false", "False", "no", "0", "1", "", "maybe")],
    ("STANDALONE", "{", "not valid YAML"),
    *[("SETTINGS_FLAVOR", value, "driver s3 is not supp") for value in ("s3", "prod", "cloudfronts3", "ceph-s3")],
    *[("SETTINGS_FLAVOR", value, "is not supported yet") for value in ("azureblob", "gcs", "swift", "glance", "oss")],
    *[("SETTINGS_FLAVOR", value, "is not a flavor of") for value in ("mine", "Dev")],
    ("DOCKER_REGISTRY_CONFIG", "/absent/config.yml", "cannot be read"),
    ("DOCKER_REGISTRY_CONFIG", "absent.yml", "a relative name counts from /docker-registry/config"),
    ("MIRROR_SOURCE", "registry.example", "write it like https://registry:5000"),
    ("GUNICORN_USER", "www-data", "start it as that user"),
    ("GUNICORN_GROUP", "www-data", "start it as that group"),
    ("GUNICORN_OPTS", "[--certfile, /c, --preload]", "--certfile has no effect"),
    ("GUNICORN_OPTS", "['--bind=0.0.0.0:80']", "--bind has no effect"),
    ("GUNICORN_OPTS", "[-e, STANDALONE=false]", "-e has no effect"),
    ("GUNICORN_OPTS", "--preload", "not a YAML list"),
]


@pytest.mark.parametrize(("name", "value", "words"), UNSAFE)
@pytest.mark.parametrize("role", [Role.V1, Role.SERVE])
def test_what_would_be_unsafe_to_pass_over_in_docker_registry_s_environment_keeps_it_from_starting(
    load: Load, monkeypatch: pytest.MonkeyPatch, role: Role, name: str, value: str, words: str
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    (mistake,) = mistakes_of(load, role, None, environment={name: value})
    assert mistake.startswith(f"{name}: ") or mistake.endswith(f", set by {name}")
    assert words in mistake
    load(Role.V2, None, {name: value})
    load(Role.SERVE, "gateway: {v1: {upstream: 'http://r'}}", {name: value})


def test_whoever_is_not_root_drops_no_privileges(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 5000)
    assert load(Role.V1, None, {"GUNICORN_USER": "www-data", "GUNICORN_GROUP": "www-data"}).notes == ()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("GUNICORN_WORKERS", "many"),
        ("GUNICORN_WORKERS", "0"),
        ("GUNICORN_WORKERS", "257"),
        ("GUNICORN_GRACEFUL_TIMEOUT", "1h"),
        ("REGISTRY_PORT", "http"),
        ("REGISTRY_PORT", "65536"),
    ],
)
def test_a_mistake_in_docker_registry_s_environment_names_the_variable(load: Load, name: str, value: str) -> None:
    (mistake,) = mistakes_of(load, Role.V1, None, environment={name: value})
    assert mistake.startswith(f"{name}: {value!r} is not a ")


def test_serve_takes_docker_registry_s_data_folder_where_no_file_says_another(load: Load) -> None:
    """Who puts Portside's image in the place of the old one finds his images; it speaks TLS as ever."""
    alone = load(Role.SERVE, None, {"STORAGE_PATH": "/registry"})
    assert (alone.storage.root, alone.v1_storage.root, alone.notes) == ("/registry", "/registry", ())
    assert roots(alone)[0] == ("proxy", ":::5000", True)
    beside = load(Role.SERVE, "storage: {filesystem: {rootdirectory: /file}}", {"STORAGE_PATH": "/registry"})
    assert beside.storage.root == "/file"
    (note,) = beside.notes
    assert note.startswith("STORAGE_PATH has no effect beside a settings file")


def test_variables_that_others_use_too_mean_nothing_to_serve(load: Load) -> None:
    usual = load(Role.SERVE, None, {})
    others = {"DEBUG": "true", "LOGLEVEL": "debug", "SMTP_HOST": "mail", "CACHE_REDIS_HOST": "redis"}
    assert load(Role.SERVE, None, others) == usual
