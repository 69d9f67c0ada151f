"""`health:`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from portside.observe.health import HealthSettings
from portside.settings.schema.section import Section, lazy
from portside.settings.schema.values import Duration, Threshold

if TYPE_CHECKING:
    from portside.settings.schema.health_checks import FileCheck, HttpCheck, TcpCheck
else:
    FileCheck = lazy("health_checks", "FileCheck")
    HttpCheck = lazy("health_checks", "HttpCheck")
    TcpCheck = lazy("health_checks", "TcpCheck")


class StorageDriverHealth(Section):
    enabled: bool = HealthSettings().enabled
    interval: Duration = HealthSettings().interval_seconds
    threshold: Threshold = HealthSettings().threshold


class Health(Section):
    variables: ClassVar[Mapping[str, str]] = {"filecheckers": "file", "httpcheckers": "http", "tcpcheckers": "tcp"}

    storagedriver: StorageDriverHealth = StorageDriverHealth()
    file: tuple[FileCheck, ...] = ()
    http: tuple[HttpCheck, ...] = ()
    tcp: tuple[TcpCheck, ...] = ()
