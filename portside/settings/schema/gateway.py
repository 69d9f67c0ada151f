"""`gateway:`, which is Portside's own."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Literal
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, field_validator, model_validator

from backends.http.settings import BODY_IDLE_SECONDS, UPLOADS_AT_ONCE
from backends.notify.settings import DISK_BYTES, SEGMENT_BYTES
from backends.registry.index_settings import IndexSettings
from backends.storage.room import RoomSettings
from backends.v1.settings import V1Settings
from portside.server.listening import KEPT_BYTES, SEND_SECONDS
from portside.settings.schema.section import Section, lazy
from portside.settings.schema.values import (
    AddressText,
    BoundedWait,
    CertificateName,
    Duration,
    HeaderName,
    Interval,
    Network,
    Size,
    SocketPath,
    listed,
    lower,
)
from portside.tls.contexts import ClientAuth, TlsProfile, TlsVersion
from proxy.settings import CONNECT_SECONDS, READ_SECONDS, ProxySettings, Rule

if TYPE_CHECKING:
    from portside.settings.schema.auth import GatewayAuth
    from portside.settings.schema.conversions import Conversions
    from portside.settings.schema.mirroring import Mirroring
    from portside.settings.schema.upstream_credentials import Credentials
    from portside.settings.schema.v1_options import Cors
else:
    GatewayAuth = lazy("auth", "GatewayAuth")
    Conversions = lazy("conversions", "Conversions")
    Mirroring = lazy("mirroring", "Mirroring")
    Credentials = lazy("upstream_credentials", "Credentials")
    Cors = lazy("v1_options", "Cors")

SMALLEST_SEGMENT = 64 * 1024
LARGEST_SEGMENT = 64 * 1024 * 1024
FEWEST_SEGMENTS = 4
_INTERNAL = re.compile(r"/(?:[\w.~-]+/?)+", re.ASCII)


class Pair(Section):
    certificate: str
    key: str


class GatewayTls(Section):
    certificates: tuple[Pair, ...] = ()
    clientcas: tuple[str, ...] = ()
    clientauth: ClientAuth = ClientAuth.REQUIRE
    profile: TlsProfile = TlsProfile.DEFAULT
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
    files: str = ""
    credentials: Credentials | None = None

    @field_validator("credentials")
    @classmethod
    def _none_where_nothing_is_said(cls, value: Credentials | None) -> Credentials | None:
        return value if value is not None and value.model_fields_set else None

    @field_validator("files")
    @classmethod
    def _folder(cls, value: str) -> str:
        if value and not value.startswith("/"):
            raise ValueError("write the whole path of the folder, such as /var/lib/registry")
        return value.rstrip("/") if value.strip("/") else value

    @field_validator("upstream")
    @classmethod
    def _place(cls, value: str) -> str:
        if value and not _is_place(value):
            raise ValueError("write it like unix:/run/registry.sock or http://registry:5000")
        if "@" in value and not value.startswith("unix:"):
            raise ValueError("it must not have a user or password; the proxy's own go below credentials, beside it")
        return value.rstrip("/")


def _is_place(value: str) -> bool:
    if value.startswith("unix:/"):
        return True
    try:
        parts = urlsplit(value)
        return value.startswith(("http://", "https://")) and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


class V1Backend(Backend):
    issue: str = V1Settings().issue
    debug: bool = V1Settings().debug
    flavor: str = V1Settings().flavor
    search: bool = V1Settings().search
    cors: Cors | None = None
    mirroring: Mirroring | None = None
    xaccelredirect: str = ""
    storageredirect: bool = False
    standalone: bool = True
    index: str = ""
    indexca: str = ""
    privilegedkey: str = ""
    endpoints: Annotated[tuple[str, ...], BeforeValidator(listed)] = ()

    @field_validator("index")
    @classmethod
    def _address(cls, value: str) -> str:
        parts = urlsplit(value)
        if value and (parts.scheme not in {"http", "https"} or not parts.hostname):
            raise ValueError("write it like https://index.example.com")
        if parts.username is not None or parts.query or parts.fragment or not value.isascii() or " " in value:
            raise ValueError("it must be an address alone, without user, password and query")
        return value.rstrip("/")

    @field_validator("endpoints")
    @classmethod
    def _hosts(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not all(each.isascii() and each.isprintable() and each and "/" not in each for each in value):
            raise ValueError("each is what clients connect to, like registry.example.com:5000, without https://")
        return value

    @field_validator("flavor")
    @classmethod
    def _one_line(cls, value: str) -> str:
        if not value.isascii() or not value.isprintable():
            raise ValueError("it is sent as a header, so it must be one line of ASCII")
        return value

    @field_validator("xaccelredirect")
    @classmethod
    def _prefix(cls, value: str) -> str:
        if value and not _INTERNAL.fullmatch(value):
            raise ValueError("write the path of nginx's internal location, like /accel")
        return value.rstrip("/")


class Metrics(Section):
    without = frozenset({"addr"})

    addr: AddressText | None = None


class Plain(Section):
    addr: AddressText = ""


class LegacyTls(Section):
    addr: AddressText = ""


class LowRoom(Section):
    percent: float = Field(default=RoomSettings().percent, ge=0, le=100)
    bytes: Size = RoomSettings().least_bytes
    files: int = Field(default=RoomSettings().least_files, ge=0)


class GatewayNotifications(Section):
    envelope: Annotated[Literal["v1", "v2"], BeforeValidator(lower)] | None = None
    disk: Size = DISK_BYTES
    segment: Size = SEGMENT_BYTES

    @model_validator(mode="after")
    def _several_segments(self) -> GatewayNotifications:
        if not SMALLEST_SEGMENT <= self.segment <= LARGEST_SEGMENT or self.disk < FEWEST_SEGMENTS * self.segment:
            raise ValueError("segment is from 64KiB to 64MiB, and disk at least four times as much as segment")
        return self


class Index(Section):
    interval: Interval = IndexSettings().interval_seconds


class Gateway(Section):
    addr: AddressText = ""
    plain: Plain = Plain()
    legacytls: LegacyTls = LegacyTls()
    unix: SocketPath = ""
    tls: GatewayTls = GatewayTls()
    certs: str = "certs"
    names: tuple[CertificateName, ...] = ()
    cacopy: str = ""
    rule: Rule = ProxySettings().rule
    routeheader: HeaderName = ProxySettings().route_header
    trustedproxies: tuple[Network, ...] = ()
    auth: GatewayAuth | None = None
    access: str = ""
    v1: V1Backend = V1Backend()
    v2: Backend = Backend()
    metrics: Metrics = Metrics()
    lowroom: LowRoom = LowRoom()
    index: Index = Index()
    conversions: Conversions | None = None
    notifications: GatewayNotifications = GatewayNotifications()
    workers: int = Field(default=0, ge=0, le=256)
    draintimeout: Duration | None = None
    bodytimeout: BoundedWait = BODY_IDLE_SECONDS
    sendtimeout: BoundedWait = SEND_SECONDS
    connectionsperaddress: int = Field(default=0, ge=0)
    uploadsatonce: int = Field(default=UPLOADS_AT_ONCE, ge=0)
    keptanswers: Size = KEPT_BYTES
    profile: Annotated[Literal["oci", "distribution"], BeforeValidator(lower)] | None = None
    requirelayers: bool | None = None
