"""`gateway.auth.openid` and `gateway.auth.certificates`: identities that others vouch for."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator

from backends.auth.certificates import CertificateGroups, CertificateUser
from portside.settings.schema.section import Section
from portside.settings.schema.values import listed, lower


class Issuer(Section):
    without = frozenset({"groups"})

    issuer: str = ""
    audience: Annotated[tuple[str, ...], BeforeValidator(listed)] = ()
    jwks: str = ""
    ca: str = ""
    token: str = ""
    user: str = "sub"
    groups: str = "groups"
    prefix: str = ""


class Certificates(Section):
    user: Annotated[CertificateUser, BeforeValidator(lower)] = CertificateUser.COMMON_NAME
    groups: Annotated[CertificateGroups, BeforeValidator(lower)] | None = None
    prefix: str = ""
