"""Scalars of the file and the environment: empty ones are not set, others keep their spelling where text is wanted."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from portside.settings.loading import Role
from portside.settings.unsupported import REFUSED
from portside.settings.yaml_values import Written, parse_yaml, plain
from tests.support.settings_files import Load, every_key, mistakes_of, variable_of

# `""` closes a listener that has a default; an empty driver is a driver all the same.
EMPTY_TEXT_MEANS_NONE = {"gateway.v1.addr", "gateway.v2.addr", "gateway.metrics.addr"}
DRIVERS = {"storage.filesystem", "storage.inmemory"}


def _may_be_empty(key: str) -> bool:
    """Whether a key with nothing behind it is no mistake: naming a driver, or a scheme of `auth`, asks for it."""
    return key not in DRIVERS and not key.startswith(("auth.", "gateway.auth.")) and "[]" not in key


KEYS = sorted({key for key in (*every_key(), *REFUSED) if _may_be_empty(key)})


class _Quoting(yaml.SafeDumper):
    """Puts all text in quotes."""


_Quoting.add_representer(str, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"'))


def _nested(dotted: str, value: str) -> str:
    *above, last = dotted.split(".")
    return "".join(f"{{{key}: " for key in above) + f"{{{last}: {value}}}" + "}" * len(above)


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("empty", ["", "''", "~"])
def test_an_empty_scalar_in_the_file_means_that_the_key_is_not_set(load: Load, key: str, empty: str) -> None:
    if empty == "''" and key in EMPTY_TEXT_MEANS_NONE:
        assert load(Role.SERVE, _nested(key, empty)) != load(Role.SERVE)
        return
    for role in (Role.SERVE, Role.V2):
        assert load(role, _nested(key, empty)) == load(role)


@pytest.mark.parametrize("key", [key for key in KEYS if key != "version"])
def test_an_empty_variable_means_that_the_key_is_not_set_whatever_the_file_says(load: Load, key: str) -> None:
    assert load(Role.SERVE, None, {variable_of(key): ""}) == load(Role.SERVE)


def test_an_empty_variable_takes_back_what_the_file_sets(load: Load) -> None:
    text = "http: {host: 'https://r', secret: s, headers: {X-A: [b]}}"
    empty = {"REGISTRY_HTTP_HOST": "", "REGISTRY_HTTP_SECRET": "", "REGISTRY_HTTP_HEADERS": ""}
    assert load(Role.V2, text, empty) == load(Role.V2)


@pytest.mark.parametrize(
    "text",
    [
        "http: {host: , secret: , net: '', tls: {certificate: , key: , clientcas: , letsencrypt: {cachefile: }}}",
        "{log: {level: '', formatter: , fields: {service: }}, storage: {filesystem: , delete: {enabled: }}}",
        "{storage: , http: {headers: {X-A: }}, proxy: {remoteurl: , username: '', password: }}",
        "gateway: {tls: {certificates: , clientcas: ''}, certs: , names: , trustedproxies: , routeheader: }",
    ],
)
def test_a_section_may_list_its_keys_and_set_none(load: Load, text: str) -> None:
    assert load(Role.SERVE, text) == load(Role.SERVE)


@pytest.mark.parametrize(
    ("text", "start"),
    [
        ("gateway: {tls: {certificates: [{certificate: , key: }]}}", "gateway.tls.certificates.0.certificate:"),
        ("http: {tls: {certificate: a, key: }}", "http.tls:"),
        ("http: {tls: {clientcas: ['']}}", "http.tls:"),
        ("auth: {htpasswd: }", "auth.htpasswd.realm:"),
        ("storage: {s3: }", "storage.s3:"),
    ],
)
def test_what_was_begun_and_left_empty_is_still_a_mistake(load: Load, text: str, start: str) -> None:
    assert mistakes_of(load, Role.SERVE, text)[0].startswith(start)


SPELLINGS = [
    "true",
    "False",
    "yes",
    "1.50",
    "0123",
    "0x1F",
    "1e3",
    "2026-01-02",
    "2026-13-45",
    "12:30",
    "1_000",
    "nosniff",
]


@pytest.mark.parametrize("written", SPELLINGS)
def test_text_keeps_the_spelling_that_it_has_in_the_file(load: Load, written: str) -> None:
    text = f"""
    storage: {{filesystem: {{rootdirectory: {written}}}}}
    http: {{headers: {{Access-Control-Allow-Credentials: [{written}, b], X-B: [{written}]}}}}
    gateway: {{cacopy: {written}}}
    """
    settings = load(Role.V2, text)
    assert settings.headers == {"Access-Control-Allow-Credentials": f"{written}, b", "X-B": written}
    assert (settings.storage.root, settings.ca_copy) == (written, written)
    environment = {
        "REGISTRY_HTTP_HEADERS_X-B": f"[{written}]",
        "REGISTRY_GATEWAY_CACOPY": written,
    }
    settings = load(Role.V2, None, environment)
    assert (settings.headers, settings.ca_copy) == ({"x-b": written}, written)


def test_values_that_are_not_text_are_what_yaml_takes_them_for(load: Load) -> None:
    text = """
    log: {fields: {build: 1.5, canary: yes, on: off, list: [1, {a: true}]}, accesslog: {disabled: on}}
    catalog: {maxentries: 1_0}
    http: {relativeurls: yes, draintimeout: 2_000_000_000}
    """
    settings = load(Role.V2, text)
    assert settings.log.fields == {"build": 1.5, "canary": True, "on": False, "list": [1, {"a": True}]}
    assert not settings.log.access
    assert (settings.v2.catalog_max_entries, settings.v2.relative_urls, settings.drain_seconds) == (10, True, 2)


def test_a_header_with_an_empty_list_is_not_sent(load: Load) -> None:
    assert load(Role.V2, "http: {headers: {X-A: [], X-B: [c]}}").headers == {"X-B": "c"}


@pytest.mark.parametrize("nothing", ["false", "no", "off"])
def test_the_route_header_is_switched_off_by_any_spelling_of_false(load: Load, nothing: str) -> None:
    assert load(Role.SERVE, f"gateway: {{routeheader: {nothing}}}").proxy.route_header == ""


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(), st.lists))
def test_values_are_those_of_yaml_itself_where_text_is_in_quotes(value: Any) -> None:
    text = yaml.dump(value, Dumper=_Quoting)
    assert plain(parse_yaml(text)) == yaml.safe_load(text)


# What PyYAML takes for something else than Go's yaml.v2 does, on which distribution stands.
RESOLVED: list[tuple[str, Any]] = [
    ("y", True),
    ("N", False),
    ("On", True),
    ("1e3", 1000.0),
    ("-2E-2", -0.02),
    (".5", 0.5),
    ("08", 8.0),
    ("0123", 83),
    ("0o17", 15),
    ("0b101", 5),
    ("-0x1F", -31),
    ("1_000", 1000),
    ("12:30", "12:30"),
    ("1:30:00", "1:30:00"),
    ("2026-01-02", "2026-01-02"),
    ("2026-13-45", "2026-13-45"),
    ("yES", "yES"),
    ("1.2.3", "1.2.3"),
    ("0x", "0x"),
    ("!!binary aGk=", "hi"),
    ("!mine 5", "5"),
    ("!mine {a: 1}", {"a": 1}),
    ("!!set {a}", {"a": None}),
    ("!!int many", "many"),
]


@pytest.mark.parametrize(("written", "value"), RESOLVED)
def test_values_are_those_of_go_s_yaml(written: str, value: Any) -> None:
    found = plain(parse_yaml(f"a: {written}\n"))["a"]
    assert (found, type(found)) == (value, type(value))


def test_a_key_is_text_whatever_it_looks_like() -> None:
    assert plain(parse_yaml("~: a\n1: b\ntrue: c\n")) == {"~": "a", "1": "b", "true": "c"}


def test_merged_keys_may_be_overridden_and_anchors_used_twice() -> None:
    text = "a: &a {k: 1, l: 2}\nb: &b\n  <<: *a\n  k: 3\nc:\n  <<: *b\n  k: 4\n"
    assert plain(parse_yaml(text)) == {"a": {"k": 1, "l": 2}, "b": {"k": 3, "l": 2}, "c": {"k": 4, "l": 2}}
    assert isinstance(parse_yaml("1"), Written)
