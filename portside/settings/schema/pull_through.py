"""`proxy:`: the shape alone; pulling through is not supported yet, and `proxy.remoteurl` keeps it from starting."""

from __future__ import annotations

from pydantic import Field

from portside.settings.schema.section import Section
from portside.settings.schema.values import Duration


class Exec(Section):
    command: str = ""
    lifetime: Duration | None = None


class PullThrough(Section):
    remoteurl: str = ""
    username: str = ""
    password: str = Field(default="", repr=False)
    ttl: Duration = 168 * 3600.0
    exec: Exec | None = None
    cachewritetimeout: Duration = 300.0
