"""How long a check of health may take, and how often it is made."""

from __future__ import annotations

BOUND_SECONDS = 3.0
"""Less than callers usually wait."""

INTERVAL_SECONDS = 10.0
