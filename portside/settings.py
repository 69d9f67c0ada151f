"""From file, environment and flags to the parts' frozen settings; all mistakes at once.

Flags override the environment, which overrides the file. `http.addr` and `http.tls` describe the address that clients
use: the proxy's for `serve` and `proxy`, the registry's own for `v1` and `v2`; `gateway:` may name others.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import yaml
from backends.v1.settings import V1Settings
from pydantic import BaseModel, ValidationError

from backends.storage.open import StorageSettings
from backends.v2.settings import V2Settings
from portside.environment import apply_environment
from portside.listening import Listener, UnixAddress, parse_address
from portside.logging import LogSettings
from portside.problems import Problem
from portside.schema import Backend, Config
from portside.tls import CertificateChain, TlsSettings
from proxy.settings import ProxySettings, Rule, UpstreamSettings

DEFAULT_PROXY = "[::]:5000"
DEFAULT_V1 = "127.0.0.1:5081"
DEFAULT_V2 = "127.0.0.1:5082"
DEFAULT_METRICS = "127.0.0.1:5083"
DEFAULT_DRAIN = 8.0

# Keys of distribution whose feature is not there yet: named at start, so that nobody believes them honoured.
NOT_YET = {
    "notifications": "no notifications are sent",
    "redis": "nothing is cached in Redis",
    "health": "no further health checks are made",
    "middleware": "no middleware is loaded",
    "catalog": "the catalog's page is at most 1000",
    "tags": "a page of tags is at most 10000",
    "validation": "foreign layers are accepted as OCI asks",
    "policy": "repository classes are not checked",
    "compatibility": "schema 1 is always accepted",
    "reporting": "nothing is reported to others",
    "storage.cache": "descriptors are not cached; they are read where they are",
    "storage.redirect": "a file system has no addresses to redirect to",
    "storage.maintenance.uploadpurging": "abandoned uploads stay until they are cancelled",
    "storage.tag": "tags are looked up one after another",
    "storage.filesystem.maxthreads": "the driver has its own bound",
    "http.debug.prometheus": "metrics are at /metrics of gateway.metrics.addr",
    "http.http2": "HTTP/2 is never spoken",
    "http.h2c": "HTTP/2 is never spoken",
    "log.hooks": "no mail is sent",
    "log.reportcaller": "callers are not named",
}
# What would be unsafe, or serve something else than was asked, when it is passed over.
REFUSED = {
    "auth": "access control is not there yet, and serving without it would let everyone in; remove auth to do so",
    "proxy": "pull-through caching is not there yet; remove proxy",
    "http.clientcas": "it belongs below http.tls; here it would be ignored, and everyone would be let in",
    "http.prefix": "a path prefix is not there yet; remove it",
    "http.tls.letsencrypt": "certificates from Let's Encrypt are not there yet; name certificate and key",
}
_DRIVERS = frozenset({"s3", "s3aws", "azure", "gcs", "swift", "oss", "rados", "s3goamz"})
_SECRET = ("secret", "password", "key", "token")


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
        listeners: what it listens on.
        certificates: the folder where certificates are made if there are none; None when the user named their own.
        names: further names for a certificate that is made.
        ca_copy: the command that copies the CA to where clients are; "" where it lies there already.
        workers: how many processes; 0 for one per core.
        notes: sentences to say at start.
    """

    role: Role
    log: LogSettings
    storage: StorageSettings
    v1_storage: StorageSettings
    v1: V1Settings
    v2: V2Settings
    proxy: ProxySettings
    listeners: tuple[Listener, ...]
    certificates: Path | None
    names: tuple[str, ...]
    ca_copy: str
    workers: int
    drain_seconds: float
    notes: tuple[str, ...]


class SettingsProblem(Problem):
    """Mistakes in the settings, one a line."""


def load_settings(role: Role, path: Path | None, environment: Mapping[str, str], flags: Mapping[str, Any]) -> Settings:
    """Reads settings.

    Args:
        role: which parts are to run.
        path: the file; None for none.
        environment: all variables.
        flags: settings by their dotted path, as the command line gave them; None values are left out.

    Raises:
        SettingsProblem: with every mistake there is.
    """
    raw = _read(path)
    mistakes, notes = apply_environment(raw, environment, Config)
    for dotted, value in flags.items():
        if value is not None:
            _put(raw, dotted.split("."), value)
    mistakes += [f"{key}: {why}" for key, why in REFUSED.items() if _has(raw, key)]
    storage = raw.get("storage")
    drivers = {storage} if isinstance(storage, str) else set(storage or ())
    mistakes += [
        f"storage.{name}: this driver is not there yet; use filesystem or inmemory"
        for name in sorted(_DRIVERS & {str(name) for name in drivers})
    ]
    if {"filesystem", "inmemory"} <= drivers:
        mistakes.append("storage: must provide exactly one storage type; remove filesystem or inmemory")
    try:
        config = Config.model_validate(raw)
    except ValidationError as error:
        mistakes += [_mistake(found) for found in error.errors(include_url=False)]
        raise SettingsProblem(_listed(path, mistakes)) from None
    notes += _unhonoured(config)
    settings = None
    try:
        settings = _settings(role, config, notes)
    except ValueError as error:
        mistakes.append(str(error))
    if mistakes or settings is None:
        raise SettingsProblem(_listed(path, mistakes))
    return settings


def _read(path: Path | None) -> dict[str, Any]:
    if path is None:
        return {}
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsProblem(f"the settings file {path} cannot be read: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        where = getattr(error, "problem_mark", None)
        line = f" at line {where.line + 1}" if where is not None else ""
        raise SettingsProblem(
            f"the settings file {path} is not YAML{line}: {getattr(error, 'problem', error)}"
        ) from None
    if raw is None:
        return {}
    if not isinstance(raw, dict):
        raise SettingsProblem(f"the settings file {path} must hold keys such as storage: and http:, not a list or text")
    return raw


def _settings(role: Role, config: Config, notes: list[str]) -> Settings:
    gateway = config.gateway
    level = config.loglevel if config.loglevel and "level" not in config.log.model_fields_set else config.log.level
    log = LogSettings(level, config.log.formatter, dict(config.log.fields), access=not config.log.accesslog.disabled)
    storage = _storage(config)
    fronts, certificates = _front(role, config, notes)
    drain = gateway.draintimeout if gateway.draintimeout is not None else config.http.draintimeout
    headers = {name: ", ".join(values) for name, values in config.http.headers.items()}
    workers = gateway.workers
    if storage.driver == "inmemory":
        if workers > 1:
            notes.append("storage inmemory lives in one process, so there is one worker")
        workers = 1
    return Settings(
        role=role,
        log=log,
        storage=storage,
        v1_storage=StorageSettings("filesystem", gateway.v1.storagepath) if gateway.v1.storagepath else storage,
        v1=V1Settings(),
        v2=V2Settings(
            delete_enabled=config.storage.delete.enabled,
            read_only=config.storage.maintenance.readonly.enabled,
            host=config.http.host,
            relative_urls=config.http.relativeurls,
            headers=headers,
        ),
        proxy=ProxySettings(
            rule=Rule(gateway.rule),
            route_header=gateway.routeheader or "",
            v1=_upstream(gateway.v1),
            v2=_upstream(gateway.v2),
        ),
        listeners=(*fronts, *_metrics(role, config)),
        certificates=certificates,
        names=gateway.names,
        ca_copy=gateway.cacopy,
        workers=workers,
        drain_seconds=DEFAULT_DRAIN if drain is None else drain,
        notes=tuple(notes),
    )


def _storage(config: Config) -> StorageSettings:
    if config.storage.inmemory is not None:
        return StorageSettings("inmemory")
    filesystem = config.storage.filesystem
    return StorageSettings("filesystem", filesystem.rootdirectory if filesystem is not None else "data")


def _front(role: Role, config: Config, notes: list[str]) -> tuple[list[Listener], Path | None]:
    """Returns the listeners for clients, and the folder of certificates if they are to be made."""
    gateway, http = config.gateway, config.http
    if role in {Role.V1, Role.V2}:
        backend = gateway.v1 if role is Role.V1 else gateway.v2
        default = DEFAULT_V1 if role is Role.V1 else DEFAULT_V2
        if backend.addr is None and not backend.unix and http.addr:
            return [_listener(config, role.value, _http_addr(config), _http_tls(config))], None
        addr = backend.addr if backend.addr is not None else ("" if backend.unix else default)
        return _own(config, role.value, addr, backend.unix), None
    tls, certificates = _proxy_tls(config)
    addr = gateway.addr or _http_addr(config) or DEFAULT_PROXY
    if tls is None:
        notes.append(f"{addr} speaks plain HTTP, since http.addr is set and http.tls is not")
    listeners = [_listener(config, "proxy", addr, tls)]
    if gateway.plain.addr:
        listeners.append(_listener(config, "proxy", gateway.plain.addr, None))
    if gateway.unix:
        listeners.append(_listener(config, "proxy", f"unix:{gateway.unix}", None))
    if role is Role.PROXY and not (gateway.v1.upstream or gateway.v2.upstream):
        raise ValueError("gateway.v1.upstream, gateway.v2.upstream: a proxy alone needs a registry; name one or both")
    if role is Role.SERVE:
        for name, backend, default in (("v1", gateway.v1, DEFAULT_V1), ("v2", gateway.v2, DEFAULT_V2)):
            if not backend.upstream:
                own = backend.addr if backend.addr is not None else default
                listeners += _own(config, name, own, backend.unix)
    return listeners, certificates


def _own(config: Config, name: str, addr: str, unix: str) -> list[Listener]:
    places = ([addr] if addr else []) + ([f"unix:{unix}"] if unix else [])
    return [_listener(config, name, place, None) for place in places]


def _metrics(role: Role, config: Config) -> list[Listener]:
    addr = config.gateway.metrics.addr
    if addr is None:
        addr = config.http.debug.addr or (DEFAULT_METRICS if role is Role.SERVE else "")
    return [_listener(config, "metrics", addr, None)] if addr else []


def _listener(config: Config, name: str, addr: str, tls: TlsSettings | None) -> Listener:
    address = parse_address(addr)
    return Listener(
        name,
        address,
        tls,
        trusted_peer=isinstance(address, UnixAddress),
        trusted_networks=config.gateway.trustedproxies,
    )


def _http_addr(config: Config) -> str:
    addr = config.http.addr
    return f"unix:{addr}" if addr and config.http.net == "unix" and not addr.startswith("unix:") else addr


def _http_tls(config: Config) -> TlsSettings | None:
    tls = config.http.tls
    if not tls.certificate:
        return None
    return TlsSettings(
        chains=(CertificateChain(Path(tls.certificate), Path(tls.key)),),
        minimum=tls.minimumtls,
        ciphers=tls.ciphersuites,
        client_cas=tuple(map(Path, tls.clientcas)),
        client_auth=tls.clientauth,
    )


def _proxy_tls(config: Config) -> tuple[TlsSettings | None, Path | None]:
    tls = config.gateway.tls
    theirs = tls if "tls" in config.gateway.model_fields_set else None
    if theirs is None and config.http.tls.certificate:
        return _http_tls(config), None
    if theirs is None and config.http.addr and not config.gateway.addr:
        return None, None
    folder = None if tls.certificates else Path(config.gateway.certs)
    chains = tuple(CertificateChain(Path(pair.certificate), Path(pair.key)) for pair in tls.certificates)
    if folder is not None:
        chains = (CertificateChain(folder / "server.crt", folder / "server.key"),)
    settings = TlsSettings(
        chains=chains,
        minimum=tls.minimumtls,
        ciphers=tls.ciphersuites,
        client_cas=tuple(map(Path, tls.clientcas)),
        client_auth=tls.clientauth,
    )
    return settings, folder


def _upstream(backend: Backend) -> UpstreamSettings | None:
    if not backend.upstream:
        return None
    return UpstreamSettings(
        backend.upstream, backend.ca, connect_seconds=backend.connecttimeout, read_seconds=backend.readtimeout
    )


def _unhonoured(config: Config) -> list[str]:
    notes: list[str] = []
    for path in _extras(config, ()):
        known = next((why for key, why in NOT_YET.items() if path == key or path.startswith(f"{key}.")), None)
        if known is not None:
            notes.append(f"{path} is not honoured yet: {known}")
        elif path not in REFUSED and path.partition(".")[2] not in _DRIVERS:
            notes.append(f"{path} is no setting and is ignored")
    if config.loglevel:
        notes.append("loglevel is deprecated: write log.level")
    return notes


def _extras(section: BaseModel, above: tuple[str, ...]) -> Iterator[str]:
    for key in section.model_extra or {}:
        yield ".".join((*above, key))
    for name in type(section).model_fields:
        value = getattr(section, name)
        if isinstance(value, BaseModel):
            yield from _extras(value, (*above, name))


def _mistake(found: Any) -> str:
    path = ".".join(str(part) for part in found["loc"] if not _is_branch(part))
    message = str(found["msg"]).removeprefix("Value error, ")
    value = found.get("input")
    shown = "" if any(word in path for word in _SECRET) or isinstance(value, dict | list) else f" (it is {value!r:.80})"
    return f"{path}: {message[:1].lower()}{message[1:]}{shown}"


def _is_branch(part: object) -> bool:
    """Pydantic names the branch of a union too; a reader knows only keys."""
    return isinstance(part, str) and (part.startswith(("literal[", "function-")) or part in {"str", "Section"})


def _has(raw: Mapping[str, Any], dotted: str) -> bool:
    node: Any = raw
    for key in dotted.split("."):
        if not isinstance(node, Mapping) or key not in node:
            return False
        node = node[key]
    return node is not None and node not in ("", {}, "none", {"none": None}, {"none": {}})


def _put(raw: dict[str, Any], keys: list[str], value: Any) -> None:
    for key in keys[:-1]:
        if not isinstance(raw.get(key), dict):
            raw[key] = {}
        raw = raw[key]
    raw[keys[-1]] = value


def _listed(path: Path | None, mistakes: list[str]) -> str:
    where = f"the settings file {path}" if path is not None else "the settings"
    if len(mistakes) == 1:
        return f"{where} cannot be used: {mistakes[0]}"
    return f"{where} cannot be used:\n" + "\n".join(f"  {mistake}" for mistake in mistakes)
