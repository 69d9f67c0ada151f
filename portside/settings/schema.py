"""The shape of the settings file: distribution's `config.yml` as far as it is honoured, and `gateway:`, which is ours.

Names follow distribution's habit: lower case, no `_` and no `-`, since `_` separates the levels of an environment
variable (CONFIG_SCHEMA section 0). What each key means stands in docs/settings.md.

An empty scalar means "not set" everywhere, as in distribution, so that a section may list all of its keys and fill in
some (`tls: {certificate: , key: }`).
"""

from __future__ import annotations

import ipaddress
import re
import types
import typing
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from backends.http.settings import BODY_IDLE_SECONDS, FRAMING
from backends.registry.purging import PurgeSettings
from backends.storage.factory import StorageSettings
from backends.storage.room import RoomSettings
from backends.v2.settings import V2Settings
from portside.observe.health import HealthSettings
from portside.server.listening import SEND_SECONDS, parse_address
from portside.settings.durations import parse_duration
from portside.settings.sizes import parse_size
from portside.settings.unsupported import DRIVERS
from portside.settings.yaml_values import is_empty, plain
from portside.tls.contexts import ClientAuth, TlsVersion
from portside.tls.names import parse_certificate_name
from proxy.settings import CONNECT_SECONDS, READ_SECONDS, ProxySettings, Rule


def _duration(value: object) -> float:
    seconds = parse_duration(value)
    if seconds < 0:
        raise ValueError("a duration cannot be negative")
    return seconds


def _bounded_wait(value: object) -> float:
    seconds = _duration(value)
    if seconds <= 0:
        raise ValueError(
            "an unlimited wait would let a silent client stay connected for ever; write 60s, or hours if needed"
        )
    return seconds


def _age(value: object) -> float:
    """A duration with its unit: the one place where distribution takes no bare number, which would be nanoseconds."""
    if isinstance(value, int) or (seconds := _duration(value)) <= 0:
        raise ValueError("write it with a unit, like 168h or 90m, and more than 0")
    return seconds


def _address(value: object) -> str:
    text = str(value)
    if text:
        parse_address(text)
    return text


def _socket_path(value: object) -> str:
    path = str(value or "").removeprefix("unix:")
    if path and not path.startswith("/"):
        raise ValueError("a unix socket is named by its path from the root, like /run/portside/v2.sock")
    return path


def _header_name(value: object) -> object:
    if plain(value) is False:
        return ""
    if isinstance(value, str) and not _TOKEN.fullmatch(value) and value:
        raise ValueError("a header's name has letters, digits and hyphens; false stands for none")
    return value


def _network(value: object) -> object:
    try:
        return ipaddress.ip_network(str(value), strict=False)
    except ValueError:
        raise ValueError("a network is written like 10.0.0.0/8 or fd00::/8, an address like 192.0.2.7") from None


def _certificate_name(value: object) -> str:
    return parse_certificate_name(str(value))


def _lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


def _header_value(value: object) -> object:
    text = "" if value is None else str(value)
    if not text.isprintable():
        raise ValueError("a header's value has no control characters")
    return text


_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")

Duration = Annotated[float, BeforeValidator(_duration)]
Age = Annotated[float, BeforeValidator(_age)]
Size = Annotated[int, BeforeValidator(parse_size)]
BoundedWait = Annotated[float, BeforeValidator(_bounded_wait)]
AddressText = Annotated[str, BeforeValidator(_address)]
SocketPath = Annotated[str, BeforeValidator(_socket_path)]
HeaderName = Annotated[str, BeforeValidator(_header_name)]
HeaderValue = Annotated[str, BeforeValidator(_header_value)]
Network = Annotated[ipaddress.IPv4Network | ipaddress.IPv6Network, BeforeValidator(_network)]
CertificateName = Annotated[str, BeforeValidator(_certificate_name)]
Level = Annotated[Literal["error", "warn", "info", "debug"], BeforeValidator(_lower)]


class Section(BaseModel):
    """A section; keys that it does not know are kept aside, to be named at start. An empty one counts as `{}`."""

    model_config = ConfigDict(extra="allow", frozen=True, coerce_numbers_to_str=True)
    without: ClassVar[frozenset[str]] = frozenset()
    """Keys that have a default and may be `""` to go without."""

    @model_validator(mode="before")
    @classmethod
    def _as_meant(cls, value: Any) -> Any:
        """Leaves out what is empty, and gives each key text or a value, as its type wants it."""
        if is_empty(value):
            return {}
        if not isinstance(value, Mapping):
            return value
        given: dict[Any, Any] = {}
        for key, part in value.items():
            field = cls.model_fields.get(key)
            if field is None:
                given[key] = plain(part)
            elif not is_empty(part) or (part is not None and key in cls.without):
                given[key] = _typed(part, field.annotation)
        return given


def inner_type(annotation: Any) -> Any:
    """Returns a key's type without `| None` and pydantic's annotations."""
    origin = typing.get_origin(annotation)
    if origin is Annotated:
        return inner_type(typing.get_args(annotation)[0])
    if origin in {typing.Union, types.UnionType}:
        return inner_type(next(part for part in typing.get_args(annotation) if part is not types.NoneType))
    return annotation


def _typed(value: Any, annotation: Any) -> Any:
    """Returns scalars as they are written where text is wanted (`secret: 0123`), else what YAML takes them for."""
    kind = inner_type(annotation)
    arguments = typing.get_args(kind)
    if kind is Any or kind in {bool, int, float}:
        return plain(value)
    if isinstance(value, list) and typing.get_origin(kind) in {list, tuple}:
        return [_typed(part, arguments[0]) for part in value]
    if isinstance(value, dict) and typing.get_origin(kind) is dict:
        return {key: _typed(part, arguments[1]) for key, part in value.items() if not is_empty(part)}
    return value


class AccessLog(Section):
    disabled: bool = False


class Log(Section):
    level: Level = "info"
    formatter: Literal["text", "json", "logstash"] = "text"
    fields: dict[str, Any] = Field(default_factory=dict)
    accesslog: AccessLog = AccessLog()


class Filesystem(Section):
    rootdirectory: str = StorageSettings().root


class Enabled(Section):
    enabled: bool = False


class UploadPurging(Section):
    enabled: bool = PurgeSettings().enabled
    age: Age = PurgeSettings().age_seconds
    interval: Age = PurgeSettings().interval_seconds
    dryrun: bool = PurgeSettings().dry_run


class Maintenance(Section):
    uploadpurging: UploadPurging = UploadPurging()
    readonly: Enabled = Enabled()


class Storage(Section):
    filesystem: Filesystem | None = None
    inmemory: Section | None = None
    delete: Enabled = Enabled()
    maintenance: Maintenance = Maintenance()

    @model_validator(mode="before")
    @classmethod
    def _by_name(cls, value: Any) -> Any:
        """`storage: inmemory` names a driver; a driver without settings is one too."""
        if isinstance(value, str) and value:
            return {str(value): {}}
        if isinstance(value, dict):
            return {key: ({} if is_empty(part) and key in DRIVERS else part) for key, part in value.items()}
        return value


class Tls(Section):
    certificate: str = ""
    key: str = ""
    clientcas: tuple[str, ...] = ()
    clientauth: ClientAuth = ClientAuth.REQUIRE
    minimumtls: TlsVersion = TlsVersion.TLS_1_2
    ciphersuites: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _whole(self) -> Tls:
        if bool(self.certificate) != bool(self.key):
            raise ValueError("certificate and key go together; name both files, or neither")
        if self.clientcas and not self.certificate:
            raise ValueError("clientcas needs certificate and key beside it")
        return self


class Prometheus(Section):
    enabled: bool = True
    path: str = "/metrics"

    @field_validator("path")
    @classmethod
    def _absolute(cls, value: str) -> str:
        if not value.startswith("/"):
            raise ValueError("write it like /metrics")
        return value


class Debug(Section):
    addr: AddressText = ""
    prometheus: Prometheus = Prometheus()


class Http(Section):
    addr: AddressText = ""
    net: Literal["tcp", "unix"] = "tcp"
    secret: str = Field(default="", repr=False)
    host: str = ""
    relativeurls: bool = False
    draintimeout: Duration | None = None
    headers: dict[HeaderName, list[HeaderValue]] = Field(default_factory=dict)
    tls: Tls = Tls()
    debug: Debug = Debug()

    @model_validator(mode="before")
    @classmethod
    def _socket(cls, value: Any) -> Any:
        """With `net: unix`, `addr` is a path."""
        if isinstance(value, dict) and value.get("net") == "unix":
            addr = str(value.get("addr") or "")
            return {**value, "addr": addr if addr.startswith("unix:") or not addr else f"unix:{addr}"}
        return value

    @field_validator("headers")
    @classmethod
    def _free(cls, value: dict[str, list[str]]) -> dict[str, list[str]]:
        taken = sorted(name for name in value if name.lower() in FRAMING)
        if taken:
            raise ValueError(f"headers that say where an answer ends cannot be set: {', '.join(taken)}")
        return value

    @field_validator("host")
    @classmethod
    def _origin(cls, value: str) -> str:
        if value and not value.startswith(("http://", "https://")):
            raise ValueError("write it like https://registry.example:5000")
        return value.rstrip("/")


class Pair(Section):
    certificate: str
    key: str


class GatewayTls(Section):
    certificates: tuple[Pair, ...] = ()
    clientcas: tuple[str, ...] = ()
    clientauth: ClientAuth = ClientAuth.REQUIRE
    minimumtls: TlsVersion = TlsVersion.TLS_1_2
    ciphersuites: tuple[str, ...] = ()


class Backend(Section):
    without = frozenset({"addr"})

    addr: AddressText | None = None
    unix: SocketPath = ""
    upstream: str = ""
    ca: str = ""
    connecttimeout: Duration = CONNECT_SECONDS
    readtimeout: Duration = READ_SECONDS
    storagepath: str = ""

    @field_validator("upstream")
    @classmethod
    def _place(cls, value: str) -> str:
        if value and not value.startswith(("unix:/", "http://", "https://")):
            raise ValueError("write it like unix:/run/registry.sock or http://registry:5000")
        if "@" in value and not value.startswith("unix:"):
            raise ValueError("it must not have a user or password; clients' own credentials are passed on")
        return value.rstrip("/")


class Metrics(Section):
    without = frozenset({"addr"})

    addr: AddressText | None = None


class Plain(Section):
    addr: AddressText = ""


class LowRoom(Section):
    percent: float = Field(default=RoomSettings().percent, ge=0, le=100)
    bytes: Size = RoomSettings().least_bytes
    files: int = Field(default=RoomSettings().least_files, ge=0)


class Gateway(Section):
    addr: AddressText = ""
    plain: Plain = Plain()
    unix: SocketPath = ""
    tls: GatewayTls = GatewayTls()
    certs: str = "certs"
    names: tuple[CertificateName, ...] = ()
    cacopy: str = ""
    rule: Rule = ProxySettings().rule
    routeheader: HeaderName = ProxySettings().route_header
    trustedproxies: tuple[Network, ...] = ()
    v1: Backend = Backend()
    v2: Backend = Backend()
    metrics: Metrics = Metrics()
    lowroom: LowRoom = LowRoom()
    workers: int = Field(default=0, ge=0, le=256)
    draintimeout: Duration | None = None
    bodytimeout: BoundedWait = BODY_IDLE_SECONDS
    sendtimeout: BoundedWait = SEND_SECONDS
    connectionsperaddress: int = Field(default=0, ge=0)
    profile: Annotated[Literal["oci", "distribution"], BeforeValidator(_lower)] | None = None
    requirelayers: bool | None = None


class Catalog(Section):
    maxentries: int = V2Settings().catalog_max_entries

    @field_validator("maxentries")
    @classmethod
    def _some(cls, value: int) -> int:
        return value if value > 0 else V2Settings().catalog_max_entries


class StorageDriverHealth(Section):
    enabled: bool = HealthSettings().enabled
    interval: Duration = HealthSettings().interval_seconds
    threshold: int = Field(default=HealthSettings().threshold, ge=0)


class Health(Section):
    storagedriver: StorageDriverHealth = StorageDriverHealth()


class PlatformName(Section):
    architecture: str = ""
    os: str = ""


class Indexes(Section):
    platforms: Annotated[Literal["all", "none", "list"], BeforeValidator(_lower)] = "all"
    platformlist: tuple[PlatformName, ...] = ()


class Urls(Section):
    allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()


class ManifestValidation(Section):
    urls: Urls = Urls()
    indexes: Indexes = Indexes()


class Validation(Section):
    enabled: bool = False
    disabled: bool = False
    manifests: ManifestValidation = ManifestValidation()


class Config(Section):
    version: str = "0.1"
    log: Log = Log()
    loglevel: Level | None = None
    storage: Storage = Storage()
    http: Http = Http()
    catalog: Catalog = Catalog()
    health: Health = Health()
    validation: Validation = Validation()
    gateway: Gateway = Gateway()

    @field_validator("version", mode="before")
    @classmethod
    def _only_version(cls, value: Any) -> str:
        if str(value) != "0.1":
            raise ValueError("the only version of this file is 0.1")
        return "0.1"
