"""What can be set about HTTP itself, the same for every part; free of aiohttp, so that settings load fast."""

from __future__ import annotations

BODY_IDLE_SECONDS = 60.0
"""How long a request's body may pause between two pieces."""

BODY_TOTAL_SECONDS = 900.0
"""How long a body may take that is kept in memory, however steadily it comes: 4 MiB at 5 KiB a second."""

UPLOADS_AT_ONCE = 512
"""How many layers a process receives at once."""

FRAMING = frozenset({"connection", "content-length", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"})
"""Headers, in lower case, that `http.headers` may not name: they say where an answer ends."""
