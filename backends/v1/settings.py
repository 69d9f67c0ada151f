"""What can be set about the v1 registry."""

from __future__ import annotations

from dataclasses import dataclass

from backends.http.settings import BODY_IDLE_SECONDS


@dataclass(frozen=True, slots=True)
class V1Settings:
    """Settings of the v1 registry.

    Attributes:
        issue: what `GET /` says; docker-registry's own default has the quotes in it.
        endpoints: what `X-Docker-Endpoints` says; "" for the address that the client used.
        max_json_bytes: larger JSON bodies are refused with 413.
        body_idle_seconds: how long a body may pause between two pieces.
    """

    issue: str = '"docker-registry server"'
    endpoints: str = ""
    max_json_bytes: int = 4 * 1024 * 1024
    body_idle_seconds: float = BODY_IDLE_SECONDS
