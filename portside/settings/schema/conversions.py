"""`gateway.conversions:`: what is made of images for clients that cannot read what was pushed."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BeforeValidator

from backends.model.conversion.policy import Permission, parse_pattern, parse_platform
from portside.settings.schema.section import Section
from portside.settings.schema.values import lower


def _platform(text: str) -> str:
    parse_platform(text)
    return text


class ConversionRule(Section):
    repositories: Annotated[str, AfterValidator(parse_pattern)]
    convert: Annotated[Permission, BeforeValidator(lower)]


class Conversions(Section):
    platform: Annotated[str, AfterValidator(_platform)] = "linux/amd64"
    rules: tuple[ConversionRule, ...] = ()
