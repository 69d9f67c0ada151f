"""docker-registry's files, each read by Portside and by docker-registry 0.9.1 itself: the values are the same."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from portside.settings.docker_registry.flavors import Flavor, Value
from portside.settings.docker_registry.official import FOLDER
from portside.settings.docker_registry.reading import choose
from tests.support.docker_registry_0_9_1 import find_python_2_7, install_packages, original_environment

FILES = Path(__file__).parents[1] / "data" / "config" / "v1"
BROKEN = "this cannot be used"

ENVIRONMENTS: dict[str, dict[str, str]] = {
    "nothing": {},
    "local": {"SETTINGS_FLAVOR": "local"},
    "local in a folder": {"SETTINGS_FLAVOR": "local", "STORAGE_PATH": "/registry"},
    "prod": {"SETTINGS_FLAVOR": "prod", "AWS_BUCKET": "b", "AWS_ENCRYPT": "no"},
    "test": {"SETTINGS_FLAVOR": "test", "STORAGE_PATH": ""},
    "common": {"SETTINGS_FLAVOR": "common"},
    "no flavor": {"SETTINGS_FLAVOR": ""},
    "a flavor that is absent": {"SETTINGS_FLAVOR": "Dev"},
    "merged by a variable": {"SETTINGS_FLAVOR": "by_variable"},
    "a whole flavor in a variable": {
        "SETTINGS_FLAVOR": "by_variable",
        "WHOLE": "{storage: local, storage_path: '_env:STORAGE_PATH:/v', mirroring: {source: '_env:MIRROR_SOURCE'}}",
        "MIRROR_SOURCE": "http://m",
    },
    "a flavor that is text": {"SETTINGS_FLAVOR": "scalar"},
    "a flavor that is empty": {"SETTINGS_FLAVOR": "empty"},
    "an index": {"STANDALONE": "false", "INDEX_ENDPOINT": "http://index:8080///", "DISABLE_TOKEN_AUTH": "no"},
    "empty variables": dict.fromkeys(("STANDALONE", "LOGLEVEL", "DEBUG", "SEARCH_BACKEND", "STORAGE_PATH"), ""),
    "a mirror": {"MIRROR_SOURCE": "https://m", "MIRROR_SOURCE_INDEX": "https://i", "MIRROR_TAGS_CACHE_TTL": "010"},
    "lists and sections": {
        "CORS_ORIGINS": "['http://a', 'http://b']",
        "CORS_HEADERS": "X-A",
        "CACHE_REDIS_HOST": "{a: b}",
        "SECTION": "[1, 2]",
        "QUOTED": "no",
    },
    "what is not YAML": {"STANDALONE": "[", "LOGLEVEL": "a: b: c", "CORS_ORIGINS": "{", "QUOTED": "'", "DEBUG": "@"},
    "text that looks like values": {
        "STORAGE_PATH": "0755",
        "LOGLEVEL": "on",
        "SEARCH_BACKEND": "1.0",
        "AGAIN": "_env:B:c",
    },
    "umlauts": {"STORAGE_PATH": "/dätä", "QUOTED": "ü"},
}

_ASK = """
import json, os, sys
from docker_registry.lib import config
kept = dict(os.environ)
def tree(found):
    if not isinstance(found, config.Config):
        return found
    said = {}
    for key in found.keys():
        try:
            said[str(key)] = tree(found[key])
        except Exception:
            said[str(key)] = BROKEN
    return said
answers = []
for case in json.load(sys.stdin):
    os.environ.clear()
    os.environ.update(kept)
    os.environ.update({name.encode('utf-8'): value.encode('utf-8') for name, value in case.items()})
    try:
        answers.append(tree(config._init()))
    except Exception:
        answers.append(BROKEN)
print(json.dumps(answers, default=str))
"""


def ask_the_original(cases: list[dict[str, str]]) -> list[Any]:
    """What 0.9.1's own loader makes of each environment: a tree of values."""
    done = subprocess.run(
        [find_python_2_7(), "-c", f"BROKEN = {BROKEN!r}\n{_ASK}"],
        env=original_environment(install_packages()),
        input=json.dumps(cases).encode(),
        capture_output=True,
        check=True,
        timeout=120,
    )
    answers: list[Any] = json.loads(done.stdout)
    return answers


def own_answer(environment: Mapping[str, str]) -> Any:
    """What Portside makes of it, in the same form."""
    chosen = choose(None, environment)
    if chosen.flavor is None:
        return BROKEN
    said = _tree(Value("", chosen.flavor))
    try:
        if said.get("index_endpoint"):
            said["index_endpoint"] = said["index_endpoint"].strip("/")
    except AttributeError:
        return BROKEN
    return json.loads(json.dumps(said, default=str))


def _tree(value: Value) -> Any:
    if value.broken:
        return BROKEN
    if not isinstance(value.value, Flavor):
        return value.value
    found = value.value
    return {key: _tree(found.get(key)) for key in found}


@pytest.mark.parametrize("name", sorted(path.name for path in FILES.glob("*.yml")))
def test_the_values_are_those_that_the_original_sees(name: str) -> None:
    cases = [{**each, "DOCKER_REGISTRY_CONFIG": str(FILES / name)} for each in ENVIRONMENTS.values()]
    differing = {
        about: (own, theirs)
        for about, case, theirs in zip(ENVIRONMENTS, cases, ask_the_original(cases), strict=True)
        if (own := own_answer(case)) != theirs
    }
    assert differing == {}


SHIPPED = ("config_sample.yml", "config_mirror.yml")


@pytest.mark.parametrize("name", SHIPPED)
def test_the_original_s_own_examples_are_read_as_by_itself(name: str) -> None:
    (path,) = install_packages().rglob(f"config/{name}")
    flavors = ["dev", "local", "test", "common", "prod", "s3", "ceph-s3", "gcs", "glance-swift", "elliptics", "oss"]
    cases = [{**each, "SETTINGS_FLAVOR": flavor} for each in ENVIRONMENTS.values() for flavor in flavors]
    cases = [{**each, "DOCKER_REGISTRY_CONFIG": str(path)} for each in (*cases, *ENVIRONMENTS.values())]
    differing = [
        (case, own, theirs)
        for case, theirs in zip(cases, ask_the_original(cases), strict=True)
        if (own := own_answer(case)) != theirs
    ]
    assert differing == []


@pytest.mark.parametrize("flavor", ["dev", "local", "test"])
def test_without_a_file_the_values_are_those_of_the_original_s_example(flavor: str) -> None:
    """The official image's: what Portside holds of it is written down apart, and compared here."""
    (path,) = install_packages().rglob("config/config_sample.yml")
    variables = [{**each, "SETTINGS_FLAVOR": flavor} for each in ENVIRONMENTS.values()]
    theirs = ask_the_original([{**each, "DOCKER_REGISTRY_CONFIG": str(path)} for each in variables])
    assert [own_answer(each) for each in variables] == theirs
    for named in ("config_sample.yml", f"{FOLDER}/config_sample.yml"):
        assert [own_answer({**each, "DOCKER_REGISTRY_CONFIG": named}) for each in variables] == theirs
