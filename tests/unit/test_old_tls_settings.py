"""The legacy profile of TLS in the settings: of which listener it is, and what is wrong with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from portside.settings.changes import compare
from portside.settings.checking import check
from portside.settings.loading import Role
from portside.settings.remarks import Kind
from tests.support.settings_files import Load, mistakes_of

PAIR = "certificate: c, key: k"
BEHIND = "v2: {upstream: 'http://r'}"
SETTINGS = [
    (Role.V2, "http: {addr: ':1', tls: {certificate: c, key: k, profile: legacy}}", 0, "tls1.0", "legacy"),
    (Role.V2, "http: {addr: ':1', tls: {certificate: c, key: k}}", 0, "tls1.2", "default"),
    (
        Role.V2,
        "http: {addr: ':1', tls: {certificate: c, key: k, profile: legacy, minimumtls: tls1.1}}",
        0,
        "tls1.1",
        "legacy",
    ),
    (Role.PROXY, f"http: {{tls: {{{PAIR}}}}}\ngateway: {{tls: {{profile: legacy}}, {BEHIND}}}", 0, "tls1.0", "legacy"),
    (Role.PROXY, "gateway: {legacytls: {addr: ':2'}, v2: {upstream: 'http://r'}}", 0, "tls1.2", "default"),
    (Role.PROXY, "gateway: {legacytls: {addr: ':2'}, v2: {upstream: 'http://r'}}", 1, "tls1.0", "legacy"),
]


@pytest.mark.parametrize(("role", "text", "listener", "minimum", "profile"), SETTINGS)
def test_a_profile_is_that_of_one_listener(
    load: Load, role: Role, text: str, listener: int, minimum: str, profile: str
) -> None:
    tls = load(role, text).listeners[listener].tls
    assert tls is not None
    assert (tls.minimum.value, tls.profile.value) == (minimum, profile)


BOTH = "{addr: ':5000', legacytls: {addr: ':5443'}}"
RELOADED = [
    (BOTH, BOTH, ["default", "legacy"]),
    (BOTH, "{addr: ':5443', legacytls: {addr: ':5000'}}", ["default", "legacy"]),
    (BOTH, "{addr: ':1', legacytls: {addr: ':2'}}", ["default", "legacy"]),
    (BOTH, "{addr: ':5443'}", ["default", "default"]),
    (BOTH, "{addr: 'unix:/x', legacytls: {addr: ':5000'}}", ["default", "legacy"]),
    (BOTH, "{addr: ':5000', tls: {profile: legacy}, legacytls: {addr: ':5443'}}", ["legacy", "legacy"]),
    ("{addr: ':5000'}", "{addr: ':1', legacytls: {addr: ':5000'}}", ["default"]),
]


@pytest.mark.parametrize(("before", "after", "profiles"), RELOADED)
def test_a_reload_gives_the_profile_to_no_other_listener(
    load: Load, before: str, after: str, profiles: list[str]
) -> None:
    """An address needs a restart: what listens at an old one has what is said of it, and not of who has it then."""
    settings = compare(load(Role.SERVE, f"gateway: {before}"), load(Role.SERVE, f"gateway: {after}")).settings
    assert [each.tls.profile.value for each in settings.listeners if each.tls is not None] == profiles


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("http: {addr: ':1'}\ngateway: {legacytls: {addr: ':2'}}", "has no certificate"),
        ("gateway: {legacytls: {addr: 'unix:/x'}}", "nobody speaks TLS on a unix socket"),
        ("gateway: {legacytls: {addr: ':5000'}, addr: ':5000'}", "given to two listeners"),
        ("gateway: {tls: {profile: ancient}}", "'default' or 'legacy'"),
    ],
)
def test_mistakes_in_it_are_told(load: Load, text: str, word: str) -> None:
    (mistake,) = mistakes_of(load, Role.SERVE, text)
    assert word in mistake


def test_config_check_calls_it_dangerous(tmp_path: Path) -> None:
    file = tmp_path / "portside.yml"
    file.write_text("gateway:\n  legacytls:\n    addr: :5443\n")
    report = check(Role.SERVE, file, {})
    assert report.starts
    assert [(each.line, each.verdict) for each in report.lines if each.key] == [(3, Kind.DANGEROUS)]
