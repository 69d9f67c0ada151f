"""docker-registry 0.9.1's environment: where its data is, how it listens, and what of it keeps Portside from starting.

`portside v1` honours what it can; these variables lie over the file and below `REGISTRY_*` of the same setting
(V1FEATURES). What would be unsafe to ignore, or would serve something else than was asked, is refused wherever the
v1 registry runs. `REGISTRY_HOST` and `REGISTRY_PORT` share their prefix with distribution's, and Kubernetes injects
`REGISTRY_PORT=tcp://...`: only a number is a port.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from portside.settings.yaml_values import parse_yaml, plain

LISTENING = frozenset({"REGISTRY_HOST", "REGISTRY_PORT"})
MAX_PORT = 65535
MAX_WORKERS = 256
_LEVELS = {"debug": "debug", "info": "info", "warning": "warn", "warn": "warn", "error": "error", "critical": "error"}
_FLAVORS = frozenset({"dev", "local", "test", "common"})
_S3_FLAVORS = frozenset({"s3", "prod", "cloudfronts3", "ceph-s3"})
_OTHER_FLAVORS = frozenset(
    {"azureblob", "gcs", "swift", "glance", "openstack", "glance-swift", "openstack-swift", "elliptics", "oss"}
)
_WITHOUT_EFFECT = {
    "SQLALCHEMY_INDEX_DATABASE": "search reads the storage and has no database",
    "INDEX_ENDPOINT": "this registry is its own index",
    "PRIVILEGED_KEY": "no tokens are asked for, so no signature can stand for one",
    "STORAGE_REDIRECT": "a file system has no addresses to redirect to",
    "CACHE_REDIS_HOST": "nothing is cached in Redis",
    "CACHE_LRU_REDIS_HOST": "nothing is cached in Redis",
    "SMTP_HOST": "no mail is sent; the log says what failed",
    "BUGSNAG": "nothing is reported to others",
    "NEW_RELIC_CONFIG_FILE": "nothing is reported to others",
    "NEW_RELIC_LICENSE_KEY": "nothing is reported to others",
    "CORS_ORIGINS": "name Access-Control-Allow-Origin and what else is wanted in http.headers",
}
# Options of gunicorn that may be ignored: they say how its workers live, not who is let in or where it listens.
_HARMLESS_OPTIONS = frozenset(
    {
        "--preload", "--reload", "--debug", "--max-requests", "--max-requests-jitter", "--timeout", "-t",
        "--graceful-timeout", "--keep-alive", "--workers", "-w", "--threads", "--worker-class", "-k",
        "--worker-connections", "--worker-tmp-dir", "--backlog", "--log-level", "--log-file", "--access-logfile",
        "--access-logformat", "--error-logfile", "--capture-output", "--name", "-n",
    }
)  # fmt: skip


@dataclass(slots=True)
class V1Environment:
    """What docker-registry's variables say.

    Attributes:
        values: settings by dotted path.
        notes: a sentence for each variable that has no effect.
        mistakes: a sentence for each variable that keeps Portside from starting.
    """

    values: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    mistakes: list[str] = field(default_factory=list)


def v1_environment(environment: Mapping[str, str]) -> V1Environment:
    """Reads what docker-registry's variables say to `portside v1`."""
    found = V1Environment(mistakes=v1_refusals(environment))
    if root := environment.get("STORAGE_PATH"):
        found.values["storage.filesystem.rootdirectory"] = root
    if level := environment.get("LOGLEVEL"):
        known = _LEVELS.get(level.lower())
        if known is not None:
            found.values["log.level"] = known
        else:
            found.notes.append(f"LOGLEVEL has no effect: {level!r:.40} is not one of {', '.join(_LEVELS)}")
    _read_workers(environment, found)
    _read_address(environment, found)
    if environment.get("SEARCH_BACKEND") not in {None, "", "sqlalchemy"}:
        found.notes.append("SEARCH_BACKEND has no effect: search is built in")
    found.notes += [f"{name} has no effect: {why}" for name, why in _WITHOUT_EFFECT.items() if environment.get(name)]
    for name in ("GUNICORN_ACCESS_LOG_FILE", "GUNICORN_ERROR_LOG_FILE"):
        if _value(environment, name) not in {None, "", "-"}:
            found.notes.append(f"{name} has no effect: the access log goes to stdout, the program's log to stderr")
    return found


def v1_refusals(environment: Mapping[str, str]) -> list[str]:
    """Returns a sentence for each variable that keeps a process with the v1 registry from starting."""
    refused: list[str] = []
    # As there: whatever is set and not true, the empty text too, means that tokens are asked for.
    if "STANDALONE" in environment and _value(environment, "STANDALONE") is not True:
        refused.append(
            "STANDALONE: checking tokens at an index is not supported yet;"
            " remove the variable or set it to true to serve everyone without it"
        )
    if environment.get("DOCKER_REGISTRY_CONFIG"):
        refused.append(
            "DOCKER_REGISTRY_CONFIG: docker-registry's configuration file is not read, so its settings would"
            " be ignored; write its settings into Portside's file (docs/settings.md) and remove the variable"
        )
    refused += _flavor_refusals(environment.get("SETTINGS_FLAVOR", ""))
    if environment.get("MIRROR_SOURCE"):
        refused.append("MIRROR_SOURCE: mirroring another registry is not supported yet; remove the variable")
    if os.geteuid() == 0:
        refused += [
            f"{name}: Portside does not drop privileges; start it as that {kind} instead and remove the variable"
            for name, kind in (("GUNICORN_USER", "user"), ("GUNICORN_GROUP", "group"))
            if environment.get(name) not in {None, "", "root", "0"}
        ]
    return refused + _option_refusals(environment)


def _flavor_refusals(flavor: str) -> list[str]:
    if not flavor or flavor in _FLAVORS:
        return []
    if flavor in _S3_FLAVORS:
        why = "its data is in S3, and that storage driver is not supported yet"
    elif flavor in _OTHER_FLAVORS:
        why = "its data is in a storage that Portside has no driver for; copy it to a file system"
    else:
        why = "Portside does not know what it stands for"
    return [f"SETTINGS_FLAVOR: {flavor[:40]!r} is not supported ({why}); use one of {', '.join(sorted(_FLAVORS))}"]


def _option_refusals(environment: Mapping[str, str]) -> list[str]:
    options = _value(environment, "GUNICORN_OPTS")
    if not options:
        return []
    if not isinstance(options, list):
        return ["GUNICORN_OPTS: it is not a YAML list, such as [--preload]; remove the variable"]
    names = [str(option).partition("=")[0] for option in options if str(option).startswith("-")]
    return [
        f"GUNICORN_OPTS: {name[:40]} has no effect here, so what it sets (TLS, an address, a user …) would be"
        " ignored; use Portside's own setting (docs/settings.md) and remove the option"
        for name in names
        if name not in _HARMLESS_OPTIONS
    ]


def _read_workers(environment: Mapping[str, str], found: V1Environment) -> None:
    workers = environment.get("GUNICORN_WORKERS", "")
    if _is_number(workers) and 1 <= int(workers) <= MAX_WORKERS:
        found.values["gateway.workers"] = int(workers)
    elif workers:
        found.mistakes.append(f"GUNICORN_WORKERS: {workers[:40]!r} is not a number from 1 to {MAX_WORKERS}")
    seconds = environment.get("GUNICORN_GRACEFUL_TIMEOUT", "")
    if _is_number(seconds):
        found.values["http.draintimeout"] = f"{seconds}s"
    elif seconds:
        found.mistakes.append(f"GUNICORN_GRACEFUL_TIMEOUT: {seconds[:40]!r} is not a number of seconds")


def _read_address(environment: Mapping[str, str], found: V1Environment) -> None:
    host, port = environment.get("REGISTRY_HOST", ""), environment.get("REGISTRY_PORT", "")
    if "://" in port:  # Kubernetes' word on a service called registry
        port = ""
    elif port and not (_is_number(port) and int(port) <= MAX_PORT):
        found.mistakes.append(f"REGISTRY_PORT: {port[:40]!r} is not a port")
        return
    if host or port:
        found.values["http.addr"] = f"{f'[{host}]' if ':' in host else host}:{port or 5000}"


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _value(environment: Mapping[str, str], name: str) -> Any:
    """A variable's value, read as YAML, as there."""
    try:
        return plain(parse_yaml(environment.get(name, "")))
    except (yaml.YAMLError, RecursionError):
        return environment[name]
