"""`gateway.v1.cors`: what few files have of the v1 registry's section."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, field_validator, model_validator

from backends.http.cors import ANY_ORIGIN
from backends.http.cors import Cors as CorsSettings
from portside.settings.schema.section import Section
from portside.settings.schema.values import HeaderName, listed

MAX_AGE = 86_400
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://(?:[a-z0-9._-]+|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?")
_METHOD = re.compile(r"[A-Z]+")


def _origin(value: str) -> str:
    text = value.lower()
    if text != ANY_ORIGIN and not _ORIGIN.fullmatch(text):
        raise ValueError("write an origin as browsers send it, such as https://ui.example.com:8443, or *")
    return text


def _method(value: str) -> str:
    text = value.upper()
    if not _METHOD.fullmatch(text):
        raise ValueError("write a method, such as GET")
    return text


Origin = Annotated[str, AfterValidator(_origin)]
Method = Annotated[str, AfterValidator(_method)]
Origins = Annotated[tuple[Origin, ...], BeforeValidator(listed)]
Methods = Annotated[tuple[Method, ...], BeforeValidator(listed)]
HeaderNames = Annotated[tuple[HeaderName, ...], BeforeValidator(listed)]


class Cors(Section):
    origins: Origins = CorsSettings().origins
    methods: Methods = CorsSettings().methods
    headers: HeaderNames = CorsSettings().headers
    exposeheaders: HeaderNames = CorsSettings().expose_headers
    credentials: bool = CorsSettings().credentials
    maxage: int = Field(default=CorsSettings().max_age_seconds, ge=0, le=MAX_AGE)

    @field_validator("headers", "exposeheaders")
    @classmethod
    def _named(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not all(value):
            raise ValueError("write the names of headers, such as [Content-Type]")
        return value

    @model_validator(mode="after")
    def _by_name(self) -> Cors:
        if self.credentials and ANY_ORIGIN in self.origins:
            raise ValueError(
                "with credentials, origins must be named: any page that a user opens could act in the user's name"
            )
        return self
