"""From file, environment and flags to the parts' frozen settings; all mistakes at once.

Flags override the environment, which overrides the file. `http.addr` and `http.tls` describe the address that clients
use: the proxy's for `serve` and `proxy`, the registry's own for `v1` and `v2`; `gateway:` may name others.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from backends.registry.purging import PurgeSettings
from backends.registry.validation import Validation
from backends.storage.factory import StorageSettings
from backends.storage.room import RoomSettings
from backends.v1.settings import V1Settings
from backends.v2.settings import V2Settings
from backends.web.settings import GateSettings
from portside.observe.health import HealthSettings
from portside.observe.logging import LogSettings
from portside.problems import Problem
from portside.server.listening import Limits, Listener
from portside.settings.environment import apply_environment
from portside.settings.listeners import V1 as DEFAULT_V1
from portside.settings.listeners import V2 as DEFAULT_V2
from portside.settings.listeners import Ports, proxy_ports, registry_ports
from portside.settings.schema import Backend, Config, Filesystem
from portside.settings.unsupported import notes as unsupported_notes
from portside.settings.unsupported import refusals, unknown_refusals, variable_refusals
from portside.settings.v1_environment import LISTENING, V1Environment, v1_environment, v1_refusals
from portside.settings.validation import Profile, make_validation, pattern_mistakes, validation_notes
from portside.settings.yaml_values import is_empty, parse_yaml
from proxy.settings import ProxySettings, UpstreamSettings

DEFAULT_DRAIN = 8.0
_SECRET = ("secret", "password", "key", "token")
_UNREADABLE = {UnicodeDecodeError: "it is not UTF-8 text", RecursionError: "it is nested too deeply"}
_HIDDEN = ("http.headers.", "log.fields.")
# pydantic's sentences in a person's words.
_WORDS = {
    "Input should be a valid tuple": "it must be a list, such as [a, b]",
    "Input should be a valid list": "it must be a list, such as [a, b]",
    "Input should be a valid dictionary": "it must be a section: keys, each with a value",
    "Input should be a valid boolean, unable to interpret input": "it must be true or false",
    "Input should be a valid boolean": "it must be true or false",
    "Input should be a valid integer, unable to parse string as an integer": "it must be a whole number",
    "Input should be a valid integer, got a number with a fractional part": "it must be a whole number",
    "Input should be a valid integer": "it must be a whole number",
    "Input should be a valid number, unable to parse string as a number": "it must be a number",
    "Input should be a valid string": "it must be text",
    "Input should be": "it must be",
    "Field required": "it is missing",
}
_INSTANCE = re.compile(r" or instance of \w+")


class Role(Enum):
    """Which parts a process runs."""

    SERVE = "serve"
    PROXY = "proxy"
    V1 = "v1"
    V2 = "v2"


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything a process needs to know.

    Attributes:
        role: which parts it runs.
        headers: on every answer (`http.headers`).
        listeners: what it listens on.
        metrics_path: where the metrics are on the listener `metrics`; "" when nothing is counted.
        certificates: the folder where certificates are made if there are none; None when the user named their own.
        names: further names for a certificate that is made.
        ca_copy: the command that copies the CA to where clients are; "" where it lies there already.
        workers: how many processes; 0 for one per core.
        notes: sentences to say at start.
        config: the file, the environment and the flags together, before the parts' own values were made of them.
    """

    role: Role
    log: LogSettings
    storage: StorageSettings
    v1_storage: StorageSettings
    gates: GateSettings
    v1: V1Settings
    v2: V2Settings
    headers: Mapping[str, str]
    proxy: ProxySettings
    validation: Validation
    health: HealthSettings
    purging: PurgeSettings
    listeners: tuple[Listener, ...]
    metrics_path: str
    certificates: Path | None
    names: tuple[str, ...]
    ca_copy: str
    workers: int
    drain_seconds: float
    notes: tuple[str, ...]
    config: Config = field(repr=False, compare=False)

    @property
    def runs_v1(self) -> bool:
        """Whether the v1 registry is in this process."""
        return self.role is Role.V1 or (self.role is Role.SERVE and self.proxy.v1 is None)

    @property
    def runs_v2(self) -> bool:
        """Whether the v2 registry is in this process."""
        return self.role is Role.V2 or (self.role is Role.SERVE and self.proxy.v2 is None)

    @property
    def roots(self) -> tuple[StorageSettings, ...]:
        """Where this process keeps data."""
        roots = ((self.runs_v2, self.storage), (self.runs_v1, self.v1_storage))
        return tuple(dict.fromkeys(place for runs, place in roots if runs))


class SettingsProblem(Problem):
    """Mistakes in the settings, one a line."""


def load_settings(role: Role, path: Path | None, environment: Mapping[str, str], flags: Mapping[str, Any]) -> Settings:
    """Reads settings.

    Args:
        role: which parts are to run.
        path: the file; None for none.
        environment: all variables.
        flags: what the command line gave: settings by their dotted path, and `addr` and `data`, which mean whatever
            setting decides where the role listens and where its data is. None values are left out.

    Raises:
        SettingsProblem: with every mistake there is.
    """
    raw = _read(path)
    # distribution loads no file without a version
    profile = Profile.OCI if is_empty(raw.get("version")) else Profile.DISTRIBUTION
    older = V1Environment()
    if role is Role.V1:
        older = v1_environment(environment)
        for dotted, value in older.values.items():
            _put(raw, dotted, value)
    elif role is Role.SERVE:
        older.mistakes += v1_refusals(environment)
        if environment.get("STORAGE_PATH"):
            older.notes.append("only `portside v1` uses STORAGE_PATH; name the folder with --data")
    notes = older.notes
    mistakes, unknown = apply_environment(raw, environment, Config)
    if role is Role.V1 or not _get(raw, "gateway.v1.upstream"):
        mistakes += older.mistakes
    unknown = [name for name in unknown if role is not Role.V1 or name not in LISTENING]
    mistakes += variable_refusals(unknown)
    if unknown:
        notes.append(f"unknown variables, ignored: {', '.join(unknown)}")
    for dotted, value in flags.items():
        if value is not None:
            _put_flag(raw, role, dotted, value)
    mistakes += refusals(raw)
    try:
        config = Config.model_validate(raw)
    except ValidationError as error:
        mistakes += [_mistake(found) for found in error.errors(include_url=False)]
        raise SettingsProblem(_listed(path, mistakes)) from None
    ports = _ports(role, config)
    mistakes += [*unknown_refusals(config), *pattern_mistakes(config), *ports.mistakes]
    if mistakes:
        raise SettingsProblem(_listed(path, mistakes))
    profile = Profile(config.gateway.profile) if config.gateway.profile else profile
    notes += [*unsupported_notes(config), *validation_notes(config, profile), *ports.notes]
    return _settings(role, config, ports, notes, profile)


def settings_path(environment: Mapping[str, str]) -> Path | None:
    """Returns the file that the environment names, as distribution does."""
    path = environment.get("REGISTRY_CONFIGURATION_PATH")
    return Path(path) if path else None


def _read(path: Path | None) -> dict[str, Any]:
    if path is None:
        return {}
    try:
        raw = parse_yaml(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsProblem(
            f"the settings file {path} cannot be read ({error.strerror}): {_unreadable_file(error)}"
        ) from None
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 1}" if mark is not None else ""
        why = getattr(error, "problem", None) or _UNREADABLE.get(type(error), "it holds characters that YAML forbids")
        if "'\\t'" in why:
            why = "the indentation has a tab; YAML allows only spaces"
        raise SettingsProblem(f"the settings file {path} is not valid YAML{where}: {why}") from None
    if raw is None:
        return {}
    if not isinstance(raw, dict):
        raise SettingsProblem(f"the settings file {path} must hold keys such as storage: and http:, not a list or text")
    return raw


def _unreadable_file(error: OSError) -> str:
    match error.errno:
        case errno.ENOENT | errno.ENOTDIR:
            return "check the path"
        case errno.EISDIR:
            return "name a file, not a folder"
        case errno.EACCES | errno.EPERM:
            return f"let uid {os.getuid()} read it"
        case _:
            return "see the file system it is on"


def _put_flag(raw: dict[str, Any], role: Role, name: str, value: Any) -> None:
    if name == "data":
        storage = raw.get("storage")
        if isinstance(storage, dict):
            storage.pop("inmemory", None)
        elif storage == "inmemory":
            raw["storage"] = {}
        _put(raw, "storage.filesystem.rootdirectory", value)
        if role is Role.V1:
            _put(raw, "gateway.v1.storagepath", "")
    elif name != "addr":
        _put(raw, name, value)
    elif role in {Role.V1, Role.V2}:
        _put(raw, f"gateway.{role.value}.addr", value)
    elif _get(raw, "gateway.addr") or not _get(raw, "http.addr"):
        _put(raw, "gateway.addr", value)
    else:
        _put(raw, "http.net", "tcp")
        _put(raw, "http.addr", value)


def _put(raw: dict[str, Any], dotted: str, value: Any) -> None:
    *above, last = dotted.split(".")
    for key in above:
        below = raw.get(key)
        if isinstance(below, str) and key == "storage":
            below = {below: {}}
        raw[key] = below if isinstance(below, dict) else {}
        raw = raw[key]
    raw[last] = value


def _get(raw: Any, dotted: str) -> Any:
    for key in dotted.split("."):
        raw = raw.get(key) if isinstance(raw, dict) else None
    return raw


def _ports(role: Role, config: Config) -> Ports:
    match role:
        case Role.V1:
            return registry_ports(config, "v1", config.gateway.v1, default=DEFAULT_V1)
        case Role.V2:
            return registry_ports(config, "v2", config.gateway.v2, default=DEFAULT_V2)
        case Role.SERVE | Role.PROXY:
            return proxy_ports(config, with_registries=role is Role.SERVE)


def _settings(role: Role, config: Config, ports: Ports, notes: list[str], profile: Profile) -> Settings:
    gateway, http = config.gateway, config.http
    room = RoomSettings(gateway.lowroom.percent, gateway.lowroom.bytes, gateway.lowroom.files)
    storage = StorageSettings("filesystem", (config.storage.filesystem or Filesystem()).rootdirectory, room)
    if config.storage.inmemory is not None:
        storage = StorageSettings("inmemory")
    v1_storage = StorageSettings("filesystem", gateway.v1.storagepath, room) if gateway.v1.storagepath else storage
    drain = next((each for each in (gateway.draintimeout, http.draintimeout) if each is not None), DEFAULT_DRAIN)
    limits = Limits(gateway.sendtimeout, gateway.connectionsperaddress)
    workers = gateway.workers
    if role is not Role.PROXY and "inmemory" in {storage.driver, v1_storage.driver}:
        if workers > 1:
            notes.append("storage inmemory lives in one process, so there is one worker")
        workers = 1
    if config.loglevel is not None:
        notes.append("loglevel is deprecated: write log.level")
    if http.secret:
        notes.append("http.secret is not needed: what is known about an upload is in storage, for every worker")
    return Settings(
        role=role,
        log=_log(config),
        storage=storage,
        v1_storage=v1_storage,
        gates=GateSettings(
            read_only=config.storage.maintenance.readonly.enabled,
            delete_enabled=config.storage.delete.enabled,
        ),
        v1=V1Settings(endpoints=http.host.partition("://")[2], body_idle_seconds=gateway.bodytimeout),
        v2=V2Settings(
            host=http.host,
            relative_urls=http.relativeurls,
            catalog_max_entries=config.catalog.maxentries,
            body_idle_seconds=gateway.bodytimeout,
        ),
        headers={name: ", ".join(values) for name, values in http.headers.items() if values},
        proxy=ProxySettings(
            rule=gateway.rule,
            route_header=gateway.routeheader,
            v1=_upstream(gateway.v1, config),
            v2=_upstream(gateway.v2, config),
        ),
        validation=make_validation(config, profile),
        health=_health(config),
        purging=_purging(config),
        listeners=tuple(replace(each, limits=limits) for each in ports.listeners),
        metrics_path=ports.metrics_path,
        certificates=ports.certificates,
        names=gateway.names,
        ca_copy=gateway.cacopy,
        workers=workers,
        drain_seconds=drain,
        notes=tuple(notes),
        config=config,
    )


def _health(config: Config) -> HealthSettings:
    checked = config.health.storagedriver
    # As in distribution, an interval of nothing is the usual one.
    return HealthSettings(checked.enabled, checked.interval or HealthSettings().interval_seconds, checked.threshold)


def _log(config: Config) -> LogSettings:
    log = config.log
    return LogSettings(
        level=log.level if "level" in log.model_fields_set else config.loglevel or log.level,
        formatter=log.formatter,
        fields=dict(log.fields),
        access=not log.accesslog.disabled,
        access_at_any_level="disabled" in log.accesslog.model_fields_set,
    )


def _purging(config: Config) -> PurgeSettings:
    asked = config.storage.maintenance.uploadpurging
    return PurgeSettings(asked.enabled, asked.age, asked.interval, asked.dryrun)


def _upstream(backend: Backend, config: Config) -> UpstreamSettings | None:
    if not backend.upstream:
        return None
    return UpstreamSettings(
        backend.upstream,
        backend.ca,
        connect_seconds=backend.connecttimeout,
        read_seconds=backend.readtimeout,
        body_idle_seconds=config.gateway.bodytimeout,
        host=config.http.host,
        relative_urls=config.http.relativeurls,
    )


def _mistake(found: Any) -> str:
    path = ".".join(str(part) for part in found["loc"])
    message = _INSTANCE.sub("", str(found["msg"]).removeprefix("Value error, "))
    for theirs, plainly in _WORDS.items():
        message = message.replace(theirs, plainly)
    value = found.get("input")
    hidden = _is_secret(path) or isinstance(value, dict | list | tuple) or "@" in str(value) or repr(value) in message
    shown = "" if hidden else " (it is empty)" if value is None else f" (it is {value!r:.80})"
    return f"{path}: {message[:1].lower()}{message[1:]}{shown}"


def _is_secret(path: str) -> bool:
    """Whether a value must not be shown: a header may be an Authorization, a field anything."""
    return path.startswith(_HIDDEN) or any(word in path.rpartition(".")[2] for word in _SECRET)


def _listed(path: Path | None, mistakes: list[str]) -> str:
    where = f"the settings file {path}" if path is not None else "the settings"
    if len(mistakes) == 1:
        return f"{where} cannot be used: {mistakes[0]}"
    return f"{where} cannot be used:\n" + "\n".join(f"  {mistake}" for mistake in mistakes)
