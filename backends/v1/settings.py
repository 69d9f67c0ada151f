"""What can be set about the v1 registry."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from backends.http.settings import BODY_IDLE_SECONDS, UPLOADS_AT_ONCE
from backends.registry.still_working import PATIENCE_SECONDS

if TYPE_CHECKING:
    from backends.auth.v1_index_settings import V1IndexSettings
    from backends.http.cors import Cors

ISSUE = '"docker-registry server"'
"""docker-registry's own default, which has the quotes in it."""


@dataclass(frozen=True, slots=True)
class V1Settings:
    """Settings of the v1 registry.

    Attributes:
        endpoints: what `X-Docker-Endpoints` says, a line each; none for the address that the client used.
        host: scheme and authority of the addresses that events name; "" for those that the client used (`http.host`).
        body_idle_seconds: how long a body may pause between two pieces.
        patience_seconds: so long a client is kept waiting for what is made of an image, before it is told to ask again
            (`gateway.conversions.patience`).
        accel_prefix: nginx's internal location over the data folder, to which it is sent for layers; "" for none
            (`gateway.v1.xaccelredirect`).
        redirects_layers: whether layers are had from where others serve the files (`gateway.v1.storageredirect`).
        uploads_at_once: how many layers a process receives at once; 0 for any number (`gateway.uploadsatonce`).
        files: the folder of which our own proxy may be handed files in place of their bytes; "" for none
            (`gateway.v1.files`).
        issue: what `GET /` says.
        debug: whether `_ping` tells of host, command line and versions.
        flavor: what `_ping` then calls the settings; docker-registry's has several in one file.
        search: whether `/v1/search` is there.
        cors: what pages of other origins may do; None for nothing.
        index: the index elsewhere that says who may do what; None where this registry is its own (standalone).
    """

    endpoints: tuple[str, ...] = ()
    host: str = ""
    body_idle_seconds: float = BODY_IDLE_SECONDS
    patience_seconds: float = PATIENCE_SECONDS
    accel_prefix: str = ""
    redirects_layers: bool = False
    uploads_at_once: int = UPLOADS_AT_ONCE
    files: str = ""
    issue: str = ISSUE
    debug: bool = False
    flavor: str = "portside"
    search: bool = True
    cors: Cors | None = None
    index: V1IndexSettings | None = None
