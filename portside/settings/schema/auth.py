"""`auth:`, which is distribution's, and `gateway.auth:`, where several schemes may stand together."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, model_validator

from portside.settings.schema.identities import Certificates, Issuer
from portside.settings.schema.section import Section
from portside.settings.schema.values import several
from portside.settings.yaml_values import is_empty


class Silly(Section):
    without = frozenset({"realm", "service"})

    realm: str | None = None
    service: str | None = None


class Token(Section):
    without = frozenset({"realm", "service", "issuer"})

    realm: str | None = None
    service: str | None = None
    issuer: str | None = None
    rootcertbundle: str = ""
    jwks: str = ""
    autoredirect: bool = False
    autoredirectpath: str = "/auth/token"
    signingalgorithms: tuple[str, ...] = ()


class Htpasswd(Section):
    without = frozenset({"realm"})

    realm: str | None = None
    path: str = ""


class Auth(Section):
    silly: Silly | None = None
    token: Token | None = None
    htpasswd: Htpasswd | None = None
    none: Section | None = None

    @model_validator(mode="before")
    @classmethod
    def _by_name(cls, value: Any) -> Any:
        """`auth: none` names a scheme; a scheme without settings is one too."""
        if isinstance(value, str) and value:
            return {str(value): {}}
        if isinstance(value, dict):
            return {key: ({} if is_empty(part) else part) for key, part in value.items()}
        return value


class GatewayAuth(Section):
    htpasswd: Htpasswd | None = None
    token: Token | None = None
    certificates: Certificates | None = None
    openid: Annotated[tuple[Issuer, ...], BeforeValidator(several)] | None = None

    @model_validator(mode="before")
    @classmethod
    def _by_name(cls, value: Any) -> Any:
        """A scheme without settings is one too, which lacks some."""
        if isinstance(value, dict):
            return {key: ({} if is_empty(part) else part) for key, part in value.items()}
        return value
