"""`portside v1 config check`: what becomes of each key of docker-registry's file, and whether it would start."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from portside.cli import main
from portside.settings.files import SettingsProblem
from portside.settings.loading import Role, load_settings

FILES = Path(__file__).parents[1] / "data" / "config" / "v1"


def run(*arguments: str, **environment: str) -> Result:
    cleared = dict.fromkeys(("DOCKER_REGISTRY_CONFIG", "SETTINGS_FLAVOR", "STORAGE_PATH"))
    return CliRunner(env={**cleared, **environment}).invoke(main, ["v1", "config", "check", *arguments])


def lines_of(*arguments: str, **environment: str) -> dict[str, dict[str, Any]]:
    """Each line by its key or variable."""
    found = json.loads(run(*arguments, "--json", **environment).output)
    return {each["key"] or each["variable"] or "": each for each in found["lines"]}


def test_each_key_says_what_it_becomes_and_where_it_comes_from() -> None:
    lines = lines_of(
        str(FILES / "flavors.yml"),
        "--flavor",
        "local",
        STORAGE_PATH="/r",
        GUNICORN_WORKERS="3",
        REGISTRY_LOG_LEVEL="warn",
    )
    shown = {key: (each["line"], each["source"], each["verdict"], each["becomes"]) for key, each in lines.items()}
    assert shown["storage_path"] == (24, "variable", "used", {"storage.filesystem.rootdirectory": "/r"})
    assert shown["debug"] == (5, "default", "used", {"gateway.v1.debug": False})
    assert shown["issue"] == (3, "written", "used", {"gateway.v1.issue": '"our registry"'})
    assert shown["loglevel"] == (4, "default", "overridden", {})
    assert shown["GUNICORN_WORKERS"] == (None, "variable", "used", {"gateway.workers": 3})
    assert shown["cache.host"] == (15, "default", "ignored", {})
    assert lines["cache.host"]["message"] == "is not set; CACHE_REDIS_HOST sets it"
    assert lines["sqlalchemy_index_database"]["message"].startswith("has no effect: search reads the storage")


def test_every_key_of_the_flavor_has_its_line() -> None:
    lines = lines_of(str(FILES / "flavors.yml"), SETTINGS_FLAVOR="dev")
    numbered = [
        number for number, text in enumerate((FILES / "flavors.yml").read_text().splitlines(), 1) if "_env:" in text
    ]
    there = {each["line"] for each in lines.values()}
    # The flavors s3 and prod, and what dev has of its own instead of what it inherits.
    assert [number for number in numbered if number not in there] == [4, 5, 8, 29, 30, 31, 42, 46]


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["flavors.yml"], 0, ["flavor dev:", "would start, listen on :5000 and have its data in /tmp/registry"]),
        (["flavors.yml", "--flavor", "prod"], 1, ["refused", "driver s3 is not supported yet", "would not start"]),
        (["plain.yml", "--flavor", "prod"], 0, ["it belongs below email_exceptions", "/srv/docker"]),
        (["flat.yml", "--flavor", ""], 0, ["have its data in /data"]),
        (["merges.yml", "--flavor", "nosuch"], 1, ["has no flavor 'nosuch'; use one of"]),
        (["README.md"], 1, ["would not start"]),
        (["absent.yml"], 1, ["cannot be read", "it would not start"]),
    ],
)
def test_the_status_says_whether_it_would_start(arguments: list[str], status: int, words: list[str]) -> None:
    name, *options = arguments
    done = run(str(FILES / name), *options)
    assert done.exit_code == status
    assert [word for word in words if word not in done.output] == []
    as_json = run(str(FILES / name), *options, "--json")
    assert as_json.exit_code == status
    assert json.loads(as_json.output)["starts"] is (status == 0)


@pytest.mark.parametrize("name", ["flavors.yml", "plain.yml", "mirror.yml", "merges.yml", "scalars.yml"])
@pytest.mark.parametrize("flavor", ["dev", "local", "prod", "test"])
def test_the_verdict_is_that_of_a_start(name: str, flavor: str) -> None:
    try:
        load_settings(Role.V1, FILES / name, {"SETTINGS_FLAVOR": flavor}, {})
        starts = True
    except SettingsProblem:
        starts = False
    assert (run(str(FILES / name), "--flavor", flavor).exit_code == 0) is starts


def test_another_program_s_file_is_told(tmp_path: Path) -> None:
    path = tmp_path / "config.yml"
    path.write_text("version: 0.1\nstorage: inmemory\n")
    done = run(str(path))
    assert done.exit_code == 1
    assert "is not docker-registry's file" in done.output
    portside_s = CliRunner().invoke(main, ["config", "check", str(FILES / "plain.yml")])
    assert portside_s.exit_code == 1
    assert f"portside v1 config check {FILES / 'plain.yml'}" in portside_s.output


def test_without_a_file_the_variables_are_explained() -> None:
    lines = lines_of(SETTINGS_FLAVOR="local", STANDALONE="no")
    assert (lines["standalone"]["verdict"], lines["standalone"]["variable"]) == ("refused", "STANDALONE")
    assert run().output == "`portside v1` would start, listen on 127.0.0.1:5081 and have its data in data\n"


def test_what_portside_says_of_a_value_stands_at_its_key() -> None:
    line = lines_of(SETTINGS_FLAVOR="local", CORS_ORIGINS="nonsense")["cors.origins"]
    assert line["verdict"] == "refused"
    assert "write an origin as browsers send it" in line["message"]


def test_no_secret_is_shown() -> None:
    for arguments in ((str(FILES / "plain.yml"),), (str(FILES / "plain.yml"), "--json")):
        output = run(*arguments, BUGSNAG="hunter2").output
        assert "mail.example.com:587" in output
        assert "hunter2" not in output
    shown = run(SETTINGS_FLAVOR="local", MIRROR_SOURCE="http://user:hunter2@m").output
    assert "mirroring.source" in shown
    assert "hunter2" not in shown
