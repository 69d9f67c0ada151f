"""What each key of a flavor becomes in Portside's settings, what has no effect, and what keeps it from starting. PURE.

The meaning of a value is docker-registry's: `standalone` is what is exactly true, `debug` what Python takes for true.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from portside.settings.docker_registry.features import (
    browsers,
    elsewhere,
    mail,
    mirrored,
    tokens,
)
from portside.settings.docker_registry.flavors import Flavor, Value
from portside.settings.docker_registry.official import OTHER_STORAGES
from portside.settings.docker_registry.outcomes import Outcome, refuse, used, useless
from portside.settings.walking import step

LEVELS = {"debug": "debug", "info": "info", "warning": "warn", "warn": "warn", "error": "error", "critical": "error"}
"""Those of Python's logging, in the words of `log.level`."""
_FILE_DRIVERS = frozenset({"local", "file"})
_IN_MEMORY = "dumb"
_ROOT = "storage.filesystem.rootdirectory"
_WITHOUT_A_PATH = "./tmp"
# The keys of drivers that are not here, which mean nothing to those that are.
_OF_DRIVERS = (
    "s3_", "boto_", "cloudfront", "azure_", "gs_", "oauth2", "swift_", "storage_alternate", "elliptics_", "oss_",
)  # fmt: skip
_USELESS = {
    "sqlalchemy_index_database": "search reads the storage and has no database",
    "cache": "nothing is cached in Redis",
    "cache_lru": "nothing is cached in Redis",
    "bugsnag": "nothing is reported to others",
    "extensions": "plug-ins of Python 2 are not loaded; notifications tell others of pushes (docs/notifications.md)",
    "secret_key": "there are no session cookies, nor were there any since docker-registry 0.7",
    "flavor": "the flavor's own name is told",
    "include": "docker-registry 0.9.1 includes no other files either; copy what is in it to this file",
}
_BELOW = {
    **dict.fromkeys(
        ("smtp_host", "smtp_port", "smtp_login", "smtp_password", "from_addr", "to_addr"), "email_exceptions"
    ),
    **dict.fromkeys(("source", "source_index", "tags_cache_ttl"), "mirroring"),
}


def translate(flavor: Flavor, name: str) -> list[Outcome]:
    """Returns what becomes of everything in a flavor.

    Args:
        flavor: its settings.
        name: its name.
    """
    read = _Reader(flavor)
    outcomes: list[Outcome] = []
    for group in _GROUPS:
        outcomes += group(read.get)
    if name:
        outcomes.append(used(Value("flavor"), {"gateway.v1.flavor": name}))
    outcomes += [
        refuse(each, "its value is not valid YAML; put it in quotes inside the variable") for each in read.broken
    ]
    seen = {each.key.partition(".")[0] for each in outcomes} | read.asked
    outcomes += [each for key in flavor if key not in seen for each in _other(flavor.get(key))]
    return outcomes


class _Reader:
    """Notes what was asked for, and which variables hold no YAML."""

    def __init__(self, flavor: Flavor) -> None:
        self._flavor = flavor
        self.asked: set[str] = set()
        self.broken: list[Value] = []

    def get(self, key: str) -> Value:
        section, _, inside = key.partition(".")
        self.asked.add(section)
        value = self._flavor.get(section)
        if inside and isinstance(value.value, Flavor):
            value = value.value.get(inside)
        elif inside:
            value = Value(key, None, value.line, value.source, value.variable, broken=value.broken)
        if value.broken and value not in self.broken:
            self.broken.append(value)
        return value


def _storage(get: Callable[[str], Value]) -> Iterator[Outcome]:
    storage, path = get("storage"), get("storage_path")
    name = storage.value.lower() if isinstance(storage.value, str) else None
    if name in _FILE_DRIVERS:
        yield used(storage, {}, "storage.filesystem")
        if path.value:
            yield used(path, {_ROOT: str(path.value)})
        else:
            yield used(Value(path.key), {_ROOT: _WITHOUT_A_PATH})
    elif name == _IN_MEMORY:
        yield used(storage, {"storage.inmemory": {}})
        if path.told:
            yield useless(path, "the data is in memory")
    elif storage.broken:
        return
    elif name is None:
        yield refuse(storage, "it must name where the data is; write storage: local, and storage_path beside it")
    elif name in OTHER_STORAGES.values() or name == "azure":
        local = "write storage: local" if storage.line else "use the flavor local"
        why = f"the storage driver {name} is not supported yet; copy the data to a file system, and {local}"
        yield refuse(storage, why)
    else:
        yield refuse(storage, f"there is no storage driver {name[:40]!r} here; write storage: local")


def _logging(get: Callable[[str], Value]) -> Iterator[Outcome]:
    level = get("loglevel")
    if level.value is None:
        return
    known = LEVELS.get(str(level.value).lower())
    if known is None:
        yield useless(level, f"{str(level.value)[:40]!r} is not one of {', '.join(LEVELS)}")
    else:
        yield used(level, {"log.level": known})


def _root_and_ping(get: Callable[[str], Value]) -> Iterator[Outcome]:
    issue, debug = get("issue"), get("debug")
    if issue.value is not None:
        yield used(issue, {"gateway.v1.issue": str(issue.value)})
    if not debug.broken:
        yield used(debug, {"gateway.v1.debug": bool(debug.value)})


def _search(get: Callable[[str], Value]) -> Iterator[Outcome]:
    backend = get("search_backend")
    if backend.value and str(backend.value).lower() != "sqlalchemy":
        yield used(backend, {"gateway.v1.search": True}, "search is built in, and no module is loaded for it")
    elif not backend.broken:
        yield used(backend, {"gateway.v1.search": bool(backend.value)})


def _useless(get: Callable[[str], Value]) -> Iterator[Outcome]:
    for key, why in _USELESS.items():
        value = get(key)
        if isinstance(value.value, Flavor):
            inside = get(f"{key}.host")
            if inside.value:
                yield useless(inside, why)
        elif value.value:
            yield useless(value, why)


def _other(value: Value) -> Iterator[Outcome]:
    if value.key.startswith(_OF_DRIVERS):
        yield useless(value, "it belongs to another storage driver")
    elif value.key in _BELOW:
        yield useless(value, f"it belongs below {_BELOW[value.key]}")
    else:
        yield useless(value, f"docker-registry 0.9.1 has no key {step(value.key)} either")


_GROUPS = (_storage, _logging, _root_and_ping, tokens, _search, mirrored, elsewhere, browsers, mail, _useless)
