"""What docker-registry's file and variables become: settings, what has no effect, what keeps it from starting."""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from portside.settings.docker_registry.document import parse
from portside.settings.docker_registry.recognizing import is_docker_registry_s
from portside.settings.loading import Role, Settings, SettingsProblem, load_settings
from tests.support.settings_files import Load, mistakes_of, roots

FILES = Path(__file__).parents[1] / "data" / "config" / "v1"
LOCAL = {"SETTINGS_FLAVOR": "local"}
FLAVOR = "storage: local, standalone: true"

MAIL = (
    "email_exceptions: {smtp_host: mail.example, smtp_port: 587, smtp_login: u, smtp_password: p, smtp_secure: true,"
    " from_addr: a@b, to_addr: c@d}"
)
INDEX = "standalone: false, index_endpoint: 'https://i.example//', privileged_key: /key.pem"
BECOMES: list[tuple[str, Callable[[Settings], object], object]] = [
    ("storage_path: /srv/r", lambda s: s.storage.root, "/srv/r"),
    ("storage_path: 755", lambda s: s.storage.root, "755"),
    ("", lambda s: s.storage.root, "./tmp"),
    ("storage: FILE, storage_path: /f", lambda s: s.v1_storage.root, "/f"),
    ("storage: dumb", lambda s: s.storage.driver, "inmemory"),
    ("loglevel: Critical", lambda s: s.log.level, "error"),
    ("loglevel: warning", lambda s: s.log.level, "warn"),
    ("loglevel:", lambda s: s.log.level, "info"),
    ("issue: hello", lambda s: s.v1.issue, "hello"),
    ("debug: yes", lambda s: s.v1.debug, True),
    ("debug: 'false'", lambda s: s.v1.debug, True),  # text, which Python takes for true
    ("debug: 0", lambda s: s.v1.debug, False),
    ("issue: x", lambda s: s.v1.flavor, "dev"),
    ("cors: {origins: 'https://ui.example'}", lambda s: s.v1.cors and s.v1.cors.origins, ("https://ui.example",)),
    ("cors: {headers: [X-A]}", lambda s: s.v1.cors, None),
    ("search_backend: sqlalchemy", lambda s: s.v1.search, True),
    ("search_backend: ''", lambda s: s.v1.search, False),
    ("", lambda s: s.v1.search, False),
    ("search_backend: my.module", lambda s: s.v1.search, True),
    ("registry_endpoints: r.example:5000", lambda s: s.v1.endpoints, ("r.example:5000",)),
    ("registry_endpoints: [a, b]", lambda s: s.v1.endpoints, ("a", "b")),
    ("nginx_x_accel_redirect: /accel", lambda s: s.v1.accel_prefix, "/accel"),
    ("storage_redirect: yes", lambda s: s.v1.redirects_layers, True),
    ("storage_redirect: ''", lambda s: s.v1.redirects_layers, False),
    ("index_endpoint: 'https://i'", lambda s: s.v1.index, None),
    (
        INDEX,
        lambda s: s.v1.index and (s.v1.index.url, s.v1.index.privileged_key),
        ("https://i.example", Path("/key.pem")),
    ),
    (
        "mirroring: {source: 'https://m', source_index: 'https://i', tags_cache_ttl: 60}",
        lambda s: s.mirroring and (s.mirroring.source, s.mirroring.source_index, s.mirroring.tags_seconds),
        ("https://m", "https://i", 60.0),
    ),
    ("mirroring: {source: , source_index: 'https://i'}", lambda s: s.mirroring, None),
    (
        "cors: {origins: ['https://a', 'https://b'], methods: [GET], headers: X-A, expose_headers: [X-B], max_age: 60}",
        lambda s: (
            s.v1.cors and (s.v1.cors.methods, s.v1.cors.headers, s.v1.cors.expose_headers, s.v1.cors.max_age_seconds)
        ),
        (("GET",), ("X-A",), ("X-B",), 60),
    ),
    ("standalone: false, disable_token_auth: true", lambda s: s.v1.index, None),
    (
        MAIL,
        lambda s: [(m.host, m.port, m.username, m.password, m.insecure, m.sender, m.to) for m in s.log.mail],
        [("mail.example", 587, "u", "p", False, "a@b", ("c@d",))],
    ),
    (
        "email_exceptions: {smtp_host: 'fd00::1', to_addr: c@d}",
        lambda s: [(m.host, m.port, m.insecure) for m in s.log.mail],
        [("fd00::1", 25, True)],
    ),
    ("email_exceptions: {smtp_port: 25, to_addr: c@d}", lambda s: s.log.mail, ()),
]


@pytest.mark.parametrize(("keys", "look", "expected"), BECOMES)
def test_a_key_of_a_flavor_becomes_a_setting(
    load: Load, keys: str, look: Callable[[Settings], object], expected: object
) -> None:
    assert look(load(Role.V1, f"dev: {{{FLAVOR}, {keys}}}")) == expected


@pytest.mark.parametrize(
    ("environment", "flavor", "root", "level"),
    [
        ({}, "dev", "/tmp/registry", "debug"),
        (LOCAL, "local", "/tmp/registry", "info"),
        ({**LOCAL, "STORAGE_PATH": "/registry", "LOGLEVEL": "error"}, "local", "/registry", "error"),
        ({"SETTINGS_FLAVOR": "test", "LOGLEVEL": ""}, "test", "./tmp/test", "info"),
    ],
)
def test_flavors_bring_their_defaults_by_file_and_without(
    load: Load, environment: dict[str, str], flavor: str, root: str, level: str
) -> None:
    by_file = load_settings(Role.V1, FILES / "flavors.yml", environment, {})
    without = load(Role.V1, None, {"SETTINGS_FLAVOR": "dev", **environment})
    for settings in (by_file, without):
        assert (settings.v1.flavor, settings.storage.root, settings.log.level) == (flavor, root, level)
        assert roots(settings) == [("v1", ":5000", False)]
        assert settings.v1.debug is (flavor != "local")
    assert by_file.source == FILES / "flavors.yml"


def test_a_file_without_flavors_is_read_for_an_empty_one(load: Load) -> None:
    settings = load_settings(Role.V1, FILES / "flat.yml", {"SETTINGS_FLAVOR": "", "STORAGE_PATH": "/flat"}, {})
    assert settings.storage.root == "/flat"
    (mistake,) = mistakes_of(load, Role.V1, (FILES / "flat.yml").read_text())
    assert "set SETTINGS_FLAVOR to nothing (SETTINGS_FLAVOR=)" in mistake


def test_serve_runs_its_v1_part_by_the_file_that_the_variable_names(load: Load) -> None:
    named = {"DOCKER_REGISTRY_CONFIG": str(FILES / "plain.yml"), "SETTINGS_FLAVOR": "prod"}
    settings = load(Role.SERVE, None, named)
    assert (settings.storage.root, settings.v1_storage.root, settings.log.level) == (
        "/srv/docker",
        "/srv/docker",
        "warn",
    )
    # As docker-registry: plain HTTP on its port, told at start.
    assert roots(settings)[0] == ("proxy", ":5000", False)
    assert any(note.startswith(":5000 speaks plain HTTP, as docker-registry does") for note in settings.notes)
    certs = load(Role.SERVE, None, named, {"gateway.certs": "/c"})
    assert roots(certs)[0] == ("proxy", ":5000", True)
    assert load(Role.V2, None, named).storage.root == "data"
    elsewhere = load(Role.SERVE, "gateway: {v1: {upstream: 'http://r'}}", named)
    assert elsewhere.storage.root == "data"


OPENING: list[dict[str, str]] = [
    {"SETTINGS_FLAVOR": "dev"},
    {"STANDALONE": "true"},
    {"MIRROR_SOURCE": "https://other.example"},
    {"STORAGE_PATH": "/elsewhere"},
]


@pytest.mark.parametrize("variable", OPENING)
@pytest.mark.parametrize(
    "text", ["{}", "gateway: {v1: {standalone: false, index: 'https://i'}, v2: {upstream: 'http://r'}}"]
)
def test_no_variable_changes_what_serve_does_by_a_file_of_portside_s(
    load: Load, variable: dict[str, str], text: str
) -> None:
    """Other programs have variables of these names; `REGISTRY_PORT` alone would have switched TLS off."""
    further = {
        "REGISTRY_HOST": "0.0.0.0",
        "REGISTRY_PORT": "5000",
        "DEBUG": "true",
        "LOGLEVEL": "debug",
        "CORS_ORIGINS": "*",
        "GUNICORN_WORKERS": "3",
        "PRIVILEGED_KEY": "/key.pem",
        "DISABLE_TOKEN_AUTH": "true",
    }
    settings = load(Role.SERVE, text, {**further, **variable})
    alone = load(Role.SERVE, text)
    assert replace(settings, notes=()) == replace(alone, notes=())
    (name,) = variable
    told = any(note.startswith(f"{name} has no effect beside a settings file") for note in settings.notes)
    assert told is (name != "STANDALONE")  # true is what the file means too


def test_what_is_unsafe_to_pass_over_keeps_serve_from_starting_by_a_file_of_portside_s(load: Load) -> None:
    asked = {"DOCKER_REGISTRY_CONFIG": str(FILES / "plain.yml"), "STANDALONE": "false", "GUNICORN_OPTS": "[--bind=x]"}
    mistakes = mistakes_of(load, Role.SERVE, "{}", environment=asked)
    assert {each.partition(":")[0] for each in mistakes} == set(asked)
    elsewhere = load(Role.SERVE, "gateway: {v1: {upstream: 'http://r'}}", asked)
    assert elsewhere.storage.root == "data"


def test_what_somebody_decided_goes_before_portside_s_file_and_defaults_behind_it(load: Load) -> None:
    file = "{storage: {filesystem: {rootdirectory: /file}}, log: {level: error}, http: {addr: ':1'}}"
    settings = load(Role.V1, file, {**LOCAL, "LOGLEVEL": "warn"})
    assert (settings.storage.root, settings.log.level, roots(settings)[0][1]) == ("/file", "warn", ":1")
    settings = load(Role.V1, file, {**LOCAL, "STORAGE_PATH": "/variable", "REGISTRY_PORT": "2"})
    assert (settings.storage.root, settings.log.level, roots(settings)[0][1]) == ("/variable", "error", ":2")
    settings = load(Role.V1, file, {**LOCAL, "STORAGE_PATH": "/a"}, {"data": "/flag"})
    assert settings.storage.root == "/flag"
    assert load(Role.V1, "{storage: inmemory}", LOCAL).storage.driver == "inmemory"
    assert load(Role.V1, "{storage: {delete: {enabled: true}}}", LOCAL).storage.root == "/tmp/registry"


def test_a_variable_that_is_set_to_nothing_decides_too(load: Load) -> None:
    settings = load(Role.V1, "{gateway: {v1: {search: true, debug: true}}}", {**LOCAL, "SEARCH_BACKEND": ""})
    assert (settings.v1.search, settings.v1.debug) == (False, True)


def test_the_variables_of_centos_s_package_are_taken(load: Load) -> None:
    """Its /etc/sysconfig/docker-registry, behind an nginx that asks for passwords: nobody else may reach it."""
    packaged = {
        "DOCKER_REGISTRY_CONFIG": str(FILES / "plain.yml"),
        "SETTINGS_FLAVOR": "prod",
        "REGISTRY_ADDRESS": "127.0.0.1",
        "REGISTRY_PORT": "5000",
        "GUNICORN_WORKERS": "8",
    }
    for role in (Role.V1, Role.SERVE):
        settings = load(role, None, packaged)
        assert (roots(settings)[0][1], settings.workers) == ("127.0.0.1:5000", 8)
        assert not any("REGISTRY_ADDRESS" in note for note in settings.notes)
    assert roots(load(Role.V1, None, {**packaged, "REGISTRY_HOST": "127.0.0.2"}))[0][1] == "127.0.0.2:5000"


def test_a_file_of_before_merge_keys_is_told_what_it_lacks(load: Load) -> None:
    (mistake,) = mistakes_of(load, Role.V1, (FILES / "unmerged.yml").read_text())
    assert mistake.startswith("standalone")
    assert "is not set" in mistake
    assert "write standalone: true" in mistake


def test_gunicorn_s_certificate_is_portside_s(load: Load) -> None:
    options = "[--certfile, /c/server.crt, '--keyfile=/c/server.key', --preload]"
    settings = load(Role.V1, None, {**LOCAL, "GUNICORN_OPTS": options})
    (listener,) = settings.listeners
    assert listener.tls is not None
    assert [str(each) for each in listener.tls.files] == ["/c/server.crt", "/c/server.key"]


MISTAKES: list[tuple[str, list[str]]] = [
    (
        "dev: {storage: s3, standalone: true}",
        ["storage (line 1 of", "driver s3 is not supported yet", "storage: local"],
    ),
    ("dev: {storage: gcs, standalone: true}", ["driver gcs is not supported yet"]),
    ("dev: {storage: floppy, standalone: true}", ["there is no storage driver 'floppy'"]),
    ("dev: {storage_path: /x, standalone: true}", ["it must name where the data is"]),
    ("dev:\n  storage: local\n  standalone: false", ["standalone (line 3 of", "named nowhere", "standalone: true"]),
    ("dev: {storage: local}", ["standalone", "it is not set", "standalone: true"]),
    ("dev: {storage: local, standalone: 1}", ["standalone (line 1 of", "it is not true"]),
    (
        "dev: {storage: local, index_endpoint: 'https://index.docker.io/'}",
        ["which there is no more", "standalone: true"],
    ),
    ("dev: {storage: local, index_endpoint: 'ftp://i'}", ["gateway.v1.index", "index_endpoint (line 1 of"]),
    ("local: {storage: local}", ["SETTINGS_FLAVOR", "has no flavor 'dev'; use one of local"]),
    ("{dev: local, local: {storage: local}}", ["SETTINGS_FLAVOR", "is not a section"]),
    ("dev: {storage: local}\n---\ndev: {}", ["not valid YAML for docker-registry", "it must be one document"]),
    ("dev: {storage: local, loglevel: 2014-13-45}", ["a value is not what it looks like"]),
    ("dev: {storage: local, standalone: true, mirroring: {source: m}}", ["https://registry:5000", "source (line 1 of"]),
    ("dev: &a {storage: local, dev: *a}", ["a section contains itself"]),
    (
        "dev: {storage: local, standalone: true, cors: {origins: '*', supports_credentials: true}}",
        ["origins must be named"],
    ),
    (
        "dev: {storage: local, standalone: true, cors: {origins: 'https://a', max_age: soon}}",
        ["cors.max_age (line 1 of"],
    ),
]


@pytest.mark.parametrize(("text", "words"), MISTAKES)
def test_what_cannot_be_served_keeps_it_from_starting_with_one_sentence(
    load: Load, text: str, words: list[str]
) -> None:
    (mistake,) = mistakes_of(load, Role.V1, text)
    assert [word for word in words if word not in mistake] == []


@pytest.mark.parametrize(
    ("value", "word"),
    [
        ("*b", "must be in quotes"),
        ("!!python/name:os.system", "a tag (!!name) stands for an object"),
    ],
)
def test_a_file_that_is_no_yaml_is_told_with_its_line(load: Load, value: str, word: str) -> None:
    with pytest.raises(SettingsProblem, match=re.escape(word)) as caught:
        load(Role.V1, f"dev:\n  storage: local\n  loglevel: {value}\n")
    assert "at line 3" in str(caught.value) or "at line 4" in str(caught.value)


@given(st.text())
def test_any_text_is_a_value_or_no_yaml(text: str) -> None:
    with contextlib.suppress(yaml.YAMLError, RecursionError):
        parse(text)


def test_all_mistakes_are_told_at_once(load: Load) -> None:
    text = "dev:\n  storage: s3\n  mirroring: {source: m}\n"
    found = mistakes_of(load, Role.V1, text, environment={"GUNICORN_WORKERS": "0", "REGISTRY_PORT": "x"})
    assert [each.split()[0].rstrip(":") for each in found] == [
        "storage",
        "standalone",
        "REGISTRY_PORT",
        "GUNICORN_WORKERS",
        "gateway.v1.mirroring.source",
    ]


WITHOUT_EFFECT = {
    "sqlalchemy_index_database: sqlite:////x": "has no database",
    "cache: {host: redis}": "nothing is cached in Redis",
    "cache_lru: {host: redis, port: 1}": "nothing is cached in Redis",
    "bugsnag: abc": "nothing is reported",
    "secret_key: abc": "no session cookies",
    "smtp_host: mail": "it belongs below email_exceptions",
    "include: other.yml": "includes no other files",
    "s3_bucket: b": "another storage driver",
    "unheard_of: 1": "has no key unheard_of either",
    "loglevel: loud": "'loud' is not one of",
    "index_endpoint: https://i": "its own index",
    "cors: {origins: '*', send_wildcard: true}": "sent in any case",
}


@pytest.mark.parametrize("keys", WITHOUT_EFFECT)
def test_what_has_no_effect_is_said_at_start_with_its_line(load: Load, keys: str) -> None:
    (note,) = load(Role.V1, f"dev:\n  {{{FLAVOR},\n   {keys}}}").notes
    assert "(line 3 of " in note
    assert WITHOUT_EFFECT[keys] in note
    assert " has no effect: " in note


def test_a_file_that_leaves_everything_to_variables_says_nothing_at_start(load: Load) -> None:
    assert load_settings(Role.V1, FILES / "flavors.yml", LOCAL, {}).notes == ()


def test_a_variable_that_the_file_does_not_name_is_told(load: Load) -> None:
    settings = load_settings(Role.V1, FILES / "plain.yml", {"SETTINGS_FLAVOR": "prod", "STORAGE_PATH": "/x"}, {})
    assert settings.storage.root == "/srv/docker"
    assert any(note.startswith("STORAGE_PATH has no effect: ") for note in settings.notes)


@pytest.mark.parametrize("role", [Role.SERVE, Role.PROXY, Role.V2])
@pytest.mark.parametrize("name", ["flavors.yml", "plain.yml", "mirror.yml", "flat.yml", "merges.yml", "scalars.yml"])
def test_others_say_whose_file_it_is(role: Role, name: str) -> None:
    with pytest.raises(Exception, match=r"is docker-registry's file.*portside v1 config check"):
        load_settings(role, FILES / name, {}, {})


PORTSIDE_S = [
    "version: 0.1\nstorage: inmemory\nhttp: {addr: ':1'}\n",
    "storage: inmemory\nloglevel: info\n",
    "gateway: {v1: {addr: ':1'}}\n",
    "middleware: {storage: redirect}\n",
    "x-common: &c {level: debug}\nlog: *c\n",
    "",
]


@pytest.mark.parametrize("text", PORTSIDE_S)
def test_distribution_s_and_portside_s_files_are_never_taken_for_it(text: str) -> None:
    assert not is_docker_registry_s(yaml.safe_load(text) or {})


def test_a_file_of_distribution_s_that_the_variable_names_is_told(load: Load, tmp_path: Path) -> None:
    path = tmp_path / "distribution.yml"
    path.write_text("version: 0.1\nstorage: {filesystem: {rootdirectory: /x}}\n")
    (mistake,) = mistakes_of(load, Role.V1, None, environment={"DOCKER_REGISTRY_CONFIG": str(path)})
    assert "has no flavor 'dev'" in mistake


def test_no_secret_is_told(load: Load, tmp_path: Path) -> None:
    secret: dict[str, Any] = {
        "SMTP_HOST": "mail",
        "SMTP_PASSWORD": "hunter2",
        "SMTP_TO_ADDR": "nobody",
        "BUGSNAG": "hunter2",
    }
    settings = load(Role.V1, None, {**LOCAL, **secret, "CACHE_REDIS_PASSWORD": "hunter2"})
    assert settings.notes
    assert not any("hunter2" in note for note in settings.notes)


def test_what_reads_it_is_imported_where_there_is_some_of_it(tmp_path: Path) -> None:
    program = (
        "import os, sys; from portside.settings.loading import Role, load_settings;"
        " load_settings(Role.V1, None, {}, {});"
        " print('portside.settings.docker_registry.older' in sys.modules);"
        " load_settings(Role.V1, None, {'STORAGE_PATH': '/x'}, {});"
        " print('portside.settings.docker_registry.older' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split() == ["False", "True"]
