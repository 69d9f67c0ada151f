"""`log.hooks`: mail about lines of certain levels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from pydantic import Field

from portside.settings.schema.section import Section


class Smtp(Section):
    addr: str = ""
    username: str = ""
    password: str = Field(default="", repr=False)
    insecure: bool = False


class MailOptions(Section):
    smtp: Smtp = Smtp()
    sender: str = Field(default="", alias="from")
    to: tuple[str, ...] = ()


class Hook(Section):
    variables: ClassVar[Mapping[str, str]] = {"mailoptions": "options"}

    disabled: bool = False
    type: str = ""
    levels: tuple[str, ...] = ()
    options: MailOptions = MailOptions()
