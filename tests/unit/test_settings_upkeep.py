"""Settings of health, of room on the disk, and of purging, in the forms that distribution's file has."""

from __future__ import annotations

import pytest

from backends.registry.purge_settings import PurgeSettings
from backends.storage.room import RoomSettings
from portside.observe.health import HealthSettings
from portside.settings.loading import Role, SettingsProblem
from tests.support.settings_files import Load

HOUR = 3600.0


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{}", PurgeSettings()),
        ("{enabled: false}", PurgeSettings(enabled=False)),
        (
            "{enabled: true, age: 168h, interval: 24h, dryrun: false}",  # as it stands in distribution's documentation
            PurgeSettings(age_seconds=168 * HOUR, interval_seconds=24 * HOUR),
        ),
        (
            "{age: 1h30m, interval: 90s, dryrun: true}",
            PurgeSettings(age_seconds=1.5 * HOUR, interval_seconds=90, dry_run=True),
        ),
        ("{age: , interval: ''}", PurgeSettings()),
    ],
)
def test_purging_has_distribution_s_keys_and_defaults(load: Load, text: str, expected: PurgeSettings) -> None:
    settings = load(Role.V2, f"storage: {{filesystem: {{}}, maintenance: {{uploadpurging: {text}}}}}")
    assert settings.purging == expected
    assert settings.notes == ()


def test_the_environment_has_it_too(load: Load) -> None:
    names = {
        "REGISTRY_STORAGE_MAINTENANCE_UPLOADPURGING_ENABLED": "false",
        "REGISTRY_STORAGE_MAINTENANCE_UPLOADPURGING_AGE": "2h",
        "REGISTRY_HEALTH_STORAGEDRIVER_ENABLED": "false",
        "REGISTRY_GATEWAY_LOWROOM_BYTES": "500MiB",
    }
    settings = load(Role.V2, None, names)
    assert settings.purging == PurgeSettings(enabled=False, age_seconds=2 * HOUR)
    assert not settings.health.enabled
    assert settings.storage.room.least_bytes == 500 * 1024**2
    whole = load(Role.V2, None, {"REGISTRY_STORAGE_MAINTENANCE_UPLOADPURGING": "{enabled: false}"})
    assert not whole.purging.enabled


@pytest.mark.parametrize("value", ["168", "0", "0s", "-1h", "soon", "true", "[]"])
@pytest.mark.parametrize("key", ["age", "interval"])
def test_an_age_without_its_unit_is_a_mistake(load: Load, key: str, value: str) -> None:
    """168 would be 168 nanoseconds, and every upload would be abandoned."""
    with pytest.raises(SettingsProblem, match=f"storage.maintenance.uploadpurging.{key}: "):
        load(Role.V2, f"storage: {{filesystem: {{}}, maintenance: {{uploadpurging: {{{key}: {value}}}}}}}")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{}", HealthSettings()),
        ("{enabled: true, interval: 10s, threshold: 3}", HealthSettings(threshold=3)),  # the original image's
        ("{enabled: false}", HealthSettings(enabled=False)),
        ("{interval: 0}", HealthSettings()),
        ("{interval: 500ms}", HealthSettings(interval_seconds=0.5)),
    ],
)
def test_health_has_distribution_s_keys(load: Load, text: str, expected: HealthSettings) -> None:
    assert load(Role.V2, f"health: {{storagedriver: {text}}}").health == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{}", RoomSettings(5.0, 2 * 1024**3, 10_000)),
        ("{bytes: 10GB, percent: 12.5, files: 5}", RoomSettings(12.5, 10**10, 5)),
        ("{bytes: 0, percent: 0, files: 0}", RoomSettings(0.0, 0, 0)),
    ],
)
def test_room_is_the_same_on_every_root(load: Load, text: str, expected: RoomSettings) -> None:
    settings = load(Role.SERVE, f"gateway: {{v1: {{storagepath: /old}}, lowroom: {text}}}")
    assert [place.room for place in settings.roots] == [expected] * 2


@pytest.mark.parametrize("text", ["{bytes: 2G}", "{bytes: -1}", "{percent: 101}", "{percent: -1}", "{files: many}"])
def test_room_that_cannot_be_is_a_mistake(load: Load, text: str) -> None:
    with pytest.raises(SettingsProblem, match=r"gateway\.lowroom\."):
        load(Role.V2, f"gateway: {{lowroom: {text}}}")


@pytest.mark.parametrize(("text", "files"), [("/srv/data/", "/srv/data"), ("//srv", "//srv"), ("''", "")])
def test_files_are_a_folder_that_is_named_whole(load: Load, text: str, files: str) -> None:
    for role in (Role.V1, Role.V2, Role.PROXY):
        settings = load(role, f"gateway: {{v1: {{upstream: 'unix:/s', files: {text}}}, v2: {{files: {text}}}}}")
        found = {Role.V1: settings.v1.files, Role.V2: settings.v2.files}.get(role)
        if found is None:
            assert settings.proxy.v1 is not None
            found = settings.proxy.v1.files
        assert found == files


def test_files_that_cannot_be_are_a_mistake_and_those_of_nobody_are_named(load: Load) -> None:
    with pytest.raises(SettingsProblem, match=r"gateway\.v2\.files: .*whole path"):
        load(Role.V2, "gateway: {v2: {files: data}}")
    (note,) = load(Role.SERVE, "gateway: {v2: {files: /data}}").notes
    assert note.startswith("gateway.v2.files ")
    assert "no gateway.v2.upstream that could hand files over" in note
    assert load(Role.V2, "gateway: {v2: {files: /data}}").notes == ()
