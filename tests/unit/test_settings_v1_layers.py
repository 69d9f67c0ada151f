"""Settings of where v1's layers come from: a registry that is mirrored, nginx in front, others who serve files."""

from __future__ import annotations

import pytest

from backends.v1.mirror.settings import MirrorSettings
from portside.settings.loading import Role
from tests.support.settings_files import Load, mistakes_of

DATA = "storage: {filesystem: {rootdirectory: /data}}\n"


def mirror(text: str) -> str:
    return f"{DATA}gateway: {{v1: {{mirroring: {{{text}}}}}}}\n"


def test_a_mirror_is_asked_for_by_its_source(load: Load) -> None:
    settings = load(Role.V1, mirror("source: 'https://r:5000/'"))
    assert settings.mirroring == MirrorSettings("https://r:5000", tags_seconds=172_800)
    assert settings.notes == ()
    text = (
        "source: 'http://r/x', sourceindex: 'https://i', tagscachettl: 0, ca: /ca, user: m, passwordfile: /p,"
        " unencrypted: true"
    )
    assert load(Role.SERVE, mirror(text)).mirroring == MirrorSettings(
        "http://r/x", source_index="https://i", tags_seconds=0, ca="/ca", user="m", password_file="/p"
    )


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("source: 'ftp://r'", "write it like https://registry:5000"),
        ("source: 'https://'", "write it like https://registry:5000"),
        ("source: 'https://r:99999'", "write it like https://registry:5000"),
        ("source: 'https://r/?a=b'", "write it like https://registry:5000"),
        ("source: 'https://me:secret@r'", "user and passwordfile, beside it"),
        ("sourceindex: 'https://r'", "it must be set"),
        ("source: 'https://r', user: me", "name both user and passwordfile"),
        ("source: 'http://r', user: me, passwordfile: /p", "over plain http"),
        ("source: 'https://r', sourceindex: 'http://r', user: me, passwordfile: /p", "over plain http"),
        ("source: 'https://r', user: 'a:b', passwordfile: /p", "no colon"),
    ],
)
def test_what_cannot_be_keeps_it_from_starting(load: Load, text: str, says: str) -> None:
    found = mistakes_of(load, Role.V1, mirror(text))
    assert [each for each in found if each.startswith("gateway.v1.mirroring") and says in each], found
    assert "secret" not in str(found)


def test_a_mirror_and_access_control_exclude_each_other(load: Load) -> None:
    users = "auth: {htpasswd: {realm: r, path: p}}\n"
    (mistake,) = mistakes_of(load, Role.V1, users + mirror("source: 'https://r'"))
    assert mistake.startswith("gateway.v1.mirroring: it cannot be together with access control")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (f"{mirror('source: https://r')}", "gateway.v1.mirroring has no effect: a registry that is read-only"),
        ("gateway: {v1: {xaccelredirect: /a}}", "gateway.v1.xaccelredirect has no effect: gateway.trustedproxies"),
        ("gateway: {v1: {storageredirect: true}}", "gateway.v1.storageredirect has no effect: middleware.storage"),
    ],
)
def test_what_has_no_effect_is_said(load: Load, text: str, says: str) -> None:
    if "read-only" in says:
        text = text.replace(
            DATA, "storage: {filesystem: {rootdirectory: /d}, maintenance: {readonly: {enabled: true}}}\n"
        )
    settings = load(Role.V1, text)
    assert settings.mirroring is None
    assert [note for note in settings.notes if note.startswith(says)], settings.notes


def test_where_nginx_is_named_it_is_sent_to(load: Load) -> None:
    text = "gateway: {trustedproxies: [127.0.0.1], v1: {xaccelredirect: /accel/}}"
    settings = load(Role.V1, DATA + text)
    assert settings.v1.accel_prefix == "/accel"
    assert settings.notes == ()
    for other in ("accel", '"/a\\r\\nX: y"', "/a//b", "/"):
        (mistake,) = mistakes_of(load, Role.V1, DATA + text.replace("/accel/", other))
        assert "internal location" in mistake
