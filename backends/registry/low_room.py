"""Whether there is room for a new upload: asked before its body is, so that a disk is never filled to the last byte.

What is in progress goes on, and manifests, tags and mounts are written as ever: the reserve is for them.
"""

from __future__ import annotations

from backends.model.errors import ErrorCode, RegistryError
from backends.storage.room import RoomWatch


def require_room(room: RoomWatch) -> None:
    """Costs nothing: it is what was last measured.

    Raises:
        RegistryError: INSUFFICIENT_STORAGE.
    """
    if room.is_low:
        raise RegistryError(
            ErrorCode.INSUFFICIENT_STORAGE,
            "the registry's disk is almost full, so it takes no new uploads for now; pulls work; push again when its"
            " operator has freed some space or enlarged the disk",
        )
