"""What is purged and when: values apart from the purger, which only registries import."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PurgeSettings:
    """What is purged and when (`storage.maintenance.uploadpurging`).

    Attributes:
        enabled: whether anything is, low room included.
        age_seconds: so long nobody must have touched it.
        interval_seconds: how often it is looked for.
        dry_run: it is only logged.
    """

    enabled: bool = True
    age_seconds: float = 168 * 3600.0
    interval_seconds: float = 24 * 3600.0
    dry_run: bool = False
