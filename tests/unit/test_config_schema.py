"""`portside config schema`: valid, with a word on every key; it takes what loads and marks what is wrong."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from jsonschema import Draft7Validator

from portside.cli import main
from portside.settings.descriptions import DESCRIPTIONS
from portside.settings.loading import Role
from tests.support.settings_files import Load, every_key


@cache
def schema() -> dict[str, Any]:
    shown = CliRunner().invoke(main, ["config", "schema"])
    assert shown.exit_code == 0
    read: dict[str, Any] = json.loads(shown.output)
    return read


def mistakes(text: str) -> list[str]:
    """Where a file is not as the schema has it."""
    return [each.json_path for each in Draft7Validator(schema()).iter_errors(yaml.safe_load(text))]


def test_it_is_a_valid_schema() -> None:
    Draft7Validator.check_schema(schema())


def test_every_key_has_a_description_and_every_description_a_key() -> None:
    assert DESCRIPTIONS.keys() == set(every_key())


def test_descriptions_are_sentences() -> None:
    assert [text for text in DESCRIPTIONS.values() if not (text[0].isupper() or text[:4] in {"host", "mail"})] == []
    assert [text for text in DESCRIPTIONS.values() if not text.endswith(".")] == []


VALID = [
    "version: 0.1",
    "version: '0.1'",
    "storage: inmemory",
    "storage: {filesystem: , delete: {enabled: true}}",
    "storage: {maintenance: {readonly: true, uploadpurging: {enabled: true, age: 168h, interval: 1h30m}}}",
    "log: {level: DEBUG, fields: {a: 1, b: [c]}, hooks: [{type: mail, options: {from: a, to: [b]}}]}",
    "http: {addr: ':5000', draintimeout: 60s, headers: {X-A: [b, true]}, secret: 123, tls: {minimumtls: tls1.3}}",
    "http: {host: , secret: '', headers: , tls: {certificate: , clientcas: }}",
    "redis: {addr: 'r:1', addrs: r, dialtimeout: 10ms, readtimeout: -1, pool: {maxidle: 1}}",
    "notifications: {endpoints: [{name: a, url: b, timeout: 500, headers: {A: [b]}, ignore: {actions: [pull]}}]}",
    "gateway: {routeheader: false, lowroom: {bytes: 2GiB, percent: 2.5}, index: {interval: 0}, names: [a]}",
    "gateway: {lowroom: {bytes: 1000}, v1: {upstream: 'http://r', readtimeout: 1h}, trustedproxies: [10.0.0.0/8]}",
    "x-mine: {a: b}",
    "auth: none",
    "gateway: {access: r, auth: {openid: {issuer: 'https://a', audience: b}, htpasswd: {realm: r, path: p}}}",
    "gateway: {access: r, auth: {openid: [{issuer: 'https://a', audience: [b, c], groups: '', prefix: 'a:'}]}}",
    "validation: {manifests: {indexes: {platforms: ALL, platformlist: [{architecture: amd64, os: linux}]}}}",
]
INVALID = [
    ("version: 0.2", "$.version"),
    ("htttp: {}", "$"),
    ("http: {adr: 1}", "$.http"),
    ("log: {level: loud}", "$.log.level"),
    ("http: {draintimeout: soon}", "$.http.draintimeout"),
    ("http: {headers: {X-A: b}}", "$.http.headers['X-A']"),
    ("storage: {maintenance: {uploadpurging: {age: 168}}}", "$.storage"),
    ("catalog: {maxentries: many}", "$.catalog.maxentries"),
    ("gateway: {workers: 257}", "$.gateway.workers"),
    ("gateway: {rule: nginx}", "$.gateway.rule"),
    ("notifications: {endpoints: {name: a}}", "$.notifications.endpoints"),
    ("notifications: {endpoints: [{nmae: a}]}", "$.notifications.endpoints[0]"),
    ("tags: {maxtags: -1}", "$.tags.maxtags"),
]


@pytest.mark.parametrize("text", VALID)
def test_what_loads_is_valid(load: Load, text: str) -> None:
    assert mistakes(text) == []
    load(Role.SERVE, text)


@pytest.mark.parametrize(("text", "path"), INVALID)
def test_what_is_wrong_is_marked_where_it_is(text: str, path: str) -> None:
    assert mistakes(text) == [path]


def test_defaults_choices_and_fates_are_told() -> None:
    keys = schema()["properties"]
    assert keys["http"]["properties"]["tls"]["properties"]["minimumtls"]["default"] == "tls1.2"
    assert keys["gateway"]["properties"]["bodytimeout"]["default"] == "60s"
    assert keys["loglevel"]["deprecated"] is True
    assert "keeps Portside from starting" in keys["proxy"]["properties"]["remoteurl"]["description"]
    assert "It has no effect" in keys["reporting"]["description"]
