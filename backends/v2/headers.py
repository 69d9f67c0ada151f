"""The headers that every v2 answer carries, as prepared dictionaries; handlers that need more copy one."""

from __future__ import annotations

from collections.abc import Mapping

API_HEADERS: Mapping[str, str] = {
    "Server": "Portside",
    "Docker-Distribution-Api-Version": "registry/2.0",
    "X-Content-Type-Options": "nosniff",
}

JSON_HEADERS: Mapping[str, str] = {**API_HEADERS, "Content-Type": "application/json; charset=utf-8"}
