"""A host of docker-registry's puts Portside in its place: the same variables, the same file, the same answers.

The programs are the real ones. The original is compared wherever a Python 2.7 is found.
"""

from __future__ import annotations

import http.client
import json
import signal
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.commands import portside, running_command
from tests.support.docker import Docker
from tests.support.docker_registry_0_9_1 import docker_registry_0_9_1
from tests.support.images import make_image
from tests.support.ports import free_port
from tests.support.wire import Address

FILES = Path(__file__).parents[2] / "data" / "config" / "v1"
TOLD = ("X-Docker-Registry-Standalone", "X-Docker-Registry-Config", "Access-Control-Allow-Origin", "X-Docker-Endpoints")
LONE = {
    "REGISTRY_GATEWAY_V1_ADDR": "",
    "REGISTRY_GATEWAY_V2_ADDR": "",
    "REGISTRY_GATEWAY_METRICS_ADDR": "",
    "REGISTRY_GATEWAY_WORKERS": "1",
}


def ask(port: int, target: str) -> tuple[int, str, dict[str, str]]:
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=20)) as connection:
        connection.request("GET", target, headers={"Host": "registry.example", "Origin": "https://ui.example"})
        answer = connection.getresponse()
        told = {each: answer.headers[each] for each in TOLD if each in answer.headers}
        return answer.status, answer.read().decode(), told


def settings_shown(port: int) -> dict[str, object]:
    """What of its settings a registry shows to whoever asks."""
    ping, root, search = ask(port, "/v1/_ping"), ask(port, "/"), ask(port, "/v1/search?q=x")
    users, image = ask(port, "/v1/users/"), ask(port, f"/v1/images/{'a' * 64}/json")
    return {
        "ping": (ping[0], sorted(json.loads(ping[1])), ping[2]),
        "root": root,
        "search": search[0],
        "users": users[0],
        "image": image[0],
    }


CASES: dict[str, dict[str, str]] = {
    "local": {"SETTINGS_FLAVOR": "local", "SEARCH_BACKEND": ""},
    "dev": {"SETTINGS_FLAVOR": "dev"},
    "dev without search": {"SETTINGS_FLAVOR": "dev", "SEARCH_BACKEND": ""},
    "dev without debug": {"SETTINGS_FLAVOR": "dev", "DEBUG": "no"},
    "local with search": {"SETTINGS_FLAVOR": "local", "SEARCH_BACKEND": "sqlalchemy"},
    "local with debug": {"SETTINGS_FLAVOR": "local", "DEBUG": "1"},
    "an index": {"SETTINGS_FLAVOR": "local", "STANDALONE": "false", "INDEX_ENDPOINT": "http://127.0.0.1:9"},
    "a mirror": {"SETTINGS_FLAVOR": "local", "MIRROR_SOURCE": "http://127.0.0.1:9"},
    "a page elsewhere": {"SETTINGS_FLAVOR": "local", "CORS_ORIGINS": '["https://ui.example"]'},
    "a file": {"SETTINGS_FLAVOR": "dev", "DOCKER_REGISTRY_CONFIG": str(FILES / "flavors.yml")},
    "a file without flavors": {"SETTINGS_FLAVOR": "", "DOCKER_REGISTRY_CONFIG": str(FILES / "flat.yml")},
    "a flavor by a variable": {
        "SETTINGS_FLAVOR": "by_variable",
        "DOCKER_REGISTRY_CONFIG": str(FILES / "merges.yml"),
        "WHOLE": "{storage: local, loglevel: warn, standalone: true, issue: hello, storage_path: '_env:STORAGE_PATH'}",
    },
}


DIFFERENT: dict[str, dict[str, tuple[object, object]]] = {
    # The source is not there: a mirror says so of what it has not itself, and finds what it has.
    "a mirror": {"image": (500, 404), "search": (500, 200)},
    # An index says who may see what, names of repositories too.
    "an index": {"search": (200, 401)},
    # Without the key `issue` there is nothing to say, which is `true` there.
    "a file without flavors": {"root": ((200, "true", {}), (200, r'"\"docker-registry server\""', {}))},
}


@pytest.mark.parametrize("about", CASES)
def test_the_same_environment_gives_the_same_registry(about: str, tmp_path: Path) -> None:
    with docker_registry_0_9_1(tmp_path / "original", variables=CASES[about], workers=1) as original:
        theirs = settings_shown(original.port)
    port = free_port()
    folder = tmp_path / "portside"
    folder.mkdir()
    # What the original's tests always set, too.
    always = {"SEARCH_BACKEND": "sqlalchemy", "STORAGE_PATH": str(folder / "registry")}
    environment = {**always, **CASES[about], "REGISTRY_HOST": "127.0.0.1", "REGISTRY_PORT": str(port), **LONE}
    del environment["REGISTRY_GATEWAY_V1_ADDR"]
    with running_command("v1", folder=folder, environment=environment, port=port):
        ours = settings_shown(port)
    differing = {key: (theirs[key], ours[key]) for key in theirs if theirs[key] != ours[key]}
    assert differing == DIFFERENT.get(about, {})


def test_old_and_new_clients_are_served_by_the_old_image_s_variables(tmp_path: Path) -> None:
    """`docker run -e SETTINGS_FLAVOR=local -e STORAGE_PATH=/registry`, with another image: what it runs is `serve`."""
    port, root = free_port(), tmp_path / "registry"
    environment = {"SETTINGS_FLAVOR": "local", "STORAGE_PATH": str(root), "REGISTRY_PORT": str(port), **LONE}
    with running_command("serve", folder=tmp_path, environment=environment) as running:
        running.wait_for_line(running.err, f":{port} speaks plain HTTP")
        address = Address("127.0.0.1", port)
        for version, statement in (("1.0.1", "ok v1"), ("1.5.0", "ok v1"), ("1.9.1", "ok v2")):
            name = f"team/by-{version}"
            assert Docker(version, address).push(name, "b", make_image(name)).statement == statement
            assert Docker(version, address).pull(name, "b").ok
        assert Docker("20.10.24", address).pull("team/by-1.0.1", "b").ok
        assert list((root / "images").iterdir())
        assert list((root / "repositories/team").iterdir())
        assert not (tmp_path / "data").exists()
        health = portside("health", folder=tmp_path, environment=environment)
        assert (health.returncode, health.stderr) == (0, "")
        reindexed = portside("reindex", folder=tmp_path, environment=environment)
        assert f"the index of {root} is complete" in reindexed.stdout
        checked = portside("v1", "check", folder=tmp_path, environment=environment)
        assert checked.returncode == 0, checked.stdout
        assert running.end() == 0


def test_the_file_is_read_again_at_sighup(tmp_path: Path) -> None:
    port, file = free_port(), tmp_path / "registry.yml"
    text = "common: &c {standalone: true, storage: local, storage_path: ./r, loglevel: LEVEL}\nprod: {<<: *c}\n"
    file.write_text(text.replace("LEVEL", "info"))
    environment = {"SETTINGS_FLAVOR": "prod", "REGISTRY_PORT": str(port), "REGISTRY_HOST": "127.0.0.1"}
    with running_command("v1", "registry.yml", folder=tmp_path, environment=environment) as running:
        running.wait_for_line(running.err, "settings from", "registry.yml")
        file.write_text(text.replace("LEVEL", "debug"))
        running.process.send_signal(signal.SIGHUP)
        running.wait_for_line(running.err, "were reloaded", "log.level")
        file.write_text(text.replace("storage: local", "storage: s3"))
        running.process.send_signal(signal.SIGHUP)
        running.wait_for_line(running.err, "the settings stay as they are", "driver s3 is not supported yet")
        assert ask(port, "/v1/_ping")[0] == 200
        assert running.end() == 0


def test_what_it_cannot_serve_keeps_the_program_from_starting(tmp_path: Path) -> None:
    done = portside("serve", folder=tmp_path, environment={"SETTINGS_FLAVOR": "prod", "STANDALONE": "false"})
    assert done.returncode == 1
    assert "SETTINGS_FLAVOR: the storage driver s3 is not supported yet" in done.stderr
    assert "STANDALONE: it is not true" in done.stderr
    assert "Traceback" not in done.stderr
