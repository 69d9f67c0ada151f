"""The shape of the settings file: distribution's `config.yml` as far as it is honoured, and `gateway:`, which is ours.

Names follow distribution's habit: lower case, no `_` and no `-`, since `_` separates the levels of an environment
variable (CONFIG_SCHEMA section 0). What each key means stands in docs/settings.md.
"""

from __future__ import annotations

import ipaddress
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from portside.durations import parse_duration
from portside.listening import parse_address
from portside.tls import ClientAuth, TlsVersion


def _duration(value: object) -> float:
    seconds = parse_duration(value)
    if seconds < 0:
        raise ValueError("a duration cannot be negative")
    return seconds


def _address(value: object) -> str:
    text = str(value)
    if text:
        parse_address(text)
    return text


Duration = Annotated[float, BeforeValidator(_duration)]
AddressText = Annotated[str, BeforeValidator(_address)]


class Section(BaseModel):
    """A section; keys that it does not know are kept aside, to be named at start. An empty one counts as `{}`."""

    model_config = ConfigDict(extra="allow", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _empty(cls, value: Any) -> Any:
        return {} if value is None else value


class AccessLog(Section):
    disabled: bool = False


class Log(Section):
    level: Literal["error", "warn", "info", "debug"] = "info"
    formatter: Literal["text", "json", "logstash"] = "text"
    fields: dict[str, Any] = Field(default_factory=dict)
    accesslog: AccessLog = AccessLog()

    @field_validator("level", mode="before")
    @classmethod
    def _lower(cls, value: Any) -> Any:
        return value.lower() if isinstance(value, str) else value


class Filesystem(Section):
    rootdirectory: str = "data"


class Enabled(Section):
    enabled: bool = False


class Maintenance(Section):
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
        if isinstance(value, str):
            value = {value: {}}
        if isinstance(value, dict):
            return {key: ({} if part is None else part) for key, part in value.items()}
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


class Debug(Section):
    addr: AddressText = ""


class Http(Section):
    addr: AddressText = ""
    net: Literal["tcp", "unix"] = "tcp"
    secret: str = Field(default="", repr=False)
    host: str = ""
    relativeurls: bool = False
    draintimeout: Duration | None = None
    headers: dict[str, list[str]] = Field(default_factory=dict)
    tls: Tls = Tls()
    debug: Debug = Debug()

    @field_validator("host")
    @classmethod
    def _origin(cls, value: str) -> str:
        if value and not value.startswith(("http://", "https://")):
            raise ValueError("it is written like https://registry.example:5000")
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
    addr: AddressText | None = None
    unix: str = ""
    upstream: str = ""
    ca: str = ""
    connecttimeout: Duration = 5.0
    readtimeout: Duration = 900.0
    storagepath: str = ""

    @field_validator("upstream")
    @classmethod
    def _place(cls, value: str) -> str:
        if value and not value.startswith(("unix:/", "http://", "https://")):
            raise ValueError("it is written like unix:/run/registry.sock or http://registry:5000")
        return value


class Metrics(Section):
    addr: AddressText | None = None


class Plain(Section):
    addr: AddressText = ""


class Gateway(Section):
    addr: AddressText = ""
    plain: Plain = Plain()
    unix: str = ""
    tls: GatewayTls = GatewayTls()
    certs: str = "certs"
    names: tuple[str, ...] = ()
    cacopy: str = ""
    rule: Literal["portside", "literal"] = "portside"
    routeheader: str | Literal[False] = "X-Portside-Route"
    trustedproxies: tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...] = ()
    v1: Backend = Backend()
    v2: Backend = Backend()
    metrics: Metrics = Metrics()
    workers: int = Field(default=0, ge=0, le=256)
    draintimeout: Duration | None = None


class Config(Section):
    version: str = "0.1"
    log: Log = Log()
    loglevel: str = ""
    storage: Storage = Storage()
    http: Http = Http()
    gateway: Gateway = Gateway()

    @field_validator("version", mode="before")
    @classmethod
    def _only_version(cls, value: Any) -> str:
        if str(value) != "0.1":
            raise ValueError("the only version of this file is 0.1")
        return "0.1"
