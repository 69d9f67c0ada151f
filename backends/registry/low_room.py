"""Whether there is room for a new upload: asked before its body is, so that a disk is never filled to the last byte.

What is in progress goes on, and manifests, tags and mounts are written as ever: the reserve is for them.
"""

from __future__ import annotations

from backends.model.errors import ErrorCode, RegistryError
from backends.storage.room import RoomWatch

NO_UPLOADS = "it takes no new uploads for now; pulls work; push again"


def require_room(room: RoomWatch, *, refusal: str = NO_UPLOADS) -> None:
    """Costs nothing: it is what was last measured.

    Args:
        room: that is left.
        refusal: what is not done, and what can be done when there is more room.

    Raises:
        RegistryError: INSUFFICIENT_STORAGE.
    """
    if room.is_low:
        raise RegistryError(
            ErrorCode.INSUFFICIENT_STORAGE,
            f"the registry's disk is almost full, so {refusal} when its operator has freed some space or enlarged the"
            " disk",
        )
