"""`log:`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from portside.settings.schema.section import Section, lazy
from portside.settings.schema.values import Level

if TYPE_CHECKING:
    from portside.settings.schema.log_hooks import Hook
else:
    Hook = lazy("log_hooks", "Hook")


class AccessLog(Section):
    disabled: bool = False


class Log(Section):
    level: Level = "info"
    formatter: Literal["text", "json", "logstash"] = "text"
    fields: dict[str, Any] = Field(default_factory=dict)
    hooks: tuple[Hook, ...] = ()
    accesslog: AccessLog = AccessLog()
    reportcaller: bool = False
