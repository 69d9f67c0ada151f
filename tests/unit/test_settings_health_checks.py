"""`health.file`, `health.http` and `health.tcp`, as distribution's file has them."""

from __future__ import annotations

import pytest

from portside.observe.check_settings import FileCheck, HttpCheck, TcpCheck
from portside.observe.health import HealthSettings
from portside.settings.loading import Role
from tests.support.settings_files import Load, mistakes_of

# as it stands in distribution's documentation
DOCUMENTED = """
version: 0.1
storage: {filesystem: {}}
health:
  storagedriver: {enabled: true, interval: 10s, threshold: 3}
  file:
    - file: /path/to/checked/file
      interval: 20s
  http:
    - uri: http://server.to.check/must/return/200
      headers:
        Authorization: [Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==]
        X-Twice: [a, b]
      statuscode: 204
      timeout: 4s
      interval: 30s
      threshold: 3
  tcp:
    - addr: redis-server.domain.com:6379
      timeout: 5s
      interval: 40s
      threshold: 2
"""


def test_each_check_is_as_it_is_written(load: Load) -> None:
    settings = load(Role.V2, DOCUMENTED)
    assert settings.notes == ()
    assert settings.health == HealthSettings(
        threshold=3,
        configured=(
            FileCheck("/path/to/checked/file", 20.0),
            HttpCheck(
                "http://server.to.check/must/return/200",
                (("Authorization", "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="), ("X-Twice", "a"), ("X-Twice", "b")),
                204,
                4.0,
                30.0,
                3,
            ),
            TcpCheck("redis-server.domain.com:6379", 5.0, 40.0, 2),
        ),
    )


def test_what_is_left_out_is_as_usual(load: Load) -> None:
    text = """
    health:
      file: [{file: relative}]
      http: [{uri: 'https://[::1]:8080', statuscode: 0, interval: 0s}]
      tcp: [{addr: ':80', timeout: 0s}]
    """
    assert load(Role.V1, text).health.configured == (
        FileCheck("relative"),
        HttpCheck("https://[::1]:8080"),
        TcpCheck(":80"),
    )


def test_the_environment_has_distribution_s_names(load: Load) -> None:
    names = {
        "REGISTRY_HEALTH_FILECHECKERS": "[{file: /down, threshold: 2}]",
        "REGISTRY_HEALTH_HTTPCHECKERS": "[{uri: 'http://a/'}]",
        "REGISTRY_HEALTH_TCPCHECKERS": "[{addr: 'a:1'}]",
    }
    settings = load(Role.V2, None, names)
    assert settings.health.configured == (FileCheck("/down", threshold=2), HttpCheck("http://a/"), TcpCheck("a:1"))


@pytest.mark.parametrize(
    ("checks", "mistake"),
    [
        ("file: [{interval: 5s}]", "health.file.0.file: name a file"),
        ("http: [{uri: /x}]", "health.http.0.uri: write it like http://host:port/"),
        ("http: [{uri: 'ftp://a/'}]", "health.http.0.uri: write it like http://host:port/"),
        ("http: [{uri: 'http://a:x/'}]", "health.http.0.uri: write it like http://host:port/"),
        ("http: [{uri: 'http://'}]", "health.http.0.uri: write it like http://host:port/"),
        ("tcp: [{addr: a}]", "health.tcp.0.addr: write it like host:port"),
        ("tcp: [{addr: 'a:0'}]", "health.tcp.0.addr: write it like host:port"),
        ("tcp: [{}, {addr: 'a:70000'}]", "health.tcp.0.addr: write it like host:port"),
        ("file: [{file: /a}, {file: /a}]", "health.file.1.file: /a is checked twice; health names each check once"),
        (
            "http: [{uri: 'http://u:p@a/'}, {uri: 'http://u:p@a/'}]",
            "health.http.1.uri: http://***@a/ is checked twice; health names each check once",
        ),
    ],
)
def test_a_check_that_cannot_be_made_is_a_mistake(load: Load, checks: str, mistake: str) -> None:
    assert any(each.startswith(mistake) for each in mistakes_of(load, Role.V2, f"health: {{{checks}}}"))


def test_no_header_is_shown(load: Load) -> None:
    assert "QWxhZGRpbjpvcGVuIHNlc2FtZQ" not in repr(load(Role.V2, DOCUMENTED))
