"""Which repositories' images are converted: patterns, rules, platforms, and what a client hears."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.model.conversion.policy import (
    ALL_CONVERSIONS,
    ConversionPolicy,
    ConversionRule,
    Permission,
    fits,
    parse_pattern,
    parse_platform,
    refusal,
)
from backends.model.descriptors import Platform
from tests.support.cpu_time import cpu_seconds


@pytest.mark.parametrize(
    ("pattern", "name", "whether"),
    [
        ("*", "busybox", True),
        ("*", "", True),
        ("busybox", "busybox", True),
        ("busybox", "busybox2", False),
        ("legacy/*", "legacy/app", True),
        ("legacy/*", "legacy/team/app", True),
        ("legacy/*", "legacy", False),
        ("legacy/*", "old/legacy/app", False),
        ("*/app", "team/app", True),
        ("*/app", "app", False),
        ("a*b*c", "abc", True),
        ("a*b*c", "a1b2c", True),
        ("a*b*c", "a1c2b", False),
        ("a*a", "a", False),
        ("a*a", "aa", True),
        ("a**a", "aa", True),
        ("a*b*b", "ab", False),
        ("a.c", "abc", False),
    ],
)
def test_a_star_stands_for_any_text(pattern: str, name: str, *, whether: bool) -> None:
    assert fits(pattern, name) == whether


@given(st.text("ab/*", min_size=1, max_size=8), st.text("ab/", max_size=12))
def test_a_pattern_means_what_its_expression_means(pattern: str, name: str) -> None:
    expression = ".*".join(re.escape(part) for part in pattern.split("*"))
    assert fits(pattern, name) == bool(re.fullmatch(expression, name))


def test_many_stars_take_no_time() -> None:
    pattern, name = "*a" * 150, "a" * 254 + "b"
    assert cpu_seconds(lambda: [fits(pattern, name) for _ in range(1000)]) < 0.5


RULES = ConversionPolicy(
    rules=(
        ConversionRule("frozen/*", Permission.PINNED),
        ConversionRule("frozen/*", Permission.ALLOW),
        ConversionRule("redis", Permission.PINNED),
        ConversionRule("library/*", Permission.FORBID),
        ConversionRule("open/*", Permission.ALLOW),
        ConversionRule("*/*", Permission.FORBID),
    )
)


@pytest.mark.parametrize(
    ("name", "permission"),
    [
        ("frozen/app", Permission.PINNED),
        ("open/app", Permission.ALLOW),
        ("team/app", Permission.FORBID),
        ("redis", Permission.PINNED),
        ("library/redis", Permission.PINNED),
        ("busybox", Permission.FORBID),
        ("library/busybox", Permission.FORBID),
        ("library/team/app", Permission.FORBID),
        ("open/library/app", Permission.ALLOW),
        ("Team/App", Permission.FORBID),
    ],
)
def test_the_first_rule_that_fits_holds_and_a_repository_of_either_protocol_is_one(
    name: str, permission: Permission
) -> None:
    assert RULES.permission(name) is permission


def test_without_a_rule_that_fits_conversions_are_allowed() -> None:
    assert ALL_CONVERSIONS.permission("any/thing") is Permission.ALLOW
    assert ConversionPolicy(rules=(ConversionRule("a", Permission.FORBID),)).permission("b") is Permission.ALLOW


@pytest.mark.parametrize("permission", [Permission.PINNED, Permission.FORBID])
def test_a_client_hears_that_it_is_the_settings_doing(permission: Permission) -> None:
    sentence = refusal(permission, "team/app")
    assert "settings" in sentence
    assert "team/app" in sentence


@pytest.mark.parametrize("text", ["", " ", "a b", "a?", "[a]", "ä", "a" * 301, "a\n"])
def test_a_pattern_that_no_name_fits_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="stands for any text"):
        parse_pattern(text)


@pytest.mark.parametrize(
    ("text", "platform"),
    [
        ("linux/amd64", Platform("amd64", "linux")),
        ("linux/arm/v7", Platform("arm", "linux", variant="v7")),
        ("windows/amd64", Platform("amd64", "windows")),
    ],
)
def test_a_platform_is_written_as_docker_does(text: str, platform: Platform) -> None:
    assert parse_platform(text) == platform


@pytest.mark.parametrize("text", ["", "linux", "linux/", "/amd64", "linux/arm/v7/x", "Linux/AMD64", "linux/amd 64"])
def test_another_text_is_not_a_platform(text: str) -> None:
    with pytest.raises(ValueError, match="write a platform"):
        parse_platform(text)
