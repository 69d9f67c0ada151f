"""What can be set about the v2 registry."""

from __future__ import annotations

from dataclasses import dataclass

from backends.http.settings import BODY_IDLE_SECONDS


@dataclass(frozen=True, slots=True)
class V2Settings:
    """Settings of the v2 registry; the names in brackets are config.yml's.

    Attributes:
        host: scheme and authority for `Location` where the client's own cannot be known (`http.host`).
        relative_urls: `Location` without scheme and authority; Docker up to 1.7 cannot follow it
            (`http.relativeurls`).
        catalog_max_entries: the most names on one page of the catalog (`catalog.maxentries`).
        body_idle_seconds: how long a body may pause between two pieces.
    """

    host: str = ""
    relative_urls: bool = False
    catalog_max_entries: int = 1000
    body_idle_seconds: float = BODY_IDLE_SECONDS
