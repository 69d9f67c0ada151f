"""What is required of a pushed manifest, by profile and by distribution's keys."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from backends.registry.validation import AnyUrl, Validation
from portside.settings.loading import Role
from portside.settings.url_patterns import PatternRule
from tests.support.cpu_time import cpu_seconds
from tests.support.settings_files import Load, mistakes_of

OCI = Validation(layers=False, children=False, urls=AnyUrl())
DISTRIBUTION = Validation(urls=PatternRule(()))


@pytest.mark.parametrize("role", [Role.SERVE, Role.V2])
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, OCI),
        ("gateway: {workers: 1}", OCI),
        ("version: 0.1", DISTRIBUTION),
        ("{version: 0.1, gateway: {profile: oci}}", OCI),
        ("gateway: {profile: Distribution}", DISTRIBUTION),
        ("gateway: {requirelayers: true}", Validation()),
        ("{version: 0.1, gateway: {requirelayers: false}}", Validation(layers=False, urls=PatternRule(()))),
    ],
)
def test_the_file_or_a_key_decides_the_profile(load: Load, role: Role, text: str | None, expected: Validation) -> None:
    settings = load(role, text)
    assert settings.validation == expected
    assert not [note for note in settings.notes if "validation" in note]


def test_a_variable_is_not_a_file_of_distribution(load: Load) -> None:
    assert load(Role.V2, None, {"REGISTRY_VERSION": "0.1"}).validation == OCI
    assert load(Role.V2, None, {"REGISTRY_GATEWAY_PROFILE": "distribution"}).validation == DISTRIBUTION


@pytest.mark.parametrize(
    ("section", "expected"),
    [
        ({"disabled": True}, Validation(children=False, urls=PatternRule(None))),
        ({"disabled": True, "enabled": True}, DISTRIBUTION),
        ({"enabled": False}, DISTRIBUTION),
        ({"manifests": {"urls": {"allow": ["^https://a/", "b"]}}}, Validation(urls=PatternRule(("^https://a/", "b")))),
        ({"manifests": {"urls": {"deny": ["x"]}}}, Validation(urls=PatternRule(None, ("x",)))),
        ({"manifests": {"urls": {"allow": ["a"], "deny": ["x"]}}}, Validation(urls=PatternRule(("a",), ("x",)))),
        ({"manifests": {"indexes": {"platforms": "NONE"}}}, Validation(children=False, urls=PatternRule(()))),
        (
            {
                "manifests": {
                    "indexes": {"platforms": "list", "platformlist": [{"architecture": "amd64", "os": "linux"}]}
                }
            },
            Validation(platforms=frozenset({("amd64", "linux")}), urls=PatternRule(())),
        ),
    ],
)
def test_distributions_keys(load: Load, section: dict[str, Any], expected: Validation) -> None:
    text = yaml.safe_dump({"version": 0.1, "validation": section})
    settings = load(Role.V2, text)
    assert settings.validation == expected
    named = [note for note in settings.notes if "validation" in note]
    assert len(named) == ("enabled" in section)  # the older name
    notes = [each for each in load(Role.V2, yaml.safe_dump({"validation": section})).notes if each not in named]
    assert [note.startswith("validation has no effect in the profile oci") for note in notes] == [True] * any(
        section.values()
    )


@pytest.mark.parametrize(
    ("text", "prefix"),
    [("", ""), ("/", ""), ("/r", "/r"), ("/r/", "/r"), ("/a.b/_c-d~/", "/a.b/_c-d~"), ("/.../", "/...")],
)
def test_a_prefix_has_its_slashes_as_in_distribution(load: Load, text: str, prefix: str) -> None:
    assert load(Role.V2, f"http: {{prefix: '{text}'}}").v2.prefix == prefix


@pytest.mark.parametrize(
    "text", ["r/", "r", "//", "/r//", "/a//b", "/./", "/../", "/a/..", "/a b/", "/{x}/", "/a%2fb/", "/a?b", "/é/"]
)
def test_a_prefix_that_would_answer_nothing_is_a_mistake(load: Load, text: str) -> None:
    (found,) = mistakes_of(load, Role.V2, f"http: {{prefix: '{text}'}}")
    assert found.startswith("http.prefix: write it like /registry/")


@pytest.mark.parametrize(
    ("addr", "named"),
    [
        ("localhost:5001", False),
        ("127.0.0.1:5001", False),
        ("127.0.0.2:5001", False),
        ("[::1]:5001", False),
        ("unix:/run/debug", False),
        (":5001", True),
        ("0.0.0.0:5001", True),
        ("192.0.2.7:5001", True),
    ],
)
def test_a_debug_server_that_others_reach_is_named(load: Load, addr: str, *, named: bool) -> None:
    notes = load(Role.V2, f"http: {{debug: {{addr: '{addr}'}}}}").notes
    assert [note.startswith(f"http.debug.addr {addr} can be reached") for note in notes] == [True] * named


@pytest.mark.parametrize("version", ["version: 0.1, ", ""])
@pytest.mark.parametrize(
    ("text", "schema1", "classes"),
    [
        ("", True, []),
        ("compatibility: {schema1: {enabled: true}}", True, []),
        ("compatibility: {schema1: {disablesignaturestore: false}}", True, []),
        ("compatibility: {schema1: {enabled: false}}", False, []),
        ("policy: {repository: {classes: []}}", True, []),
        ("policy: {repository: {classes: [plugin, image]}}", True, ["image", "plugin"]),
    ],
)
def test_which_kinds_may_be_pushed_is_the_same_in_both_profiles(
    load: Load, version: str, text: str, classes: list[str], *, schema1: bool
) -> None:
    settings = load(Role.V2, f"{{{version}{text}}}")
    assert (settings.validation.schema1, sorted(settings.validation.classes)) == (schema1, classes)
    assert not settings.notes


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("policy: {repository: {classes: [image, charts]}}", "'charts' is not a class that an image can have"),
        ("compatibility: {schema1: {disablesignaturestore: true}}", "disablesignaturestore has no effect"),
    ],
)
def test_what_has_no_effect_is_named(load: Load, text: str, words: str) -> None:
    (note,) = load(Role.V2, text).notes
    assert words in note


@pytest.mark.parametrize(
    ("profile", "text", "most"),
    [
        ("oci", "", 10_000),
        ("distribution", "", 1000),
        ("oci", "tags: {maxtags: 0}", 10_000),
        ("distribution", "tags: {maxtags: 0}", 1000),
        ("distribution", "tags: {maxtags: 7}", 7),
        ("oci", "tags: {maxtags: 7}", 7),
    ],
)
def test_how_many_tags_a_page_has(load: Load, profile: str, text: str, most: int) -> None:
    assert load(Role.V2, f"{{gateway: {{profile: {profile}}}, {text}}}").v2.tags_max == most


def test_a_negative_number_of_tags_is_a_mistake(load: Load) -> None:
    (found,) = mistakes_of(load, Role.V2, "tags: {maxtags: -1}")
    assert found.startswith("tags.maxtags: ")


@pytest.mark.parametrize(
    ("section", "mistake"),
    [
        ({"manifests": {"urls": {"allow": ["ok", "("]}}}, "validation.manifests.urls.allow.1: it is not a regular"),
        ({"manifests": {"urls": {"deny": ["(?=a)"]}}}, "validation.manifests.urls.deny.0: it is not a regular"),
        ({"manifests": {"indexes": {"platforms": "some"}}}, "validation.manifests.indexes.platforms: "),
    ],
)
def test_mistakes_are_named(load: Load, section: dict[str, Any], mistake: str) -> None:
    (found,) = mistakes_of(load, Role.V2, yaml.safe_dump({"version": 0.1, "validation": section}))
    assert mistake in found


@pytest.mark.parametrize(
    ("rule", "url", "permitted"),
    [
        (PatternRule(()), "https://a/", False),
        (PatternRule(None), "https://a/", True),
        (PatternRule(None), "http://a/b?c", True),
        (PatternRule(None), "ftp://a/", False),
        (PatternRule(None), "file:///etc/passwd", False),
        (PatternRule(None), "https://a/#b", False),
        (PatternRule(None), "https://[a/", False),
        (PatternRule(None), "", False),
        (PatternRule(None), "https://a/" + "x" * 4087, False),
        (PatternRule(None), "https://a/" + "x" * 4086, True),
        (PatternRule(("^https://a/", "b")), "https://c/b", True),
        (PatternRule(("^https://a/",)), "https://b/?https://a/", False),
        (PatternRule(None, ("secret",)), "https://a/secret", False),
        (PatternRule(("a",), ("secret",)), "https://a/", True),
        (PatternRule(("a",), ("secret",)), "https://a/secret", False),
    ],
)
def test_which_addresses_a_layer_may_name(rule: PatternRule, url: str, *, permitted: bool) -> None:
    assert rule.permits(url) is permitted


def test_no_address_makes_a_pattern_slow() -> None:
    rule = PatternRule((r"^https://([^/]+\.)*example\.com/$", r"(a+)+$"))
    address = "https://" + "a." * 1000 + "a" * 1000 + "!"
    assert not rule.permits(address)
    assert cpu_seconds(lambda: rule.permits(address)) < 1
