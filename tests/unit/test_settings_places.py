"""Which settings file is read, and what is said of one that is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from portside.settings import places
from portside.settings.files import SettingsProblem, read_file
from portside.settings.loading import Role
from portside.settings.places import settings_path, unread, unserved
from tests.support.settings_files import Load


def test_a_named_file_goes_before_the_list_and_the_list_in_its_order(tmp_path: Path) -> None:
    newer, older = tmp_path / "distribution.yml", tmp_path / "docker.yml"
    listed = {"PORTSIDE_CONFIG_PATHS": f"{newer}:{older}:"}
    assert settings_path({}) is None
    assert settings_path(listed) is None
    older.touch()
    assert settings_path(listed) == older
    newer.touch()
    assert settings_path(listed) == newer
    assert settings_path({**listed, "REGISTRY_CONFIGURATION_PATH": "/named.yml"}) == Path("/named.yml")


def test_a_listed_file_that_cannot_be_looked_at_is_not_passed_over(tmp_path: Path) -> None:
    loop, other = tmp_path / "loop.yml", tmp_path / "other.yml"
    loop.symlink_to(loop)
    other.touch()
    path = settings_path({"PORTSIDE_CONFIG_PATHS": f"{tmp_path / 'dangling'}:{other / 'below'}:{loop}:{other}"})
    assert path == loop
    with pytest.raises(SettingsProblem, match="cannot be read"):
        read_file(path)


def test_a_file_that_is_not_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    newer, older = tmp_path / "distribution.yml", tmp_path / "docker.yml"
    monkeypatch.setattr(places, "DISTRIBUTION_S", (str(newer), str(older)))
    assert list(unread(None, {}, named=False)) == []
    older.touch()
    (said,) = unread(None, {}, named=False)
    assert said == f"{older} is there and was not read: to have it read, name it as the argument"
    assert list(unread(tmp_path / "mine.yml", {}, named=True)) == []
    listed = {"PORTSIDE_CONFIG_PATHS": f"{newer}:{older}"}
    assert list(unread(older, listed, named=False)) == []
    newer.touch()
    (said,) = unread(newer, listed, named=False)
    assert said.startswith(f"{older} is there and was not read, but {newer}: ")


def test_a_volume_of_docker_registry_s_that_is_not_served_is_named(tmp_path: Path) -> None:
    volume = tmp_path / "registry"
    assert list(unserved(["data"], volume=str(volume))) == []
    (volume / "images").mkdir(parents=True)
    (said,) = unserved(["data"], volume=str(volume))
    assert said.startswith(f"{volume} holds images of docker-registry and is not served")
    assert list(unserved([f"{volume}/"], volume=str(volume))) == []


ROOTS = [
    (None, "data"),
    ("version: 0.1", "data"),
    ("{version: 0.1, storage: filesystem}", "/var/lib/registry"),
    ("{version: 0.1, storage: {filesystem: }}", "/var/lib/registry"),
    ("{version: 0.1, storage: {filesystem: {rootdirectory: /srv}}}", "/srv"),
    ("storage: filesystem", "data"),
    ("{version: 0.1, storage: {filesystem: {maxthreads: 50}}}", "/var/lib/registry"),
]


@pytest.mark.parametrize(("text", "root"), ROOTS)
def test_where_distribution_s_file_names_no_folder_it_is_distribution_s(
    load: Load, text: str | None, root: str
) -> None:
    assert load(Role.V2, text).storage.root == root
    assert load(Role.V2, text, flags={"data": "/flag"}).storage.root == "/flag"


def test_the_file_that_was_read_is_remembered(load: Load, tmp_path: Path) -> None:
    assert load(Role.V2, "version: 0.1").source == tmp_path / "config.yml"
    assert load(Role.V2).source is None
