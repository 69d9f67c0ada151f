"""`validation:`: what is required of a pushed manifest."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator

from portside.settings.schema.section import Section
from portside.settings.schema.values import lower


class PlatformName(Section):
    architecture: str = ""
    os: str = ""


class Indexes(Section):
    platforms: Annotated[Literal["all", "none", "list"], BeforeValidator(lower)] = "all"
    platformlist: tuple[PlatformName, ...] = ()


class Urls(Section):
    allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()


class ManifestValidation(Section):
    urls: Urls = Urls()
    indexes: Indexes = Indexes()


class Validation(Section):
    enabled: bool = False
    disabled: bool = False
    manifests: ManifestValidation = ManifestValidation()
