"""The headers that every v2 answer carries, as prepared dictionaries."""

from __future__ import annotations

API_HEADERS = {
    "Server": "Portside",
    "Docker-Distribution-Api-Version": "registry/2.0",
    "X-Content-Type-Options": "nosniff",
}
