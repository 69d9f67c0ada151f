"""The shapes of distribution's sections: their defaults, their mistakes, and that a rare one costs nothing."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from portside.settings.loading import Role
from portside.settings.schema.config import Config
from portside.settings.yaml_values import parse_yaml
from tests.support.settings_files import Load, mistakes_of


def config(text: str) -> Config:
    return Config.model_validate(parse_yaml(text))


def test_a_start_without_rare_sections_imports_none_of_them() -> None:
    script = """
    import sys
    from portside.settings.loading import Role, load_settings
    load_settings(Role.SERVE, None, {"REGISTRY_STORAGE_DELETE_ENABLED": "true"}, {})
    print(*sorted(name.rpartition(".")[2] for name in sys.modules if name.startswith("portside.settings.schema.")))
    """
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(line.strip() for line in script.splitlines())],
        capture_output=True,
        text=True,
        check=True,
    )
    expected = "config gateway health http listings log section storage validation values"
    assert done.stdout.split() == expected.split()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("notifications: {endpoints: [{threshold: many}]}", "notifications.endpoints.0.threshold: it must be a whole"),
        ("notifications: {endpoints: [{headers: {A: b}}]}", "notifications.endpoints.0.headers.A: it must be a list"),
        ("notifications: {endpoints: [{timeout: soon}]}", "notifications.endpoints.0.timeout: a duration is written"),
        ("redis: {db: x}", "redis.db: it must be a whole number"),
        ("health: {http: [{statuscode: ok}]}", "health.http.0.statuscode: it must be a whole number"),
        ("log: {hooks: [{levels: error}]}", "log.hooks.0.levels: it must be a list"),
        ("log: {hooks: [{options: {from: [a]}}]}", "log.hooks.0.options.from: it must be text"),
        ("tags: {maxtags: -1}", "tags.maxtags: it must be greater than or equal to 0"),
        ("middleware: {storage: {name: redirect}}", "middleware.storage: it must be a list"),
        ("compatibility: {schema1: {enabled: maybe}}", "compatibility.schema1.enabled: it must be true or false"),
        ("storage: {cache: {blobdescriptorsize: -1}}", "storage.cache.blobdescriptorsize: it must be"),
        ("storage: {redirect: {disable: maybe}}", "storage.redirect.disable: it must be true or false"),
        ("redis: nonsense", "redis: it must be a section"),
    ],
)
def test_a_mistake_in_a_rare_section_is_told_with_its_whole_path(load: Load, text: str, expected: str) -> None:
    (mistake,) = mistakes_of(load, Role.V2, text)
    assert mistake.startswith(expected)


def test_an_endpoint_has_distribution_s_defaults_for_nothing_and_for_less_than_that() -> None:
    for text in ("{url: u}", "{url: u, timeout: 0, threshold: -1, backoff: -5s}"):
        found = config(f"notifications: {{endpoints: [{text}]}}").notifications
        assert found is not None
        (endpoint,) = found.endpoints
        assert (endpoint.timeout, endpoint.threshold, endpoint.backoff) == (1.0, 10, 1.0)
        assert found.events.includereferences is False


SPELLINGS: list[tuple[str, tuple[str, ...]]] = [
    ("{addr: 'a:1'}", ("a:1",)),
    ("{addrs: ['a:1', 'b:2']}", ("a:1", "b:2")),
    ("{addrs: 'a:1'}", ("a:1",)),
    ("{addr: 'a:1', addrs: ['b:2']}", ("b:2",)),
    ("{db: 1}", ()),
]


@pytest.mark.parametrize(("text", "places"), SPELLINGS)
def test_redis_is_named_in_either_spelling(text: str, places: tuple[str, ...]) -> None:
    found = config(f"redis: {text}").redis
    assert found is not None
    assert found.places == places


def test_what_of_redis_may_be_negative_is() -> None:
    found = config("redis: {readtimeout: -1, pool: {idletimeout: -2s}}").redis
    assert found is not None
    assert found.readtimeout == pytest.approx(-1e-9)
    assert found.pool.idletimeout == -2


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("none", {"none": {}}),
        ("{htpasswd: {path: p}}", {"htpasswd": {"path": "p"}}),
        ("{token: {autoredirect: true}}", {"token": {"autoredirect": True}}),
    ],
)
def test_access_control_has_a_shape_although_it_is_refused(text: str, value: dict[str, Any]) -> None:
    found = config(f"auth: {text}").auth
    assert found is not None
    assert found.model_dump(exclude_unset=True) == value
