"""The variables that docker-registry's program reads itself, whatever the file says: where it listens, its workers.

`REGISTRY_HOST` and `REGISTRY_PORT` share their prefix with distribution's, and Kubernetes injects
`REGISTRY_PORT=tcp://...`: only a number is a port.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from portside.settings.docker_registry.document import parse
from portside.settings.docker_registry.outcomes import Outcome, of_variable
from portside.settings.remarks import Kind

USUAL_PORT = 5000
PACKAGED_HOST = "REGISTRY_ADDRESS"
"""What Fedora's and CentOS' package calls REGISTRY_HOST in /etc/sysconfig/docker-registry."""
MAX_PORT = 65535
MAX_WORKERS = 256
_PAIR = {"--certfile": "http.tls.certificate", "--keyfile": "http.tls.key"}
# Options of gunicorn that may be ignored: they say how its workers live, not who is let in or where it listens.
_HARMLESS_OPTIONS = frozenset(
    {
        "--preload", "--reload", "--debug", "--max-requests", "--max-requests-jitter", "--timeout", "-t",
        "--graceful-timeout", "--keep-alive", "--workers", "-w", "--threads", "--worker-class", "-k",
        "--worker-connections", "--worker-tmp-dir", "--backlog", "--log-level", "--log-file", "--access-logfile",
        "--access-logformat", "--error-logfile", "--capture-output", "--name", "-n",
    }
)  # fmt: skip
_REPORTING = ("NEW_RELIC_CONFIG_FILE", "NEW_RELIC_LICENSE_KEY")
_LOG_FILES = ("GUNICORN_ACCESS_LOG_FILE", "GUNICORN_ERROR_LOG_FILE")


def translate_program(environment: Mapping[str, str]) -> list[Outcome]:
    """Returns what becomes of them."""
    return [
        *_address(environment),
        *_workers(environment),
        *_rights(environment),
        *_options(environment),
        *(
            of_variable(name, Kind.IGNORED, "has no effect: nothing is reported to others")
            for name in _REPORTING
            if environment.get(name)
        ),
        *(
            of_variable(
                name,
                Kind.IGNORED,
                "has no effect: the access log goes to stdout, the program's log to stderr",
            )
            for name in _LOG_FILES
            if yaml_value(environment, name) not in {None, "", "-"}
        ),
    ]


def _address(environment: Mapping[str, str]) -> Iterator[Outcome]:
    named = "REGISTRY_HOST" if _text(environment, "REGISTRY_HOST") else PACKAGED_HOST
    host, port = _text(environment, named), _text(environment, "REGISTRY_PORT")
    if "://" in port:  # Kubernetes' word on a service called registry
        port = ""
    elif port and not (_is_number(port) and int(port) <= MAX_PORT):
        yield of_variable("REGISTRY_PORT", Kind.REFUSED, f"{port[:40]!r} is not a port")
        return
    if host or port:
        addr = f"{f'[{host}]' if ':' in host else host}:{port or USUAL_PORT}"
        if host:
            yield of_variable(named, Kind.USED, becomes={"http.addr": addr})
        if port:
            yield of_variable("REGISTRY_PORT", Kind.USED, becomes={"http.addr": addr})


def _workers(environment: Mapping[str, str]) -> Iterator[Outcome]:
    name = "GUNICORN_WORKERS"
    if workers := _text(environment, name):
        if _is_number(workers) and 1 <= int(workers) <= MAX_WORKERS:
            yield of_variable(name, Kind.USED, becomes={"gateway.workers": int(workers)})
        else:
            yield of_variable(name, Kind.REFUSED, f"{workers[:40]!r} is not a number from 1 to {MAX_WORKERS}")
    name = "GUNICORN_GRACEFUL_TIMEOUT"
    if seconds := _text(environment, name):
        if _is_number(seconds):
            yield of_variable(name, Kind.USED, becomes={"http.draintimeout": f"{seconds}s"})
        else:
            yield of_variable(name, Kind.REFUSED, f"{seconds[:40]!r} is not a number of seconds")
    name = "GUNICORN_SILENT_TIMEOUT"
    if yaml_value(environment, name) not in {None, ""}:
        why = "has no effect: a worker that is silent is not ended, and a client that is has gateway.bodytimeout"
        yield of_variable(name, Kind.IGNORED, why)


def _rights(environment: Mapping[str, str]) -> Iterator[Outcome]:
    if os.geteuid() != 0:  # nobody else can give up rights, nor does anybody there
        return
    for name, kind in (("GUNICORN_USER", "user"), ("GUNICORN_GROUP", "group")):
        if environment.get(name) not in {None, "", "root", "0"}:
            why = f"Portside does not drop privileges; start it as that {kind} instead and remove the variable"
            yield of_variable(name, Kind.REFUSED, why)


def _options(environment: Mapping[str, str]) -> Iterator[Outcome]:
    name = "GUNICORN_OPTS"
    options = yaml_value(environment, name)
    if not options:
        return
    if not isinstance(options, list):
        yield of_variable(name, Kind.REFUSED, "it is not a YAML list, such as [--preload]; remove the variable")
        return
    given = list(_named(options))
    pair = {_PAIR[option]: value for option, value in given if option in _PAIR and value}
    if len(pair) == len(_PAIR):
        yield of_variable(name, Kind.USED, becomes=pair)
    for option, _ in given:
        if option in _HARMLESS_OPTIONS or (option in _PAIR and len(pair) == len(_PAIR)):
            continue
        why = (
            f"{option[:40]} has no effect here, so what it sets (TLS, an address, a user …) would be ignored; use"
            " Portside's own setting (docs/settings.md) and remove the option"
        )
        yield of_variable(name, Kind.REFUSED, why)


def _named(options: list[Any]) -> Iterator[tuple[str, str]]:
    """Yields each option with its value, which is written behind it or after `=`."""
    for number, each in enumerate(options):
        option, mark, value = str(each).partition("=")
        if not option.startswith("-"):
            continue
        following = str(options[number + 1]) if number + 1 < len(options) else ""
        yield option, value if mark or following.startswith("-") else following


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _text(environment: Mapping[str, str], name: str) -> str:
    value = yaml_value(environment, name)
    return "" if value is None else str(value)


def yaml_value(environment: Mapping[str, str], name: str) -> Any:
    """Returns a variable's value, read as YAML, as there; its text where that is not valid."""
    try:
        return parse(environment.get(name, ""))
    except (yaml.YAMLError, RecursionError):
        return environment[name]
