"""Room on the volumes of a storage: what is left, and when that is too little for new uploads.

On a full disk pushes fail half-way, and not even a tag can be written. So new uploads are refused
while a reserve is left, in which manifests, tags and the uploads that are in progress can still be written.

Invariant: asking costs nothing. What was measured is remembered; a task measures again every few seconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from backends.storage.capabilities import MeasuresRoom, Room

RECOVERED = 1.1
"""Once it was too little, so much more than the reserve must be free again: nobody is refused and let in by turns."""

UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB", "PiB")
UNIT = 1024


@dataclass(frozen=True, slots=True)
class RoomSettings:
    """What must be left on a volume: the smaller of the share and of the number; 0 turns it off.

    Attributes:
        percent: of its bytes, and of its files (`gateway.lowroom.percent`).
        least_bytes: `gateway.lowroom.bytes`.
        least_files: inodes (`gateway.lowroom.files`).
    """

    percent: float = 5.0
    least_bytes: int = 2 * 1024**3
    least_files: int = 10_000


class RoomWatch:
    """What was last measured of a storage, and whether it is too little.

    Args:
        driver: measures; None where room has no bound.
        settings: what is too little.

    Attributes:
        rooms: of each volume, as last measured; empty before the first time.
        shortage: "" or a sentence for the operator: what is short, and how much ends that.
    """

    def __init__(self, driver: MeasuresRoom | None = None, settings: RoomSettings | None = None) -> None:
        self._driver = driver
        self._settings = settings or RoomSettings()
        self.rooms: Sequence[Room] = ()
        self.shortage = ""

    @property
    def is_low(self) -> bool:
        """Whether new uploads are to be refused."""
        return bool(self.shortage)

    async def measure(self) -> None:
        """Measures again.

        Raises:
            StorageError: it cannot be measured; the previous measurement stays.
        """
        if self._driver is None:
            return
        self.rooms = await self._driver.measure_room()
        found = [find_shortage(room, self._settings, was_low=self.is_low) for room in self.rooms]
        self.shortage = next(filter(None, found), "")


def find_shortage(room: Room, settings: RoomSettings, *, was_low: bool = False) -> str:
    """Returns what a volume has too little of, and how much ends that, in a sentence; "" when it has enough.

    Args:
        room: of the volume.
        settings: what must be left.
        was_low: it had too little before, so it must have more than that now.
    """
    share = settings.percent / 100
    least = min(settings.least_bytes, share * room.total_bytes)
    enough = least * RECOVERED
    if room.free_bytes < (enough if was_low else least):
        free, total = show_size(room.free_bytes), show_size(room.total_bytes)
        return f"{free} of {total} are free; {_UNTIL} {show_size(int(enough))} are"
    least = min(settings.least_files, share * room.total_files)
    enough = least * RECOVERED
    if room.free_files < (enough if was_low else least):
        return f"{room.free_files} of {room.total_files} inodes are free; {_UNTIL} {enough:.0f} are"
    return ""


_UNTIL = "pulls work, new uploads are refused until"


def show_size(size: int) -> str:
    """Returns a number of bytes as people read it: `512 bytes`, `1.5 GiB`."""
    value, unit = float(size), 0
    while value >= UNIT and unit < len(UNITS) - 1:
        value, unit = value / UNIT, unit + 1
    return f"{value:.1f} {UNITS[unit]}" if unit else f"{size} bytes"
