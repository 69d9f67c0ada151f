"""`health.file`, `health.http`, `health.tcp`: what else must be well. An interval of 0 is the usual one."""

from __future__ import annotations

from pydantic import Field

from portside.settings.schema.section import Section
from portside.settings.schema.values import Duration, Headers, Threshold

INTERVAL_SECONDS = 10.0


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
    timeout: Duration = 0.0
    interval: Duration = INTERVAL_SECONDS
    threshold: Threshold = 0


class TcpCheck(Section):
    """It is ill while a connection cannot be made."""

    addr: str = ""
    timeout: Duration = 0.0
    interval: Duration = INTERVAL_SECONDS
    threshold: Threshold = 0
