"""`credentials:` of a registry elsewhere."""

from __future__ import annotations

from portside.settings.schema.section import Section


class Credentials(Section):
    user: str = ""
    passwordfile: str = ""
    none: bool = False
    unencrypted: bool = False
