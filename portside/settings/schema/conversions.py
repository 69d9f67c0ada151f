"""`gateway.conversions:`: what is made of images for clients that cannot read what was pushed."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, field_validator

from backends.model.conversion.policy import Permission, parse_pattern, parse_platform
from backends.registry.layers.settings import LayerSettings
from backends.registry.still_working import PATIENCE_SECONDS
from portside.settings.schema.section import Section
from portside.settings.schema.values import BoundedWait, Size, lower

SMALLEST_WINDOW = 8 * 1024 * 1024
LARGEST_WINDOW = 2 * 1024 * 1024 * 1024


def _platform(text: str) -> str:
    parse_platform(text)
    return text


class ConversionRule(Section):
    repositories: Annotated[str, AfterValidator(parse_pattern)]
    convert: Annotated[Permission, BeforeValidator(lower)]


class Conversions(Section):
    patience: BoundedWait = PATIENCE_SECONDS
    platform: Annotated[str, AfterValidator(_platform)] = "linux/amd64"
    rules: tuple[ConversionRule, ...] = ()
    maxratio: int = Field(default=LayerSettings().max_ratio, ge=1)
    maxbytes: Size = LayerSettings().max_bytes
    maxwindow: Size = LayerSettings().max_window
    atonce: int = Field(default=LayerSettings().at_once, ge=1, le=64)
    background: bool = LayerSettings().background

    @field_validator("maxwindow")
    @classmethod
    def _window(cls, value: int) -> int:
        if not SMALLEST_WINDOW <= value <= LARGEST_WINDOW:
            raise ValueError("it is from 8MiB, which every zstd layer may ask for, to 2GiB")
        return value
