"""`http:`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, field_validator, model_validator

from backends.http.paths import parse_prefix
from backends.http.settings import FRAMING
from portside.settings.schema.section import Section, lazy
from portside.settings.schema.values import AddressText, DrainTime, Headers
from portside.tls.contexts import ClientAuth, TlsProfile, TlsVersion

if TYPE_CHECKING:
    from portside.settings.schema.http_options import Http2, LetsEncrypt, PlainHttp2
else:
    Http2 = lazy("http_options", "Http2")
    LetsEncrypt = lazy("http_options", "LetsEncrypt")
    PlainHttp2 = lazy("http_options", "PlainHttp2")


class Tls(Section):
    certificate: str = ""
    key: str = ""
    clientcas: tuple[str, ...] = ()
    clientauth: ClientAuth = ClientAuth.REQUIRE
    profile: TlsProfile = TlsProfile.DEFAULT
    minimumtls: TlsVersion = TlsVersion.TLS_1_2
    ciphersuites: tuple[str, ...] = ()
    letsencrypt: LetsEncrypt | None = None

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
    prefix: str = ""
    secret: str = Field(default="", repr=False)
    host: str = ""
    relativeurls: bool = False
    draintimeout: DrainTime | None = None
    headers: Headers = Field(default_factory=dict)
    tls: Tls = Tls()
    debug: Debug = Debug()
    http2: Http2 | None = None
    h2c: PlainHttp2 | None = None

    @model_validator(mode="before")
    @classmethod
    def _socket(cls, value: Any) -> Any:
        """With `net: unix`, `addr` is a path."""
        if isinstance(value, dict) and value.get("net") == "unix":
            addr = str(value.get("addr") or "")
            return {**value, "addr": addr if addr.startswith("unix:") or not addr else f"unix:{addr}"}
        return value

    @field_validator("prefix")
    @classmethod
    def _path(cls, value: str) -> str:
        return parse_prefix(value)

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
