"""What can be set about both registries at once."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class GateSettings:
    """Which operations are refused by setting.

    Attributes:
        read_only: nothing may be changed (`storage.maintenance.readonly.enabled`).
        delete_enabled: manifests, tags, blobs and repositories may be deleted (`storage.delete.enabled`).
    """

    read_only: bool = False
    delete_enabled: bool = False
