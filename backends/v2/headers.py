"""The headers that every v2 answer carries, as prepared dictionaries: nothing of this is built per request."""

from __future__ import annotations

API_HEADERS = {
    "Server": "Portside",
    "Docker-Distribution-Api-Version": "registry/2.0",
    "X-Content-Type-Options": "nosniff",
}
JSON_HEADERS = {**API_HEADERS, "Content-Type": "application/json; charset=utf-8"}
