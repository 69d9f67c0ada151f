"""What can be set about HTTP itself, the same for every part; free of aiohttp, so that settings load fast."""

from __future__ import annotations

BODY_IDLE_SECONDS = 60.0
"""How long a request's body may pause between two pieces."""
