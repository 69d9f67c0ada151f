"""`middleware:`: what stands between the registry and its storage. What the options mean depends on the name."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from portside.settings.schema.section import Section


class Layer(Section):
    name: str = ""
    disabled: bool = False
    options: dict[str, Any] = Field(default_factory=dict, repr=False)


class Middleware(Section):
    registry: tuple[Layer, ...] = ()
    repository: tuple[Layer, ...] = ()
    storage: tuple[Layer, ...] = ()
