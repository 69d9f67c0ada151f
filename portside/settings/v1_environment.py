"""docker-registry 0.9.1's environment, for `portside v1` alone: where its data is and how it listens.

These variables lie over the file and below `REGISTRY_*` of the same setting (V1FEATURES). `REGISTRY_HOST` and
`REGISTRY_PORT` share their prefix with distribution's, and Kubernetes injects `REGISTRY_PORT=tcp://...`: only a number
is a port.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

LISTENING = frozenset({"REGISTRY_HOST", "REGISTRY_PORT"})
_LEVELS = {"warning": "warn", "critical": "error"}
_NOT_YET = ("DOCKER_REGISTRY_CONFIG", "SEARCH_BACKEND", "MIRROR_SOURCE", "INDEX_ENDPOINT", "STORAGE_REDIRECT")


def v1_environment(environment: Mapping[str, str]) -> tuple[dict[str, Any], list[str]]:
    """Reads what docker-registry's variables say.

    Returns:
        settings by dotted path, and sentences on variables that are not honoured yet.
    """
    found: dict[str, Any] = {}
    if root := environment.get("STORAGE_PATH"):
        found["storage.filesystem.rootdirectory"] = root
    if level := environment.get("LOGLEVEL"):
        found["log.level"] = _LEVELS.get(level.lower(), level)
    if workers := environment.get("GUNICORN_WORKERS"):
        found["gateway.workers"] = workers
    host, port = environment.get("REGISTRY_HOST", ""), environment.get("REGISTRY_PORT", "")
    port = port if port.isascii() and port.isdigit() else ""
    if host or port:
        found["http.addr"] = f"{f'[{host}]' if ':' in host else host}:{port or 5000}"
    notes = [f"{name} is not honoured yet" for name in _NOT_YET if environment.get(name)]
    return found, notes
