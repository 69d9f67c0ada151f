"""`health.file`, `health.http`, `health.tcp`: what else must be well. An interval or timeout of 0 is the usual one."""

from __future__ import annotations

from pydantic import Field

from portside.observe.bounds import BOUND_SECONDS, INTERVAL_SECONDS
from portside.settings.schema.section import Section
from portside.settings.schema.values import Duration, Headers, Threshold


class FileCheck(Section):
    """It is ill while the file exists."""

    file: str = ""
    interval: Duration = INTERVAL_SECONDS
    threshold: Threshold = 0


class HttpCheck(Section):
    """It is ill while a HEAD does not get this status."""

    uri: str = ""
    headers: Headers = Field(default_factory=dict)
    statuscode: int = 200
    timeout: Duration = BOUND_SECONDS
    interval: Duration = INTERVAL_SECONDS
    threshold: Threshold = 0


class TcpCheck(Section):
    """It is ill while a connection cannot be made."""

    addr: str = ""
    timeout: Duration = BOUND_SECONDS
    interval: Duration = INTERVAL_SECONDS
    threshold: Threshold = 0
