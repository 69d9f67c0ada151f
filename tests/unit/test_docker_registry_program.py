"""The variables that docker-registry's program reads itself, beside what 0.9.1 tells gunicorn by them."""

from __future__ import annotations

import json
import subprocess

import pytest

from portside.settings.loading import Role, SettingsProblem
from tests.support.docker_registry_0_9_1 import find_python_2_7, install_packages, original_environment
from tests.support.settings_files import Load, roots

_ASK = """
import json, os, sys
import docker_registry.run as run
kept = dict(os.environ)
answers = []
run.os.execl = lambda *words: answers.append(list(words[2:]))
run.distutils.spawn.find_executable = lambda name: name
sys.argv = ['docker-registry']
for case in json.load(sys.stdin):
    os.environ.clear()
    os.environ.update(kept)
    os.environ.update({str(name): str(value) for name, value in case.items()})
    try:
        run.run_gunicorn()
    except Exception as error:
        answers.append([type(error).__name__])
print(json.dumps(answers))
"""

CASES: list[dict[str, str]] = [
    {},
    {"REGISTRY_HOST": "127.0.0.1", "REGISTRY_PORT": "6000"},
    {"REGISTRY_PORT": '"6000"'},
    {"REGISTRY_HOST": '"127.0.0.1"'},
    {"REGISTRY_PORT": "0x1770"},
    {"REGISTRY_PORT": "6_000"},
    {"GUNICORN_WORKERS": "2", "GUNICORN_GRACEFUL_TIMEOUT": "60"},
    {"GUNICORN_WORKERS": '"2"', "GUNICORN_GRACEFUL_TIMEOUT": "1_0"},
    {"GUNICORN_OPTS": "[--certfile, /c, --keyfile, /k]"},
    {"GUNICORN_OPTS": "['--certfile=/c', '--keyfile=/k', --preload]"},
]


def ask_the_original(cases: list[dict[str, str]]) -> list[list[str]]:
    """The words with which 0.9.1 runs gunicorn, for each environment."""
    done = subprocess.run(
        [find_python_2_7(), "-c", _ASK],
        env=original_environment(install_packages()),
        input=json.dumps(cases).encode(),
        capture_output=True,
        check=True,
        timeout=60,
    )
    answers: list[list[str]] = json.loads(done.stdout)
    return answers


def option(words: list[str], *names: str) -> str:
    """The value of an option, however it is written; "" where it is not given."""
    for number, word in enumerate(words):
        name, mark, value = word.partition("=")
        if name in names:
            return value if mark else words[number + 1]
    return ""


def test_it_listens_and_works_as_gunicorn_was_told_to(load: Load) -> None:
    for case, words in zip(CASES, ask_the_original(CASES), strict=True):
        settings = load(Role.V1, None, {"SETTINGS_FLAVOR": "local", **case})
        ((_, addr, tls),) = roots(settings)
        # Where no address is named, all are meant, those of IPv6 too.
        assert option(words, "-b") in {addr, f"0.0.0.0{addr}"}, case
        if "GUNICORN_WORKERS" in case:
            assert option(words, "-w") == str(settings.workers), case
            assert option(words, "--graceful-timeout") == f"{settings.drain_seconds:g}", case
        assert tls is bool(option(words, "--certfile")), case
        if tls:
            pair = settings.listeners[0].tls
            assert pair is not None
            assert [str(each) for each in pair.files] == [option(words, "--certfile"), option(words, "--keyfile")]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("[--certfile, /c]", "--certfile has no effect"),
        ("[--certfile, --keyfile, /k]", "--certfile has no effect"),
        ("[--ca-certs, /ca, --certfile, /c, --keyfile, /k]", "--ca-certs has no effect"),
        ("[--cert-reqs=2]", "--cert-reqs has no effect"),
        ("{a: b}", "is not a YAML list"),
    ],
)
def test_what_would_let_others_in_is_never_passed_over(load: Load, options: str, words: str) -> None:
    with pytest.raises(SettingsProblem, match=words):
        load(Role.V1, None, {"GUNICORN_OPTS": options})
