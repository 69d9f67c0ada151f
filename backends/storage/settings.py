"""Which storage: values apart from the drivers, which a proxy need not import."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from backends.storage.room import RoomSettings

if TYPE_CHECKING:
    from backends.storage.addresses import Step


@dataclass(frozen=True, slots=True)
class StorageSettings:
    """Which driver, where its root is, what must be left there, and at which addresses others serve its files.

    Attributes:
        room: of a file system.
        addresses: how they are made, step by step; () for none.
    """

    driver: Literal["filesystem", "inmemory"] = "filesystem"
    root: str = "data"
    room: RoomSettings = field(default_factory=RoomSettings)
    addresses: tuple[Step, ...] = ()
