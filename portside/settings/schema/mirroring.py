"""`gateway.v1.mirroring:`: another v1 registry, of which this one is a mirror."""

from __future__ import annotations

from urllib.parse import urlsplit

from pydantic import field_validator

from backends.v1.mirror.settings import TAGS_SECONDS
from portside.settings.schema.section import Section
from portside.settings.schema.values import Duration


class Mirroring(Section):
    source: str = ""
    sourceindex: str = ""
    tagscachettl: Duration = TAGS_SECONDS
    ca: str = ""
    user: str = ""
    passwordfile: str = ""
    unencrypted: bool = False

    @field_validator("source", "sourceindex")
    @classmethod
    def _place(cls, value: str) -> str:
        value = value.rstrip("/")
        if not value:
            return value
        if "@" in value:
            raise ValueError("it must not have a user or password; these are user and passwordfile, beside it")
        if not _is_place(value):
            raise ValueError("write it like https://registry:5000")
        return value


def _is_place(value: str) -> bool:
    try:
        parts = urlsplit(value)
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.port == 0:
            return False
    except ValueError:
        return False
    return not (parts.query or parts.fragment) and value.isascii() and value.isprintable() and " " not in value
