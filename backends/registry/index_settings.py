"""When stored manifests are looked through (`indexing`); apart from it, for commands that only read settings."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class IndexSettings:
    """Settings of the passes (`gateway.index`).

    Attributes:
        interval_seconds: so often, beside the pass when the program starts; 0 for never.
    """

    interval_seconds: float = 24 * 3600.0
