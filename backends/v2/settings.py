"""What can be set about the v2 registry."""

from __future__ import annotations

from dataclasses import dataclass

from backends.http.settings import BODY_IDLE_SECONDS, UPLOADS_AT_ONCE
from backends.registry.still_working import PATIENCE_SECONDS


@dataclass(frozen=True, slots=True)
class V2Settings:
    """Settings of the v2 registry; the names in brackets are config.yml's.

    Attributes:
        prefix: what stands before `/v2/` in every path, such as `/registry`; "" for nothing (`http.prefix`).
        host: what stands before `/v2/` in `Location` where the client's own address cannot be known: scheme, authority,
            and the path if there is one (`http.host`).
        relative_urls: `Location` without scheme and authority; Docker up to 1.7 cannot follow it
            (`http.relativeurls`).
        catalog_max_entries: the most names on one page of the catalog (`catalog.maxentries`).
        catalog_refuses_more: a client that asks for more gets a 400, as from distribution; else so many.
        tags_max: the most tags on one page (`tags.maxtags`); a client that asks for none in particular gets all.
        body_idle_seconds: how long a body may pause between two pieces.
        patience_seconds: how long a client waits for a conversion before it is told to ask again
            (`gateway.conversions.patience`).
        uploads_at_once: how many layers a process receives at once; 0 for any number (`gateway.uploadsatonce`).
        files: the folder of which our own proxy may be handed files in place of their bytes; "" for none
            (`gateway.v2.files`).
    """

    prefix: str = ""
    host: str = ""
    relative_urls: bool = False
    catalog_max_entries: int = 1000
    catalog_refuses_more: bool = False
    tags_max: int = 10_000
    body_idle_seconds: float = BODY_IDLE_SECONDS
    patience_seconds: float = PATIENCE_SECONDS
    uploads_at_once: int = UPLOADS_AT_ONCE
    files: str = ""
