"""`auth:`: the shape alone; access control is not supported yet, and `auth` keeps Portside from starting."""

from __future__ import annotations

from typing import Any

from pydantic import model_validator

from portside.settings.schema.section import Section
from portside.settings.yaml_values import is_empty


class Silly(Section):
    realm: str = ""
    service: str = ""


class Token(Section):
    realm: str = ""
    service: str = ""
    issuer: str = ""
    rootcertbundle: str = ""
    jwks: str = ""
    autoredirect: bool = False
    autoredirectpath: str = "/auth/token"
    signingalgorithms: tuple[str, ...] = ()


class Htpasswd(Section):
    realm: str = ""
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
