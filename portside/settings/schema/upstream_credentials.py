"""`credentials:` of a registry elsewhere."""

from __future__ import annotations

from urllib.parse import urlsplit

from pydantic import field_validator

from portside.settings.schema.section import Section


class Credentials(Section):
    user: str = ""
    passwordfile: str = ""
    none: bool = False
    unencrypted: bool = False
    realm: str = ""
    service: str = ""

    @field_validator("realm")
    @classmethod
    def _address(cls, value: str) -> str:
        parts = urlsplit(value)
        if value and (parts.scheme not in {"http", "https"} or not parts.hostname or parts.username is not None):
            raise ValueError("write it like https://auth.example.com/token, without user and password")
        return value
