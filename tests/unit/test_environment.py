"""The environment and flags over the file."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from backends.storage.factory import StorageSettings
from portside.server.listening import TcpAddress
from portside.settings.loading import Role, Settings
from tests.support.settings_files import Load, roots

ENVIRONMENT: list[tuple[dict[str, str], Callable[[Settings], object], object]] = [
    ({"REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY": "/env"}, lambda s: s.storage.root, "/env"),
    ({"REGISTRY_STORAGE_DELETE_ENABLED": "true"}, lambda s: s.gates.delete_enabled, True),
    ({"REGISTRY_STORAGE_MAINTENANCE_READONLY": "{enabled: true}"}, lambda s: s.gates.read_only, True),
    ({"REGISTRY_HTTP_HEADERS": "{X-A: [b]}"}, lambda s: s.v2.headers, {"X-A": "b"}),
    ({"REGISTRY_HTTP_HEADERS_X-A": "[b]"}, lambda s: s.v2.headers, {"x-a": "b"}),
    ({"REGISTRY_HTTP_SECRET": "123456"}, lambda s: s.role, Role.V2),
    ({"REGISTRY_LOG_FIELDS_ENVIRONMENT": "prod"}, lambda s: s.log.fields, {"environment": "prod", "service": "x"}),
    ({"REGISTRY_LOG_FIELDS_SERVICE": "y"}, lambda s: s.log.fields, {"Service": "y"}),
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
        "SEARCH_BACKEND": "sqlalchemy",
    }
    settings = load(Role.V1, None, older)
    assert settings.roots == (StorageSettings("filesystem", "/registry"),)
    assert roots(settings) == [("v1", "127.0.0.1:5555", False)]
    assert (settings.log.level, settings.workers) == ("warn", 4)
    assert settings.notes == ("SEARCH_BACKEND is not honoured yet",)
    assert load(Role.V2, None, older).storage.root == "data"
    assert roots(load(Role.V1, None, {"REGISTRY_PORT": "tcp://10.0.0.1:5000"})) == [("v1", "127.0.0.1:5081", False)]
